"""ServiceAccount tokens (signed JWTs bound to an account and perhaps a pod) and bootstrap tokens.

Claims as Kubernetes writes them (KEP-1205): iss, sub, aud, exp, iat, nbf, jti and `kubernetes.io`.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from netsim.api import kinds
from netsim.api.kinds import Kind, Obj
from netsim.api.times import parse_time
from netsim.server.rbac import SERVICE_ACCOUNT_PREFIX, User

MIN_SECONDS = 600
MAX_SECONDS = 1 << 32
DEFAULT_SECONDS = 3600
_AUTHENTICATION = "authentication.kubernetes.io/"
CREDENTIAL_ID = f"{_AUTHENTICATION}credential-id"
"""The key of a User's `extra` that tells which credential it showed."""
_BOOTSTRAP = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_BOUND_KINDS = {"pod": kinds.PODS, "secret": kinds.SECRETS, "node": kinds.NODES}

Find = Callable[[Kind, str, str], Awaitable[Obj | None]]
"""(kind, namespace, name) -> object or None, from the server's state."""


class TokenError(Exception):
    """The token is not valid; the message says why, for the log only."""


def account_groups(namespace: str) -> tuple[str, ...]:
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The `kid` by which tokens name the key that signed them."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()


class TokenSigner:
    """Signs and checks ServiceAccount tokens with ES256."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, issuer: str) -> None:
        self._key, self._public, self.issuer = key, key.public_key(), issuer
        self._key_id = key_id(self._public)
        self._verified: dict[str, dict[str, Any]] = {}

    def sign(
        self, account: Obj, *, now: datetime, token_id: str, audiences: Sequence[str] = (),
        seconds: int = DEFAULT_SECONDS, bound: Obj | None = None, node: Obj | None = None,
    ) -> tuple[str, datetime]:  # fmt: skip
        """A token for the account, bound to `bound` (a Pod, Secret or Node object), and when it expires."""
        expires = now + timedelta(seconds=seconds)
        metadata = account["metadata"]
        private: Obj = {"serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]}}
        for name, obj in ((str((bound or {}).get("kind", "")).lower(), bound), ("node", node)):
            if obj is not None:
                private[name] = {key: obj["metadata"][key] for key in ("name", "uid") if key in obj["metadata"]}
        private = {"namespace": metadata["namespace"], **dict(sorted(private.items()))}
        claims = {
            "aud": list(audiences) or [self.issuer],
            "exp": int(expires.timestamp()),
            "iat": int(now.timestamp()),
            "iss": self.issuer,
            "jti": token_id,
            "kubernetes.io": private,
            "nbf": int(now.timestamp()),
            "sub": f"{SERVICE_ACCOUNT_PREFIX}{metadata['namespace']}:{metadata['name']}",
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id}), expires

    def claims(self, token: str, audiences: Sequence[str] = ()) -> dict[str, Any]:
        """The claims of a token whose signature, issuer and audience hold; the caller checks times and uids.

        Verified tokens are remembered (a signature check costs 0.1 ms); TokenError otherwise.
        """
        known = self._verified.get(token)
        if known is None:
            try:
                known = jwt.decode(
                    token, self._public, algorithms=["ES256"], issuer=self.issuer,
                    options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False,
                             "require": ["exp", "iss", "sub"]},
                )  # fmt: skip
            except jwt.PyJWTError as error:
                raise TokenError(str(error)) from None
            if len(self._verified) > 4096:
                self._verified.clear()
            self._verified[token] = known
        if not set(known.get("aud") or ()) & set(audiences or (self.issuer,)):
            raise TokenError(f"the token's audience {known.get('aud')} is not this server")
        return known

    def audiences(self, token: str) -> tuple[str, ...]:
        """Whom a token that held is meant for; the server itself where it says nothing (a bootstrap token)."""
        return tuple((self._verified.get(token) or {}).get("aud") or (self.issuer,))

    async def authenticate(self, token: str, find: Find, now: datetime, audiences: Sequence[str] = ()) -> User:
        """The ServiceAccount behind a token: within its times, account and bound object still there with their uids."""
        claims = self.claims(token, audiences)
        moment = now.timestamp()
        if not claims.get("nbf", 0) - 60 <= moment < claims["exp"]:
            raise TokenError("the token has expired or is not valid yet")
        private = claims.get("kubernetes.io") or {}
        namespace, account = private.get("namespace", ""), private.get("serviceaccount") or {}
        await _check_uid(find, kinds.SERVICE_ACCOUNTS, namespace, account)
        extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"JTI={claims['jti']}",)} if "jti" in claims else {}
        for claim, kind in _BOUND_KINDS.items():
            bound = private.get(claim)
            if bound is None:
                continue
            if claim != "node" or "pod" not in private:  # beside a pod, the node is for information only
                await _check_uid(find, kind, namespace if kind.namespaced else "", bound)
            if claim != "secret":
                extra |= {f"{_AUTHENTICATION}{claim}-{key}": (bound[key],) for key in ("name", "uid") if key in bound}
        return User(claims["sub"], account_groups(namespace), account["uid"], extra)


async def _check_uid(find: Find, kind: Kind, namespace: str, claim: Obj) -> None:
    found = await find(kind, namespace, str(claim.get("name", "")))
    if found is None or found["metadata"]["uid"] != claim.get("uid"):
        raise TokenError(f"{kind.singular} {namespace}/{claim.get('name')} of the token is gone")


def looks_like_bootstrap(token: str) -> bool:
    return _BOOTSTRAP.fullmatch(token) is not None


def bootstrap_secret_name(token: str) -> str:
    return f"bootstrap-token-{token.partition('.')[0]}"


def _text(secret: Obj, key: str) -> str:
    return base64.b64decode((secret.get("data") or {}).get(key, "")).decode("utf-8", "replace")


def bootstrap_user(secret: Obj | None, token: str, now: datetime) -> User:
    """The user of a bootstrap token from its Secret in kube-system; TokenError when it does not hold."""
    if secret is None or secret.get("type") != "bootstrap.kubernetes.io/token":
        raise TokenError("no bootstrap token of that id")
    token_id, _, token_secret = token.partition(".")
    held = _text(secret, "token-secret").encode()
    if not hmac.compare_digest(held, token_secret.encode()) or _text(secret, "token-id") != token_id:
        raise TokenError("the bootstrap token's secret does not match")
    if _text(secret, "usage-bootstrap-authentication") != "true":
        raise TokenError("the bootstrap token is not for authentication")
    expiration = _text(secret, "expiration")
    if expiration and parse_time(expiration).astimezone(UTC) <= now:
        raise TokenError("the bootstrap token has expired")
    extra = [
        group for group in _text(secret, "auth-extra-groups").split(",") if group.startswith("system:bootstrappers:")
    ]
    return User(f"system:bootstrap:{token_id}", ("system:bootstrappers", *extra, "system:authenticated"))
