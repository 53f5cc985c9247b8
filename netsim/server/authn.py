"""Who asks: trusted peer, client certificate, bearer token, or anonymous."""

from __future__ import annotations

import logging
from datetime import UTC
from functools import lru_cache

from netsim.api import errors, kinds
from netsim.http.types import Request
from netsim.server.authz import refusal
from netsim.server.core import Core
from netsim.server.rbac import SERVICE_ACCOUNT_PREFIX, Attributes, User
from netsim.server.tokens import (
    CREDENTIAL_ID,
    TokenError,
    account_groups,
    bootstrap_secret_name,
    bootstrap_user,
    looks_like_bootstrap,
)

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
        return _holder(peer.common_name, peer.organizations, peer.fingerprint)
    return TRUSTED if peer.trusted else ANONYMOUS


@lru_cache(1024)
def _holder(name: str, organizations: tuple[str, ...], fingerprint: str) -> User:
    """The user that a client certificate names."""
    extra = {CREDENTIAL_ID: (f"X509SHA256={fingerprint}",)} if fingerprint else {}
    return User(name, (*organizations, "system:authenticated"), extra=extra)


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


def impersonated(request: Request) -> User | None:
    """The user of the Impersonate-User and Impersonate-Group headers, if they are set."""
    name = request.header("impersonate-user")
    groups = tuple([value for header, value in request.headers if header == "impersonate-group"])
    if not name:
        if groups:
            raise errors.bad_request("requested groups without impersonating a user")
        return None
    if name == ANONYMOUS.name:
        return User(name, groups or ANONYMOUS.groups)
    if name.startswith(SERVICE_ACCOUNT_PREFIX) and not groups:
        groups = account_groups(name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")[0])
    return User(name, (*groups, "system:authenticated") if "system:authenticated" not in groups else groups)


async def effective_user(core: Core, request: Request) -> User:
    """The authenticated user, or the one it impersonates and may (RBAC verb impersonate)."""
    user = await authenticate(core, request)
    wanted = impersonated(request)
    if wanted is None:
        return user
    asked = [Attributes("impersonate", "", "users", name=wanted.name)]
    if wanted.name.startswith(SERVICE_ACCOUNT_PREFIX):
        namespace, _, account = wanted.name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
        asked = [Attributes("impersonate", "", "serviceaccounts", namespace=namespace, name=account)]
    given = [value for header, value in request.headers if header == "impersonate-group"]
    asked += [Attributes("impersonate", "", "groups", name=group) for group in given]
    for attributes in asked:
        if not await core.authorizer.allows(user, attributes):
            raise refusal(user, attributes)
    return wanted
