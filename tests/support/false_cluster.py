"""A server in between: it answers `cluster-info` to joining nodes, behind a certificate of an authority of its own."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from netsim.host import netns

Obj = dict[str, Any]


def false_identity(address: str, directory: Path) -> tuple[str, Path]:
    """(certificate PEM, file with certificate and key): self-signed, for `address`, under the real CA's name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = directory / "false.pem"
    file.write_bytes(pem + private)
    return pem.decode(), file


def forge(cluster_info: Obj, ca_pem: str) -> Obj:
    """cluster-info with another authority in it; the signatures stay, as only a token's holder can make them."""
    encoded = base64.b64encode(ca_pem.encode()).decode()
    text = re.sub(r"(certificate-authority-data: *)\S+", rf"\g<1>{encoded}", cluster_info["data"]["kubeconfig"])
    assert encoded in text
    return {**cluster_info, "data": {**cluster_info["data"], "kubeconfig": text}}


@contextmanager
def false_server(network: str, address: str, identity: Path, answer: Obj) -> Iterator[str]:
    """The URL of a TLS server in the network namespace that gives `answer` to every GET."""
    body = json.dumps(answer).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent: tests read what the joining node says."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    server = ThreadingHTTPServer((address, 0), Handler, bind_and_activate=False)
    server.socket.close()
    plain = netns.open_socket(network, socket.AF_INET, socket.SOCK_STREAM)
    plain.bind((address, 0))
    plain.listen()
    server.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is the very test
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"https://{address}:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
