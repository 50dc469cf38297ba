"""Ways to change a sealed store unseen: each takes a world and chances, and changes one thing.

Whoever does it here writes SQLite and the folder of seals as they please, and knows every rule:
where a change can be hidden by making digests anew, it is.
"""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from shared.adapters.embedded.home_signer import HomeSigner
from shared.domain.audit import Action, Leaf, Seal, commitment_of, head_of, promise, read, root
from shared.domain.audit import statement as said
from shared.domain.audit import written as stored
from tests.audited import World

Mutation = Callable[[World, Random], None]


def _db(world: World) -> sqlite3.Connection:
    return world.db.connection()


def _line(world: World, chance: Random) -> tuple[str, int]:
    rows = _db(world).execute("SELECT recording_id, seq FROM history").fetchall()
    row = chance.choice(rows)
    return row["recording_id"], row["seq"]


def _middle(world: World, chance: Random) -> tuple[str, int]:
    rows = _db(world).execute("SELECT id, moves FROM recordings WHERE moves > 2").fetchall()
    row = chance.choice(rows)
    return row["id"], chance.randrange(2, row["moves"])


#: Columns of a line and what they are changed to. Parts of an error count where there is one.
EDITS: tuple[tuple[str, object], ...] = (
    ("actor", "nobody"),
    ("reason", "other"),
    ("error_code", "x"),
    ("error_message", "x"),
    ("error_engine", "x"),
    ("attempt", 77),
    ("state", "dead"),
    ("at_us", 1),
    ("salt", "00"),
    ("salt", None),
    ("commitment", "00"),
    ("commitment", None),
    ("head", "00"),
    ("head", None),
)
ACTION_EDITS: tuple[tuple[str, object], ...] = (
    ("actor", "nobody"),
    ("method", "POST"),
    ("route", "/"),
    ("recording_id", None),
    ("status", 500),
    ("at_us", 1),
    ("tenant", "other"),
    ("salt", "00"),
    ("salt", None),
    ("commitment", "00"),
)


def edit_line(world: World, chance: Random) -> None:
    column, value = chance.choice(EDITS)
    query = f"UPDATE history SET {column} = ? WHERE recording_id = ? AND seq = ?"
    if column.startswith("error_"):
        query += " AND error_code IS NOT NULL"
    while _db(world).execute(query, (value, *_line(world, chance))).rowcount == 0:
        continue


def edit_line_and_commitment(world: World, chance: Random) -> None:
    """The line is consistent in itself; the head after it is not."""
    recording_id, seq = _line(world, chance)
    link = world.chains.page("acme", limit=10_000)
    [chain] = [one for one in link if one.recording_id == recording_id]
    old = chain.links[seq - 1]
    _db(world).execute(
        "UPDATE history SET actor = 'nobody' WHERE recording_id = ? AND seq = ?",
        (recording_id, seq),
    )
    [chain] = [c for c in world.chains.page("acme", limit=10_000) if c.recording_id == recording_id]
    anew = commitment_of(chain.links[seq - 1].line, str(old.salt))
    _db(world).execute(
        "UPDATE history SET commitment = ? WHERE recording_id = ? AND seq = ?",
        (anew, recording_id, seq),
    )


def rewrite_history(world: World, chance: Random) -> None:
    """The whole chain is made anew after an edit, and the recording knows of it."""
    recording_id, seq = _line(world, chance)
    _db(world).execute(
        "UPDATE history SET reason = reason || '!' WHERE recording_id = ? AND seq = ?",
        (recording_id, seq),
    )
    _rechain(world, recording_id)


def _rechain(world: World, recording_id: str) -> None:
    [chain] = [c for c in world.chains.page("acme", limit=10_000) if c.recording_id == recording_id]
    before = None
    for seq, one in enumerate(chain.links, start=1):
        commitment = commitment_of(one.line, str(one.salt))
        before = head_of(recording_id, seq, one.line, before, commitment)
        _db(world).execute(
            "UPDATE history SET commitment = ?, head = ?, seq = ?"
            " WHERE recording_id = ? AND seq = ?",
            (commitment, before, seq, recording_id, one.seq),
        )
    _db(world).execute(
        "UPDATE recordings SET head = ?, moves = ? WHERE id = ?",
        (before, len(chain.links), recording_id),
    )


