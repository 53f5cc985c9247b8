"""Answers no older than their questions, when other servers write to the same store.

Reads of the newest state first wait until this server has seen what was acknowledged to anybody. Writes are decided on
the state at hand, since their comparison of revisions protects them; only a refusal is looked at again on fresh state.
What goes on to a pod or node is sent once: it waits as reads do, and its failure is the answer.
With a store of our own nothing of this costs anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from netsim.api import errors
from netsim.api.errors import StatusError
from netsim.http.types import Request, Response
from netsim.server.core import Call, Core
from netsim.server.requests import CONNECTS
from netsim.store.types import Store

PATIENCE = 3.0
"""Seconds a read waits for the revision it names, as in Kubernetes."""
_LONGEST_NUMBER = 19
_FRESH = ("get", "list", "watch", "deletecollection")


def needs_newest(request: Request, verb: str, revision: int) -> bool:
    """Whether a request must be answered from a state newer than `revision`, the one at hand (pure): it is a read that
    names no resourceVersion, or one that is not here yet."""
    if verb not in _FRESH:
        return False
    asked = request.param("resourceVersion")
    if not asked or request.param("continue"):
        return True
    return len(asked) <= _LONGEST_NUMBER and asked.isdecimal() and int(asked) > revision


async def answer(core: Core, call: Call, dispatch: Callable[[Core, Call], Awaitable[Response]]) -> Response:
    """`dispatch`, on a state that is new enough for the request."""
    store = core.store
    if call.target.subresource in CONNECTS or needs_newest(call.request, call.target.verb, store.revision):
        await store.sync()
        return await dispatch(core, call)
    revision, warnings = store.revision, len(call.warnings)
    try:
        return await dispatch(core, call)
    except StatusError:
        if not await store.sync(revision):
            raise
    del call.warnings[warnings:]
    return await dispatch(core, call)


async def reach(store: Store, revision: int) -> None:
    """Wait until the store has come to `revision`; 504 when it takes too long."""
    if revision <= store.revision:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            await anext(store.watch("", revision - 1))
    except TimeoutError:
        # There are revisions of a shared store that are nobody's event here.
        if revision > store.revision:
            raise errors.too_large_revision(revision, store.revision) from None
