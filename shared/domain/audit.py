"""What histories and actions prove: salted commitments, chains, trees of digests, seals.

    line    commitment = H(salt, what it says)
            head_n = H(head_n-1, recording, n, state, at, commitment)
    action  commitment = H(salt, what it says)
    seal    root = tree over the new heads and the new actions of a tenant; signed together with
            the digest of the seal before it

An erasure takes what a line says, and its salt: the commitment, the head, the state and the moment
stay, and the chain still verifies. Without its salt (16 random bytes) a commitment tells nothing
about what it was made from, however few words may have stood there.

H is SHA-256 over canonical JSON: sorted keys, no spaces, ASCII. Each use begins with a word of its
own, so that no digest of one kind can stand for another.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum

from shared.domain.moments import to_us
from shared.domain.recording import Moved
from shared.errors import InvalidSeal

#: Bytes of randomness in a salt.
SALT_BYTES = 16
#: Whose log an action stands in that was about everybody's. No tenant can be called so.
EVERYBODY = "_everybody"
#: Leaves of one seal: half a megabyte of it; what is more goes into the next seal.
MOST_LEAVES = 4_000
VERSION = 1


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(use: str, value: object) -> str:
    return hashlib.sha256(f"earwitness.{use}/v1\0".encode() + _canonical(value)).hexdigest()


# --- histories ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """One line of a history with what it is held by; all None: older than the chain."""

    seq: int  #: from 1
    line: Moved
    salt: str | None  #: hexadecimal; None once erased
    commitment: str | None
    head: str | None


@dataclass(frozen=True, slots=True)
class Chain:
    """A recording's history, and what the recording itself says of it."""

    recording_id: str
    moves: int  #: lines there are
    head: str | None  #: of the last one
    links: tuple[Link, ...]


def linked(recording_id: str, seq: int, line: Moved, before: str | None, salt: bytes) -> Link:
    """The next link of a recording's chain; `before` is the head so far, None where it begins."""
    commitment = commitment_of(line, salt.hex())
    return Link(
        seq, line, salt.hex(), commitment, head_of(recording_id, seq, line, before, commitment)
    )


def commitment_of(line: Moved, salt: str) -> str:
    """What binds who did it and why; both go with an erasure."""
    error = line.error and asdict(line.error)
    return _digest("line", [salt, line.actor, line.reason, line.attempt, error])


def head_of(recording_id: str, seq: int, line: Moved, before: str | None, commitment: str) -> str:
    """What binds the line to its place; state and moment stay provable after an erasure."""
    open_part = [recording_id, seq, line.state.value, to_us(line.at)]
    return _digest("head", [before, *open_part, commitment])


# --- actions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """Somebody did something, or looked at something: never what it was about in words."""

    id: str  #: random, so that no two of them crowd together in a store
    tenant: str  #: EVERYBODY where it was about no single one
    at: datetime
    actor: str  #: key:ID, viewer:E-MAIL, page, api, cli
    method: str  #: GET, POST ...; CLI
    route: str  #: the route's template, or the command's words
    recording_id: str | None
    status: int  #: of the answer; of a command, its exit status
    salt: str | None  #: hexadecimal; None: somebody took it, which no erasure does
    commitment: str


def acted(
    tenant: str,
    at: datetime,
    who: str,
    what: tuple[str, str],
    about: str | None,
    status: int,
    entropy: bytes,
) -> Action:
    """An action with its commitment.

    Args:
        what: method and route.
        about: the id of a recording.
        entropy: 2 * SALT_BYTES secret bytes: its id and its salt.
    """
    one, salt = entropy[:SALT_BYTES].hex(), entropy[SALT_BYTES:].hex()
    bare = Action(one, tenant, at, who, *what, about, status, salt, "")
    return replace(bare, commitment=promise(bare, salt))


def promise(action: Action, salt: str) -> str:
    """The commitment of an action."""
    whole = [action.id, action.tenant, to_us(action.at), action.actor, action.method]
    return _digest("action", [salt, *whole, action.route, action.recording_id, action.status])


# --- what waits for a seal ------------------------------------------------------------------------


