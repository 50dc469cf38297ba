"""What does not hold together in a tenant's histories, actions and seals; each with its place.

Everything here is found from the store and the seals alone. What nobody can find: what somebody who
writes the store, digests and all, changes before the first seal is over it (a minute).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shared.domain.audit import (
    Action,
    Chain,
    Kind,
    Leaf,
    Link,
    Seal,
    commitment_of,
    digest_of,
    head_of,
    promise,
    read,
    root,
    statement,
)
from shared.domain.states import State
from shared.errors import InvalidSeal

#: Whether a signature (hexadecimal) of this key is on this statement; None: nobody knows the key.
Signed = Callable[[str, bytes, str], bool | None]


class Fault(StrEnum):
    GAP = "gap"  #: a line, an action or a seal is missing between others
    EDITED = "edited"  #: something says another thing than it did
    BLANKED = "blanked"  #: what it said was taken away, and no erasure says so
    MOVED = "moved"  #: a line does not follow the one before it
    CUT = "cut"  #: the end is missing
    ADDED = "added"  #: it came in by another way than ours
    GONE = "gone"  #: a seal or a mark speaks of it, and it is not there
    FORGED = "forged"  #: a seal's signature is not ours


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    tenant: str
    place: str  #: history ID line N, action ID, seal N
    fault: Fault
    said: str


@dataclass(slots=True)
class Sealed:
    """What all seals of a tenant say, and what waits for the next one."""

    heads: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    actions: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    waiting_actions: dict[str, str] = field(default_factory=dict)

    def add(self, leaves: Iterable[Leaf]) -> None:
        """Leaves of a seal."""
        _put(leaves, self.heads, self.actions)

    def wait(self, leaves: Iterable[Leaf]) -> None:
        """Leaves of the next one."""
        _put(leaves, self.waiting, self.waiting_actions)


def _put(leaves: Iterable[Leaf], heads: dict[str, dict[int, str]], actions: dict[str, str]) -> None:
    for leaf in leaves:
        if leaf.kind is Kind.ACTION:
            actions[leaf.id] = leaf.digest
        else:
            heads[leaf.id][leaf.seq] = leaf.digest


# --- histories ------------------------------------------------------------------------------------


def begins(chain: Chain) -> int:
    """The line with which the chain begins; those before it are older than chains are."""
    return next((one.seq for one in chain.links if one.head is not None), chain.moves + 1)


def of_history(tenant: str, chain: Chain, sealed: Sealed) -> Iterator[Finding]:
    """What is wrong with one recording's history."""

    def found(seq: int, fault: Fault, said: str) -> Finding:
        return Finding(tenant, f"history {chain.recording_id} line {seq}", fault, said)

    for seq, fault, said in _holds(chain):
        yield found(seq, fault, said)
    yield from (found(*one) for one in _ends(chain))
    yield from (found(*one) for one in _vouched(chain, sealed))


_Said = tuple[int, Fault, str]


def _holds(chain: Chain) -> Iterator[_Said]:
    """Each line follows the one before it, and says what it said."""
    erased = any(one.line.state is State.ERASED for one in chain.links)
    first, before = begins(chain), None
    for expected, one in enumerate(chain.links, start=1):
        if one.seq != expected:
            yield expected, Fault.GAP, f"The next line there is has the number {one.seq}."
            return
        if one.seq < first:
            continue
        yield from _says(one, erased)
        if one.head is None or one.commitment is None:
            yield one.seq, Fault.ADDED, "The line has no head, though those before it have."
        elif one.head != head_of(chain.recording_id, one.seq, one.line, before, one.commitment):
            yield one.seq, Fault.MOVED, "Its head is not made of it and of the head before it."
        before = one.head


def _says(one: Link, erased: bool) -> Iterator[_Said]:
    if one.salt is None:
        if not erased:
            yield one.seq, Fault.BLANKED, "What it says is gone, and the recording is not erased."
    elif one.commitment != commitment_of(one.line, one.salt):
        yield one.seq, Fault.EDITED, "It says another thing than when it was written."


def _ends(chain: Chain) -> Iterator[_Said]:
    """The recording knows how many lines there are, and the head of the last."""
    there = chain.links[-1].seq if chain.links else 0
    if there < chain.moves:
        yield there + 1, Fault.CUT, f"The recording knows of {chain.moves} lines."
    elif there > chain.moves:
        yield there, Fault.ADDED, f"The recording knows of {chain.moves} lines."
    elif chain.links and chain.links[-1].head != chain.head:
        yield there, Fault.EDITED, "The recording knows of another head."