def swap_lines(world: World, chance: Random) -> None:
    recording_id, first = _middle(world, chance)
    for old, new in ((first, -1), (first + 1, first), (-1, first + 1)):
        _db(world).execute(
            "UPDATE history SET seq = ? WHERE recording_id = ? AND seq = ?",
            (new, recording_id, old),
        )


def swap_lines_and_rechain(world: World, chance: Random) -> None:
    recording_id, _ = place = _middle(world, chance)
    swap_lines(world, _Said(place))
    _rechain(world, recording_id)


class _Said(Random):
    """Chance that chooses what it was told."""

    def __init__(self, place: tuple[str, int]) -> None:
        super().__init__(0)
        self._place = place

    def choice(self, seq: Any) -> Any:
        return next(row for row in seq if row["id"] == self._place[0])

    def randrange(self, *_: Any, **__: Any) -> int:
        return self._place[1]


def delete_line(world: World, chance: Random) -> None:
    _drop(world, _middle(world, chance))


def delete_line_and_rechain(world: World, chance: Random) -> None:
    recording_id, seq = _middle(world, chance)
    _drop(world, (recording_id, seq))
    _rechain(world, recording_id)


def _drop(world: World, place: tuple[str, int]) -> None:
    _db(world).execute("DELETE FROM history WHERE recording_id = ? AND seq = ?", place)


def truncate(world: World, chance: Random) -> None:
    recording_id, seq = _middle(world, chance)
    _db(world).execute(
        "DELETE FROM history WHERE recording_id = ? AND seq >= ?", (recording_id, seq)
    )


def truncate_and_rechain(world: World, chance: Random) -> None:
    """As if the last lines had never been written."""
    recording_id, seq = _middle(world, chance)
    _db(world).execute(
        "DELETE FROM history WHERE recording_id = ? AND seq >= ?", (recording_id, seq)
    )
    _rechain(world, recording_id)


def insert_line(world: World, chance: Random) -> None:
    """At the end, in the middle or before the first, with a chain made anew."""
    recording_id, at = _line(world, chance)
    at = chance.choice([at, 10_000])
    _db(world).execute(
        "UPDATE history SET seq = -seq - 1 WHERE recording_id = ? AND seq >= ?", (recording_id, at)
    )
    _db(world).execute("UPDATE history SET seq = -seq WHERE seq < 0")
    _db(world).execute(
        "INSERT INTO history (recording_id, seq, state, at_us, actor, reason, salt, commitment,"
        " head) VALUES (?, ?, 'queued', 1, 'nobody', 'no reason', '00', '00', '00')",
        (recording_id, at),
    )
    _rechain(world, recording_id)


def delete_history(world: World, chance: Random) -> None:
    recording_id, _ = _line(world, chance)
    for table, column in (("jobs", "recording_id"), ("history", "recording_id")):
        _db(world).execute(f"DELETE FROM {table} WHERE {column} = ?", (recording_id,))
    if chance.random() < 0.5:
        _db(world).execute("DELETE FROM recordings WHERE id = ?", (recording_id,))


# --- actions --------------------------------------------------------------------------------------


def _action(world: World, chance: Random) -> Action:
    return chance.choice(world.actions.page("acme", limit=10_000))


def edit_action(world: World, chance: Random) -> None:
    """The commitment is made anew, or not."""
    one, (column, value) = _action(world, chance), chance.choice(ACTION_EDITS)
    _db(world).execute(f"UPDATE actions SET {column} = ? WHERE id = ?", (value, one.id))
    if column not in ("commitment", "salt", "tenant") and chance.random() < 0.5:
        [again] = [a for a in world.actions.page("acme", limit=10_000) if a.id == one.id]
        _db(world).execute(
            "UPDATE actions SET commitment = ? WHERE id = ?",
            (promise(again, str(again.salt)), one.id),
        )


def delete_action(world: World, chance: Random) -> None:
    _db(world).execute("DELETE FROM actions WHERE id = ?", (_action(world, chance).id,))


