"""How a node that knows only a token finds and trusts its cluster: kubeadm's token discovery, as values.

The control plane publishes `kube-public/cluster-info`: a kubeconfig with the CA, and for every bootstrap token a
detached JWS (RFC 7515 appendix F, HS256) over that text, keyed by the token's secret. A node reads it without
trusting anybody, and believes it when the signature of its own token fits.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

Obj = dict[str, Any]
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
CLUSTER_INFO = "cluster-info"
TOKEN_TYPE = "bootstrap.kubernetes.io/token"
SIGNATURE_PREFIX = "jws-kubeconfig-"
BOOTSTRAP_GROUP = "system:bootstrappers:kubeadm:default-node-token"


class TokenError(ValueError):
    """A token that is malformed, or that did not sign what was read."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bootstrap token `ID.SECRET`; the id is public, the secret is not."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"


def parse_token(text: str) -> Token:
    """A token from its usual text form."""
    match = _TOKEN.fullmatch(text.strip())
    if match is None:
        raise TokenError("--token: expected ID.SECRET, 6 and 16 characters of a-z and 0-9; `netsim token` makes one")
    return Token(match[1], match[2])


def sign(text: str, token: Token) -> str:
    """The detached JWS of `text`: header and signature with nothing between the dots."""
    header = _b64(json.dumps({"alg": "HS256", "kid": token.id}, separators=(",", ":")).encode())
    return f"{header}..{_b64(_mac(header, text, token))}"


def verify(text: str, signature: str, token: Token) -> None:
    """Raise TokenError unless `signature` is this token's over `text`."""
    header, _, mac = signature.partition("..")
    if not hmac.compare_digest(mac, _b64(_mac(header, text, token))):
        raise TokenError("the cluster's answer is not signed with this token: another cluster, or someone in between")


def _mac(header: str, text: str, token: Token) -> bytes:
    return hmac.new(token.secret.encode(), f"{header}.{_b64(text.encode())}".encode(), hashlib.sha256).digest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token_secret(token: Token, expiration: str = "") -> Obj:
    """The Secret that makes the API server accept the token; `expiration` is RFC 3339, empty for never."""
    data = {
        "token-id": token.id,
        "token-secret": token.secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": BOOTSTRAP_GROUP,
    }
    if expiration:
        data["expiration"] = expiration
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TOKEN_TYPE,
        "metadata": {"name": f"bootstrap-token-{token.id}", "namespace": "kube-system"},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def tokens_in(secrets: Iterable[Obj]) -> list[Token]:
    """The tokens of those Secrets that are bootstrap tokens meant for signing."""
    found = []
    for secret in secrets:
        if secret.get("type") == TOKEN_TYPE:
            data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
            if data.get("usage-bootstrap-signing") == "true":
                found.append(Token(data.get("token-id", ""), data.get("token-secret", "")))
    return found


def cluster_info(kubeconfig: str, *tokens: Token) -> Obj:
    """The ConfigMap that a joining node reads; one signature entry per token."""
    signatures = {f"{SIGNATURE_PREFIX}{token.id}": sign(kubeconfig, token) for token in tokens}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CLUSTER_INFO, "namespace": "kube-public"},
        "data": {"kubeconfig": kubeconfig, **signatures},
    }


def cluster_info_patch(present: Obj, wanted: Obj) -> Obj:
    """The merge patch that makes `present` say what `wanted` says, without signatures of tokens that are gone."""
    stale = {key: None for key in present.get("data") or {} if key.startswith(SIGNATURE_PREFIX)}
    return {"data": {**stale, **wanted["data"]}}


def trusted_kubeconfig(config_map: Obj, token: Token) -> str:
    """The kubeconfig text of `cluster-info`, once its signature has been checked."""
    data = config_map.get("data") or {}
    signature = data.get(f"{SIGNATURE_PREFIX}{token.id}")
    if signature is None:
        raise TokenError(f"the cluster does not know token {token.id}; make one there with `netsim token`")
    verify(data["kubeconfig"], signature, token)
    text: str = data["kubeconfig"]
    return text


def certificate_authority(kubeconfig: str) -> str:
    """The CA (PEM) inside a cluster-info kubeconfig."""
    clusters = yaml.safe_load(kubeconfig)["clusters"]
    return base64.b64decode(clusters[0]["cluster"]["certificate-authority-data"]).decode("ascii")


@dataclass(frozen=True, slots=True)
class NodeCredentials:
    """What a node's kubeconfig holds, but for the key: the server's URL, its CA and the client certificate (PEM)."""

    server: str
    ca_pem: str
    certificate_pem: str


def node_credentials(kubeconfig: str) -> NodeCredentials:
    """Read a kubeconfig that netsim wrote for a node; ValueError when it is damaged."""
    try:
        document = yaml.safe_load(kubeconfig)
        server = document["clusters"][0]["cluster"]["server"]
        certificate = base64.b64decode(document["users"][0]["user"]["client-certificate-data"]).decode("ascii")
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"not a node's kubeconfig: {error!r}") from None
    return NodeCredentials(server, certificate_authority(kubeconfig), certificate)


def certificate_request(node: str, request_pem: bytes, *, serving: bool) -> Obj:
    """The CertificateSigningRequest of a kubelet: for its client certificate, or for the one it serves with."""
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": f"node-csr-{node}-"},
        "spec": {
            "request": base64.b64encode(request_pem).decode(),
            "signerName": f"kubernetes.io/{'kubelet-serving' if serving else 'kube-apiserver-client-kubelet'}",
            "usages": ["digital signature", "server auth" if serving else "client auth"],
        },
    }