def _vouched(chain: Chain, sealed: Sealed) -> Iterator[_Said]:
    """Every line is under a seal or waits for one; what either of them says is there."""
    heads = {one.seq: one.head for one in chain.links}
    under, waiting = (
        sealed.heads.get(chain.recording_id, {}),
        sealed.waiting.get(chain.recording_id, {}),
    )
    for told, where in ((under, "A seal"), (waiting, "What waits for a seal")):
        for seq, digest in sorted(told.items()):
            if seq not in heads:
                yield seq, Fault.CUT, f"{where} says that this line was there."
            elif heads[seq] != digest:
                yield seq, Fault.EDITED, f"{where} has another head."
    last = max(under, default=0)
    for one in chain.links:
        if one.head is not None and one.seq > last and one.seq not in waiting:
            yield one.seq, Fault.ADDED, "No seal has it, and it does not wait for one."


def missing_histories(tenant: str, there: Iterable[str], sealed: Sealed) -> Iterator[Finding]:
    """Recordings that seals speak of and that are not there."""
    for one in sorted(({*sealed.heads, *sealed.waiting}) - set(there)):
        yield Finding(tenant, f"history {one}", Fault.GONE, "The whole history is not there.")


# --- actions --------------------------------------------------------------------------------------


def of_action(action: Action, sealed: Sealed) -> Iterator[Finding]:
    """What is wrong with one action."""

    def found(fault: Fault, said: str) -> Finding:
        return Finding(action.tenant, f"action {action.id}", fault, said)

    if action.salt is None:
        yield found(Fault.BLANKED, "What it says is gone.")
    elif promise(action, action.salt) != action.commitment:
        yield found(Fault.EDITED, "It says another thing than when it was written.")
    known = sealed.actions.get(action.id) or sealed.waiting_actions.get(action.id)
    if known is None:
        yield found(Fault.ADDED, "No seal has it, and it does not wait for one.")
    elif known != action.commitment:
        yield found(Fault.EDITED, "What it is held by says another thing.")


def missing_actions(tenant: str, there: Iterable[str], sealed: Sealed) -> Iterator[Finding]:
    """Actions that seals speak of and that are not there."""
    for one in sorted(({*sealed.actions, *sealed.waiting_actions}) - set(there)):
        yield Finding(tenant, f"action {one}", Fault.GONE, "The action is not there.")


# --- seals ----------------------------------------------------------------------------------------


def of_seals(
    tenant: str, stored: Mapping[int, bytes], signed: Signed
) -> tuple[list[Seal], list[Finding]]:
    """The seals that can be read, by number, and what is wrong with any of them."""
    seals, findings = list[Seal](), list[Finding]()
    for number in range(1, max(stored, default=0) + 1):
        place = f"seal {number}"
        if number not in stored:
            findings.append(Finding(tenant, place, Fault.GAP, "The seal is not there."))
            continue
        try:
            seal = read(stored[number])
        except InvalidSeal:
            findings.append(Finding(tenant, place, Fault.EDITED, "It cannot be read."))
            continue
        wrong = _of_seal(seal, (tenant, number), stored.get(number - 1), signed)
        findings += [Finding(tenant, place, fault, said) for fault, said in wrong]
        seals.append(seal)
    return seals, findings


def _of_seal(
    seal: Seal, place: tuple[str, int], before: bytes | None, signed: Signed
) -> Iterator[tuple[Fault, str]]:
    if (seal.tenant, seal.number) != place:
        yield Fault.MOVED, f"It is seal {seal.number} of {seal.tenant}."
    if before is not None and seal.before != digest_of(before):
        yield Fault.MOVED, "It was made after another seal than the one before it."
    if seal.number == 1 and seal.before is not None:
        yield Fault.GAP, "There was a seal before the first."
    if seal.root != root(seal.leaves):
        yield Fault.EDITED, "Its root is not that of what it lists."
    verdict = signed(seal.key_id, statement(seal), seal.signature)
    if verdict is None:
        yield Fault.FORGED, f"Nobody knows the key {seal.key_id}. Give an old one with --key."
    elif not verdict:
        yield Fault.FORGED, f"The key {seal.key_id} did not sign this."


def summed(seals: Sequence[Seal], waiting: Iterable[Leaf]) -> Sealed:
    """What the seals say, and what waits for the next one."""
    known = Sealed()
    for seal in seals:
        known.add(seal.leaves)
    known.wait(waiting)
    return known
