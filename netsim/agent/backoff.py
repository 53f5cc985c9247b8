"""Crash back-off of containers and failing steps, with kubelet's figures (10 s to 300 s, forgotten in 10 min)."""

from __future__ import annotations

from netsim.agent.model import Container, Failure

FIRST = 10.0
MAX = 300.0
FORGET = 600.0
SYNC = 10.0
"""How often a kubelet tries again what no back-off is told of: a missing ConfigMap, an image with policy Never."""
MOUNT = 122.0
"""The longest that a kubelet waits before it tries a volume again."""


def restart_at(container: Container) -> float:
    """When (epoch seconds) an ended container may start again; a first restart waits for nothing, nor does that of a
    container which has not crashed but was lost."""
    if container.exit is None or container.exit.lost or container.backoff == 0 or _forgotten(container):
        return 0.0
    return container.exit.finished_at + container.backoff


def next_backoff(container: Container) -> float:
    """The back-off (seconds) that a restart now puts in force for the restart after it; a loss leaves it as it is."""
    if container.exit is not None and container.exit.lost:
        return container.backoff
    if container.backoff == 0 or _forgotten(container):
        return FIRST
    return min(container.backoff * 2, MAX)


def _forgotten(container: Container) -> bool:
    return container.exit is not None and container.exit.finished_at - container.backoff_at > FORGET


def fail(
    previous: Failure | None,
    reason: str,
    message: str,
    now: float,
    *,
    image: str = "",
    first: float = FIRST,
    longest: float = MAX,
) -> Failure:
    """The failure to record after another unsuccessful try: the delay doubles from `first` to `longest` seconds."""
    same = previous is not None and previous.image == image
    delay = min(previous.delay * 2, longest) if previous is not None and same else first
    return Failure(reason, message, delay, now + delay, image, now)