def swap_actions(world: World, chance: Random) -> None:
    first, second = chance.sample(world.actions.page("acme", limit=10_000), 2)
    for id_, other in ((first.id, second), (second.id, first)):
        _db(world).execute(
            "UPDATE actions SET at_us = ?, recording_id = ?, salt = ?, commitment = ? WHERE id = ?",
            (_us(other), other.recording_id, other.salt, other.commitment, id_),
        )


def swap_moments(world: World, chance: Random) -> None:
    first, second = chance.sample(world.actions.page("acme", limit=10_000), 2)
    for id_, other in ((first.id, second), (second.id, first)):
        _db(world).execute("UPDATE actions SET at_us = ? WHERE id = ?", (_us(other), id_))


def _us(one: Action) -> int:
    return int(one.at.timestamp() * 1_000_000)


def insert_action(world: World, chance: Random) -> None:
    one = _action(world, chance)
    _db(world).execute(
        "INSERT INTO actions SELECT ?, tenant, at_us, actor, method, route, recording_id, status,"
        " salt, commitment FROM actions WHERE id = ?",
        (chance.randbytes(16).hex(), one.id),
    )


# --- seals ----------------------------------------------------------------------------------------


def _seal(world: World, chance: Random) -> Path:
    return chance.choice(sorted((world.home / "audit" / "acme").glob("*.json")))


def _overwrite(place: Path, content: bytes) -> None:
    place.chmod(0o600)
    place.write_bytes(content)


def edit_seal(world: World, chance: Random) -> None:
    place = _seal(world, chance)
    content = bytearray(place.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    _overwrite(place, bytes(content))


def drop_a_leaf(world: World, chance: Random) -> None:
    """The root and all else are made anew; the signature cannot be."""
    place = _seal(world, chance)
    seal = read(place.read_bytes())
    left = list(seal.leaves)
    left.pop(chance.randrange(len(left)))
    _overwrite(place, stored(_of(seal, left)))


def _of(seal: Seal, leaves: list[Leaf], key_id: str | None = None) -> Seal:
    return Seal(
        seal.tenant,
        seal.number,
        seal.before,
        seal.at,
        tuple(leaves),
        root(leaves),
        key_id or seal.key_id,
        seal.signature,
    )


def delete_seal(world: World, chance: Random) -> None:
    _seal(world, chance).unlink()


def delete_last_seals(world: World, chance: Random) -> None:
    found = sorted((world.home / "audit" / "acme").glob("*.json"))
    for place in found[-chance.randrange(1, len(found) + 1) :]:
        place.unlink()


def swap_seals(world: World, chance: Random) -> None:
    found = sorted((world.home / "audit" / "acme").glob("*.json"))
    first, second = chance.sample(found, 2)
    one, other = first.read_bytes(), second.read_bytes()
    _overwrite(first, other)
    _overwrite(second, one)


def forge_seal(world: World, chance: Random) -> None:
    """Another key signs a seal without one of its leaves; it says our key's name, or its own."""
    place, thief = _seal(world, chance), HomeSigner(world.home / "stolen")
    seal = read(place.read_bytes())
    name = chance.choice([thief.key_id, seal.key_id])
    forged = _of(seal, list(seal.leaves)[1:], name)
    outline = json.loads(stored(forged))
    outline["signature"] = thief.sign(said(forged)).hex()
    content = json.dumps(outline, sort_keys=True, separators=(",", ":")).encode()
    _overwrite(place, content)


def forget_what_waits(world: World, chance: Random) -> None:
    """A line that no seal will ever have."""
    world.live(500 + chance.randrange(100))
    _db(world).execute("DELETE FROM unsealed")


MUTATIONS: tuple[Mutation, ...] = (
    edit_line,
    edit_line_and_commitment,
    rewrite_history,
    swap_lines,
    swap_lines_and_rechain,
    delete_line,
    delete_line_and_rechain,
    truncate,
    truncate_and_rechain,
    insert_line,
    delete_history,
    edit_action,
    delete_action,
    swap_actions,
    swap_moments,
    insert_action,
    edit_seal,
    drop_a_leaf,
    delete_seal,
    delete_last_seals,
    swap_seals,
    forge_seal,
    forget_what_waits,
)
