"""How others check ServiceAccount tokens without asking the server (OpenID Connect Discovery 1.0, RFC 7517)."""

from __future__ import annotations

import base64

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from netsim.api.kinds import Obj
from netsim.http.types import Response
from netsim.server.core import Core
from netsim.server.tokens import key_id

_ALGORITHM = "ES256"
_BYTES = 32
_CACHED = ("Cache-Control", "public, max-age=3600")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_set(key: ec.EllipticCurvePublicKey) -> Obj:
    """The JSON Web Key Set with that one P-256 key."""
    numbers = key.public_numbers()
    point = {name: _base64(getattr(numbers, name).to_bytes(_BYTES, "big")) for name in ("x", "y")}
    return {"keys": [{"use": "sig", "kty": "EC", "kid": key_id(key), "crv": "P-256", "alg": _ALGORITHM, **point}]}


def configuration(issuer: str, address: str) -> Obj:
    """The issuer's metadata; `address` is the server's host:port."""
    return {
        "issuer": issuer,
        "jwks_uri": f"https://{address}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [_ALGORITHM],
    }


def serve_configuration(core: Core) -> Response:
    """GET /.well-known/openid-configuration."""
    document = configuration(core.tokens.issuer, core.config.address)
    return Response(200, [_CACHED, ("Content-Type", "application/json")], orjson.dumps(document))


def serve_keys(core: Core) -> Response:
    """GET /openid/v1/jwks."""
    document = key_set(core.pki.service_account_key.public_key())
    return Response(200, [_CACHED, ("Content-Type", "application/jwk-set+json")], orjson.dumps(document))
