"""Who asks: trusted peer, client certificate, bearer token, or anonymous."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC
from functools import lru_cache
from urllib.parse import unquote

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


_IMPERSONATE = "impersonate-"
_EXTRA = f"{_IMPERSONATE}extra-"
_AUTHENTICATION = "authentication.k8s.io"


def _asked_extra(request: Request) -> dict[str, tuple[str, ...]]:
    """The Impersonate-Extra-KEY headers; keys are lower case and may be percent-encoded."""
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in request.headers:
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA)).lower()
            extra[key] = (*extra.get(key, ()), value)
    return extra


def impersonated(request: Request) -> User | None:
    """The user of the Impersonate-User, -Group, -Uid and -Extra headers, if they are set."""
    asked = [header for header, _ in request.headers if header.startswith(_IMPERSONATE)]
    if not asked:
        return None
    name, uid = request.header(f"{_IMPERSONATE}user"), request.header(f"{_IMPERSONATE}uid")
    groups = tuple([value for header, value in request.headers if header == f"{_IMPERSONATE}group"])
    extra = _asked_extra(request)
    if not name:
        raise errors.bad_request(f"requested {', '.join(asked)} without impersonating a user name")
    if name == ANONYMOUS.name:
        return User(name, groups or ANONYMOUS.groups, uid, extra)
    if name.startswith(SERVICE_ACCOUNT_PREFIX) and not groups:
        groups = account_groups(name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")[0])
    groups = groups if "system:authenticated" in groups else (*groups, "system:authenticated")
    return User(name, groups, uid, extra)


async def effective_user(core: Core, request: Request) -> User:
    """The authenticated user, or the one it impersonates and may (RBAC verb impersonate)."""
    user = await authenticate(core, request)
    wanted = impersonated(request)
    if wanted is None:
        return user
    for attributes in _impersonations(request, wanted):
        if not await core.authorizer.allows(user, attributes):
            raise refusal(user, attributes)
    return wanted


def _impersonations(request: Request, wanted: User) -> Iterator[Attributes]:
    """What must be allowed: the verb impersonate for the user or account, each group, the uid and each extra value."""
    verb = "impersonate"
    if wanted.name.startswith(SERVICE_ACCOUNT_PREFIX):
        namespace, _, account = wanted.name.removeprefix(SERVICE_ACCOUNT_PREFIX).partition(":")
        yield Attributes(verb, "", "serviceaccounts", namespace=namespace, name=account)
    else:
        yield Attributes(verb, "", "users", name=wanted.name)
    for header, group in request.headers:
        if header == f"{_IMPERSONATE}group":
            yield Attributes(verb, "", "groups", name=group)
    if wanted.uid:
        yield Attributes(verb, _AUTHENTICATION, "uids", name=wanted.uid)
    for key, values in wanted.extra.items():
        for value in values:
            yield Attributes(verb, _AUTHENTICATION, "userextras", key, name=value)
