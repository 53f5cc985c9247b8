"""A node's credentials: join a cluster with a token, and get the certificate its kubelet API serves with."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

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
    node_credentials,
    trusted_kubeconfig,
)

_POLL = 0.05
_PATIENCE = 60.0
_TOKEN_HINT = "; the token is not valid (any more): make one on the control plane with `netsim token`"
_HANDSHAKE = 3.0
_MARGIN = timedelta(days=30)


def credentials_trouble(kubeconfig: str, server: str) -> str:
    """Why a node cannot use the credentials of an earlier join with `server`; "" when it can.

    A server that does not answer is no trouble: it may be starting, and the credentials are good as long as it is
    the same. Blocking: one TLS handshake of at most a few seconds.
    """
    try:
        own = node_credentials(Path(kubeconfig).read_text(encoding="utf-8"))
    except ValueError as error:
        return f"{kubeconfig} is {error}"
    if own.server != server:
        return f"{kubeconfig} is for {own.server}"
    if _ends_soon(own.certificate_pem):
        return f"the client certificate in {kubeconfig} is at its end"
    return _handshake_trouble(server, own.ca_pem)


def _handshake_trouble(server: str, ca_pem: str) -> str:
    url = urlsplit(server)
    host, port = url.hostname or "", url.port or 443
    try:
        with socket.create_connection((host, port), _HANDSHAKE) as sock:
            client_context(ca_pem).wrap_socket(sock, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return f"{server} does not show a certificate of the cluster that this node joined: {error.verify_message}"
    except OSError:
        return ""
    return ""


def _ends_soon(certificate_pem: str) -> bool:
    from cryptography import x509

    ends = x509.load_pem_x509_certificate(certificate_pem.encode()).not_valid_after_utc
    return ends < datetime.now(UTC) + _MARGIN


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
    except ssl.SSLCertVerificationError as error:
        raise Fault(
            f"joining {server}: its certificate is not one of the cluster that signed for this token"
            f" ({error.verify_message}): another server, or someone in between"
        ) from None
    except StatusError as error:
        raise Fault(f"joining {server}: {error}{_TOKEN_HINT if error.code == 401 else ''}") from None
    except (OSError, TokenError) as error:
        raise Fault(f"joining {server}: {error}") from None
    for stale in ("kubelet.crt", "kubelet.key"):  # another cluster may have signed them
        Path(kubeconfig).with_name(stale).unlink(missing_ok=True)
    write_private(kubeconfig, render_kubeconfig(server, ca_pem, certificate_pem=certificate, key_pem=key))


async def ensure_serving_certificate(client: Client, node: str, address: str, directory: str) -> tuple[str, str]:
    """Paths of the kubelet's serving certificate and key; asked for from the cluster unless they are there and fit."""
    certificate_file, key_file = f"{directory}/kubelet.crt", f"{directory}/kubelet.key"
    if not (os.path.exists(key_file) and _serves(certificate_file, address)):
        certificate, key = await _obtain(client, node, address)
        write_private(key_file, key)
        write_private(certificate_file, certificate)
    return certificate_file, key_file


def _serves(certificate_file: str, address: str) -> bool:
    """Whether the certificate is there, names the address and does not end soon."""
    from cryptography import x509

    try:
        pem = Path(certificate_file).read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    extensions = x509.load_pem_x509_certificate(pem.encode()).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return ipaddress.ip_address(address) in names.get_values_for_type(x509.IPAddress) and not _ends_soon(pem)


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
