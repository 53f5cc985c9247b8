"""Changes whose messages are the same from one time to the next but for a few values: encoded once, then filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from netsim.host._transport import MAX_IN_FLIGHT, Request, render_requests
from netsim.host.netlink import Netlink, NetlinkError

FIRST = 1 << 24
"""Number of a pattern's first request: far from those that a socket counts."""


__all__ = ["Draft", "Pattern", "Request", "make_pattern", "send_pattern"]


class Draft(Netlink):
    """A Netlink that sends nothing, and keeps what it is asked to change. It takes `indexes` for those of the devices
    and `netns` for the descriptor of each namespace."""

    def __init__(self, indexes: Mapping[str, int], netns: int) -> None:
        self.requests: list[Request] = []
        self._queue, self._indexes, self._place = self.requests, dict(indexes), netns

    def _descriptor(self, netns: str | int) -> int:
        return self._place


class Pattern(NamedTuple):
    """Requests, as many at once as a socket takes: messages with %(NAME)b where a value goes, and their number."""

    parts: tuple[tuple[bytes, int], ...]

    def fill(self, values: Mapping[bytes, bytes]) -> list[bytes]:
        """The messages with the values in their places."""
        return [messages % values for messages, _ in self.parts]


def make_pattern(requests: Sequence[Request], values: Mapping[bytes, bytes]) -> Pattern:
    """Requests with the names of `values` wherever those are, the first before the others (pure).

    Who takes bytes for a value that only look like it would change something else: `fill` is to be compared once with
    the messages of other values.
    """
    parts = []
    for start in range(0, len(requests), MAX_IN_FLIGHT):
        some = requests[start : start + MAX_IN_FLIGHT]
        text = render_requests(some, FIRST).replace(b"%", b"%%")
        for name, value in values.items():
            text = text.replace(value.replace(b"%", b"%%"), b"%%(%b)b" % name)
        parts.append((text, len(some)))
    return Pattern(tuple(parts))


def send_pattern(
    netlink: Netlink, pattern: Pattern, values: Mapping[bytes, bytes], asked: Callable[[int], str]
) -> None:
    """Make the changes; NetlinkError for the first that the kernel refuses, when those sent with it have been tried.

    `asked` says what the request at a place, counted from 0, asks for.
    """
    before = 0
    for messages, count in pattern.parts:
        refused = netlink.deliver(messages % values, FIRST, count)
        if refused:
            place, errno, detail = refused[0]
            raise NetlinkError(errno, asked(before + place), detail)
        before += count