class Kind(StrEnum):
    ACTION = "action"
    HISTORY = "history"


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """What a seal says was there: a history up to a line, or an action."""

    kind: Kind
    id: str  #: of the recording, or of the action
    seq: int  #: the line's number; 0 for an action
    digest: str  #: the head, or the commitment


def newest(waiting: Iterable[Leaf]) -> list[Leaf]:
    """Of each history its last line, for its head holds the others; sorted."""
    last: dict[tuple[Kind, str], Leaf] = {}
    for leaf in waiting:
        known = last.get((leaf.kind, leaf.id))
        if known is None or known.seq < leaf.seq:
            last[leaf.kind, leaf.id] = leaf
    return sorted(last.values())


def root(leaves: Sequence[Leaf]) -> str:
    """The Merkle tree hash.

    Source: RFC 6962, section 2.1: leaves begin with 0x00 and nodes with 0x01, so that neither can
    be taken for the other; the left side of n leaves is the largest power of two below n.
    """
    hashed = [
        hashlib.sha256(b"\0" + _canonical([one.kind, one.id, one.seq, one.digest])).digest()
        for one in leaves
    ]
    return _tree(hashed).hex()


def _tree(hashed: Sequence[bytes]) -> bytes:
    if len(hashed) < 2:
        return hashed[0] if hashed else hashlib.sha256().digest()
    left = 1 << (len(hashed) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + _tree(hashed[:left]) + _tree(hashed[left:])).digest()


# --- seals ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seal:
    """What was there of a tenant at a moment: ids and digests, no names."""

    tenant: str
    number: int  #: from 1, without gaps
    before: str | None  #: digest of the seal before it
    at: datetime
    leaves: tuple[Leaf, ...]
    root: str
    key_id: str
    signature: str = ""  #: hexadecimal

    def count(self, kind: Kind) -> int:
        return sum(leaf.kind is kind for leaf in self.leaves)


@dataclass(frozen=True, slots=True)
class Last:
    """Where the seals of a tenant ended."""

    number: int = 0
    digest: str | None = None  #: of the whole seal as it was written
    leaves: tuple[Leaf, ...] = ()

    def covered(self, waiting: Iterable[Leaf]) -> list[Leaf]:
        """What the last seal has already: a crash came before anybody noted that."""
        under = {(leaf.kind, leaf.id): leaf.seq for leaf in self.leaves}
        return [leaf for leaf in waiting if under.get((leaf.kind, leaf.id), -1) >= leaf.seq]


def drafted(tenant: str, last: Last, at: datetime, leaves: Sequence[Leaf], key_id: str) -> Seal:
    """The next seal, unsigned."""
    held = tuple(leaves)
    return Seal(tenant, last.number + 1, last.digest, at, held, root(held), key_id)


def statement(seal: Seal) -> bytes:
    """What is signed; the leaves are in it by their root."""
    return b"earwitness.seal/v1\0" + _canonical(_outline(seal))


def _outline(seal: Seal) -> dict[str, object]:
    return {
        "v": VERSION,
        "tenant": seal.tenant,
        "number": seal.number,
        "before": seal.before,
        "at": seal.at.isoformat(),
        "root": seal.root,
        "histories": seal.count(Kind.HISTORY),
        "actions": seal.count(Kind.ACTION),
        "key_id": seal.key_id,
    }


def written(seal: Seal) -> bytes:
    """The seal as it is stored."""
    leaves = [[leaf.kind, leaf.id, leaf.seq, leaf.digest] for leaf in seal.leaves]
    return _canonical({**_outline(seal), "signature": seal.signature, "leaves": leaves})


def read(content: bytes) -> Seal:
    """A stored seal.

    Raises:
        InvalidSeal: it was not written by `written`, or somebody changed it since.
    """
    try:
        said = json.loads(content)
        leaves = tuple(Leaf(Kind(kind), str(i), int(n), str(d)) for kind, i, n, d in said["leaves"])
        at = datetime.fromisoformat(said["at"])
        place = (str(said["tenant"]), int(said["number"]), said["before"], at)
        seal = Seal(*place, leaves, str(said["root"]), str(said["key_id"]), str(said["signature"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidSeal from error
    if written(seal) != content:
        raise InvalidSeal
    return seal


def digest_of(content: bytes) -> str:
    """What the next seal says of a stored one."""
    return hashlib.sha256(content).hexdigest()
