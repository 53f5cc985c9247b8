"""A node's credentials: join a cluster with a token, and get the certificate its kubelet API serves with."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import ssl
from pathlib import Path

from netsim.api.errors import StatusError
from netsim.api.kinds import CERTIFICATE_SIGNING_REQUESTS, CONFIG_MAPS
from netsim.cli.fault import Fault
from netsim.client.kubeconfig import client_context, render_kubeconfig
from netsim.client.rest import Client
from netsim.http.client import HttpClient
from netsim.lab.join import (
    CLUSTER_INFO,
    Token,
    TokenError,
    certificate_authority,
    certificate_request,
    trusted_kubeconfig,
)

_POLL = 0.05
_PATIENCE = 60.0


async def join_cluster(server: str, token: Token, node: str, kubeconfig: str) -> None:
    """Write `kubeconfig` for `node`; raises Fault when the server cannot be reached, trusted or will not sign."""
    try:
        ca_pem = await _discover_ca(server, token)
        bearer = [("authorization", f"Bearer {token}")]
        client = Client(HttpClient(server, ssl=client_context(ca_pem), headers=bearer))
        try:
            certificate, key = await _obtain(client, node, address=None)
        finally:
            await client.close()
    except (OSError, StatusError, TokenError) as error:
        raise Fault(f"joining {server}: {error}") from None
    write_private(kubeconfig, render_kubeconfig(server, ca_pem, certificate_pem=certificate, key_pem=key))


async def ensure_serving_certificate(client: Client, node: str, address: str, directory: str) -> tuple[str, str]:
    """Paths of the kubelet's serving certificate and key; asked for from the cluster unless they are there."""
    certificate_file, key_file = f"{directory}/kubelet.crt", f"{directory}/kubelet.key"
    if not (os.path.exists(certificate_file) and os.path.exists(key_file)):
        certificate, key = await _obtain(client, node, address)
        write_private(key_file, key)
        write_private(certificate_file, certificate)
    return certificate_file, key_file


def write_private(path: str, text: str) -> None:
    """Write a file that only root may read, whole or not at all."""
    temporary = Path(f"{path}.new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def read_authority(kubeconfig: str) -> str:
    """The CA (PEM) that a node's kubeconfig trusts."""
    return certificate_authority(Path(kubeconfig).read_text(encoding="utf-8"))


async def _discover_ca(server: str, token: Token) -> str:
    """Read cluster-info over a connection that proves nothing; the token's signature proves the content."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    client = Client(HttpClient(server, ssl=unverified))
    try:
        info = await client.get(CONFIG_MAPS, CLUSTER_INFO, "kube-public")
    finally:
        await client.close()
    return certificate_authority(trusted_kubeconfig(info, token))


async def _obtain(client: Client, node: str, address: str | None) -> tuple[str, str]:
    """Certificate and key (PEM): a serving certificate for `address`, or a client certificate without one."""
    key_pem, request_pem = _make_request(node, address)
    request = certificate_request(node, request_pem, serving=address is not None)
    made = await client.create(CERTIFICATE_SIGNING_REQUESTS, request)
    name = made["metadata"]["name"]
    try:
        return await asyncio.wait_for(_await_certificate(client, name), _PATIENCE), key_pem
    except TimeoutError:
        raise Fault(f"CertificateSigningRequest {name} was not signed within {_PATIENCE:.0f} s") from None


async def _await_certificate(client: Client, name: str) -> str:
    while True:
        status = (await client.get(CERTIFICATE_SIGNING_REQUESTS, name)).get("status") or {}
        if "certificate" in status:
            return base64.b64decode(status["certificate"]).decode("ascii")
        await asyncio.sleep(_POLL)


def _make_request(node: str, address: str | None) -> tuple[str, bytes]:
    """A fresh key and a request for `system:node:NODE` in `system:nodes`, with the address as SAN if it is given."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes")
    subject = x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if address is not None:
        names = [x509.DNSName(node), x509.IPAddress(ipaddress.ip_address(address))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private.decode("ascii"), builder.sign(key, hashes.SHA256()).public_bytes(pem)
