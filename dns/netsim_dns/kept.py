"""Answers kept, bounded in number, and dropped by what they were made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .index import Touched
from .reply import Body, Records, Shuffle
from .shapes import Shape, Shapes

# A generation that is full becomes the old one, and the old one is forgotten: what is asked often is taken over.
GENERATION_MAX = 40_000
# denials differ in where their SOA points to, so that few bodies serve all of them
DENIALS_MAX = 4096
# queries for which one answer is at hand; clients ask in few ways, and one with a new way each time fills no memory
COPIES_MAX = 16
# queries remembered by a number, to tell those that come again from those of clients that spell each one anew
ONCE_MAX = 16_384

VOLATILE: Touched = (None, None)
"""Dropped with every change: answers that are made from more than can be said."""


@dataclass(frozen=True, slots=True)
class Varied:
    """A message whose records change places: what is before them, addresses in any order, what is between, additional
    records in any order, the end."""

    before: bytes
    addresses: Records
    between: bytes
    additional: Records
    end: bytes

    def render(self, shuffle: Shuffle) -> bytes:
        """The message with its records in one of their orders."""
        addresses, additional = shuffle(self.addresses), shuffle(self.additional)
        return b"".join((self.before, *addresses, self.between, *additional, self.end))


Ready = tuple[bytes, Shape, int]
"""A message without its id, empty if there is none; what the exchange counts as; and where in the message the SOA's
serial is, 0 if nowhere."""
Made = tuple[bytes | Varied, Shape, int]
"""As it was when it was made."""
NOT_READY: Ready = (b"", Shape((b"", 0, 0, 0)), 0)


class Messages(dict[bytes, Ready]):
    """What is sent now, by query without id; `NOT_READY` for queries of which nothing is kept. One look-up is all that
    most queries cost.

    `kept` are the messages as they were made. What is not here is looked for there: what has a date when it is asked
    for the first time after the serial has changed, what has an order each time.
    """

    def __init__(self, shuffle: Shuffle, serial: bytes) -> None:
        super().__init__()
        self.kept: dict[bytes, Made] = {}
        self._shuffle, self._serial = shuffle, serial

    def __missing__(self, query: bytes) -> Ready:
        message, shape, serial_at = self.kept.get(query, NOT_READY)
        if isinstance(message, Varied):
            return message.render(self._shuffle), shape, 0
        if not message:
            return NOT_READY
        if serial_at:
            message = message[:serial_at] + self._serial + message[serial_at + len(self._serial) :]
        ready = self[query] = self.kept[query] = (message, shape, serial_at)
        return ready

    def renew(self, serial: bytes) -> None:
        """Have the SOAs of all messages this serial."""
        if serial != self._serial:
            self.clear()
            self._serial = serial

    def forget(self, query: bytes) -> None:
        """Keep nothing of a query."""
        self.pop(query, None)
        self.kept.pop(query, None)

    def forget_all(self) -> None:
        """Keep nothing."""
        self.clear()
        self.kept.clear()


@dataclass(slots=True)
class Kept:
    """A body, by its question in lower case. `exact`: it serves that spelling only. `copies` are the queries for which
    it is at hand ready made, each with the table."""

    body: Body
    exact: bool = False
    touched: Touched | None = None
    copies: tuple[tuple[Messages, bytes], ...] = ()


class _Generation:
    def __init__(self, messages: Callable[[], Messages]) -> None:
        self.bodies: dict[bytes, Kept] = {}
        self.udp, self.tcp = messages(), messages()
        self._made_from: dict[bytes | None, dict[bytes | None, list[bytes]]] = {}

    def full(self) -> bool:
        return max(len(self.bodies), len(self.udp.kept), len(self.tcp.kept)) >= GENERATION_MAX

    def add(self, key: bytes, kept: Kept) -> None:
        self.bodies[key] = kept
        if kept.touched is not None:
            group, member = kept.touched
            self._made_from.setdefault(group, {}).setdefault(member, []).append(key)

    def drop(self, touched: Touched) -> None:
        group, member = touched
        members = self._made_from.get(group)
        if members is None:
            return
        if group is not None and member is None:
            del self._made_from[group]
            for keys in members.values():
                self._forget(keys)
        elif member in members:
            self._forget(members.pop(member))

    def _forget(self, keys: list[bytes]) -> None:
        for key in keys:
            kept = self.bodies.pop(key, None)
            for table, query in kept.copies if kept else ():
                table.forget(query)


class Keeper:
    """Two generations of kept answers. `udp` and `tcp` are the messages of the young one."""

    def __init__(self, shuffle: Shuffle) -> None:
        self._shuffle = shuffle
        self.serial = bytes(4)
        self._denials: dict[tuple[int, Records, Records], Body] = {}
        self.shapes = Shapes()
        self._once: set[int] = set()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._denials.clear()
        self._young, self._old = self._generation(), self._generation()
        self.udp, self.tcp = self._young.udp, self._young.tcp

    def _generation(self) -> _Generation:
        return _Generation(lambda: Messages(self._shuffle, self.serial))

    def renew(self, serial: bytes) -> None:
        """Have all SOAs this serial, in 4 bytes."""
        self.serial = serial
        self.udp.renew(serial)
        self.tcp.renew(serial)

    def __len__(self) -> int:
        return len(self._young.bodies) + len(self._old.bodies)

    def find(self, key: bytes) -> Kept | None:
        """The answer to a question in lower case."""
        kept = self._young.bodies.get(key)
        if kept is None and (kept := self._old.bodies.pop(key, None)) is not None:
            kept.copies = ()
            self.add(key, kept)
        return kept

    def add(self, key: bytes, kept: Kept) -> None:
        """Keep an answer to a question for which none is kept."""
        if self._young.full():
            self._turn_over()
        if kept.body.dated:
            kept.body = self._shared(kept.body)
        self._young.add(key, kept)

    def _shared(self, body: Body) -> Body:
        if len(self._denials) >= DENIALS_MAX:
            self._denials.clear()
        return self._denials.setdefault((body.flags, body.fixed, body.authority), body)

    def _turn_over(self) -> None:
        self._old, self._young = self._young, self._generation()
        self.udp.forget_all()
        self.tcp.forget_all()
        self.udp, self.tcp = self._young.udp, self._young.tcp

    def add_ready(self, key: bytes, kept: Kept, stream: bool, query: bytes, ready: Made) -> None:
        """Have an answer at hand for one query, if it is the one kept under `key`: others would never be dropped."""
        if self._young.bodies.get(key) is not kept or len(kept.copies) >= COPIES_MAX:
            return
        table = self.tcp if stream else self.udp
        if len(table.kept) >= GENERATION_MAX:
            self._turn_over()
            return
        table.kept[query] = ready
        kept.copies += ((table, query),)

    def comes_again(self, query: bytes) -> bool:
        """Has a query come before, not long ago?"""
        mark = hash(query)
        if mark in self._once:
            return True
        if len(self._once) >= ONCE_MAX:
            self._once.clear()
        self._once.add(mark)
        return False

    def drop(self, touched: Touched) -> None:
        """Forget what was made from something that has changed."""
        self._young.drop(touched)
        self._old.drop(touched)
