"""What a controller is: a pure reconcile, and what wakes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsim.api.kinds import Kind, Obj
from netsim.controllers.queue import BACKOFF, Backoff
from netsim.controllers.view import View
from netsim.controllers.writes import Writes

if TYPE_CHECKING:
    from netsim.client.rest import Client

PARALLEL = 64
"""Keys of one controller worked on at once, and writes of one reconcile under way at once."""

Wake = Callable[[View, Obj | None, Obj | None], Iterable[str]]
"""(view, old, new) -> the keys which that change of an object concerns."""
Observe = Callable[["Client", str, View], Awaitable[Mapping[str, Any]]]
"""(client, key, view) -> facts which the caches do not hold; only ever reads."""


@dataclass(frozen=True, slots=True)
class Controller:
    """A pure `reconcile` and what wakes it. `observe`, where there is one, gathers `View.facts` before. `rest`
    seconds pass at least between a round that wrote and the next of the same key, so that a burst of changes becomes
    one write. `parallel` keys are worked on at once. `custom` gives what wakes it for each custom kind. `reporter` is
    who its Events come from, where that is not its name. After a refused write it waits for its `backoff`."""

    name: str
    reconcile: Callable[[str, View], Writes]
    watches: tuple[tuple[Kind, Wake], ...]
    observe: Observe | None = None
    rest: float = 0.0
    parallel: int = PARALLEL
    custom: Callable[[Kind], Wake] | None = None
    reporter: str = ""
    backoff: Backoff = BACKOFF
