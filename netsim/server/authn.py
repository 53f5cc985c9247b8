"""Who asks: trusted peer, client certificate, bearer token, or anonymous."""

from __future__ import annotations

import logging
from datetime import UTC

from netsim.api import errors, kinds
from netsim.http.types import Request
from netsim.server.core import Core
from netsim.server.rbac import User
from netsim.server.tokens import TokenError, bootstrap_secret_name, bootstrap_user, looks_like_bootstrap

log = logging.getLogger(__name__)

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
TRUSTED = User("system:admin", ("system:masters", "system:authenticated"))
SERVER = User("system:apiserver", ("system:masters", "system:authenticated"))
"""The server itself, as the author of what it creates."""


async def authenticate(core: Core, request: Request) -> User:
    """The user behind a request; 401 for a bearer token that does not hold."""
    peer = request.peer
    token = _bearer(request)
    if token:
        return await check_token(core, token)
    if peer.common_name:
        return User(peer.common_name, (*peer.organizations, "system:authenticated"))
    return TRUSTED if peer.trusted else ANONYMOUS


def _bearer(request: Request) -> str:
    scheme, _, token = request.header("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def check_token(core: Core, token: str, audiences: tuple[str, ...] = ()) -> User:
    """The user behind a bearer token, or 401."""
    now = core.clock().astimezone(UTC)
    try:
        if looks_like_bootstrap(token):
            secret = await core.find(kinds.SECRETS, "kube-system", bootstrap_secret_name(token))
            return bootstrap_user(secret, token, now)
        return await core.tokens.authenticate(token, core.find, now, audiences)
    except (TokenError, ValueError) as error:
        log.info("a bearer token was refused: %s", error)
        raise errors.unauthorized() from None
