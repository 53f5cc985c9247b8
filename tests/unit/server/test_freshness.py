"""How often a request is dispatched when other servers write to the same store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from netsim.api import errors
from netsim.api.errors import StatusError
from netsim.http.types import Request
from netsim.server import freshness


@pytest.mark.parametrize(("sub", "times"), [("", 2), ("status", 2), ("exec", 1), ("portforward", 1), ("proxy", 1)])
async def test_a_refusal_is_looked_at_again_but_nothing_is_sent_on_twice(sub: str, times: int) -> None:
    synced: list[Any] = []
    dispatched: list[Any] = []

    async def sync(after: int | None = None) -> bool:
        synced.append(after)
        return True

    async def dispatch(core: Any, call: Any) -> Any:
        dispatched.append((call, len(synced)))
        raise errors.unavailable("reset by peer")

    core: Any = SimpleNamespace(store=SimpleNamespace(sync=sync, revision=7))
    target = SimpleNamespace(verb="create", subresource=sub)
    call: Any = SimpleNamespace(request=Request("POST", "/", [], [], b""), target=target, warnings=[])
    with pytest.raises(StatusError):
        await freshness.answer(core, call, dispatch)
    assert len(dispatched) == times
    assert dispatched[-1][1] == 1  # the last one saw fresh state
