"""kubeconfig files: reading one into a Client, and writing one."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from pathlib import Path
from typing import Any

from netsim.client.rest import Client
from netsim.client.transport import BearerTransport, Transport
from netsim.http.client import MAX_WHOLE, HttpClient

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message names the file, the field and the mend."""


class _Entry:
    """A named cluster, user or context, read with its files resolved beside the kubeconfig."""

    def __init__(self, path: Path, section: str, name: str, content: dict[str, Any]) -> None:
        self._path, self._section, self._name, self._content = path, section, name, content

    def text(self, field: str) -> str:
        value = self._content.get(field)
        return "" if value is None else str(value)

    def flag(self, field: str) -> bool:
        return bool(self._content.get(field))

    def fail(self, field: str, why: str) -> KubeconfigError:
        return KubeconfigError(f"{self._path}: {self._section} {self._name!r}: {field}: {why}")

    def file(self, field: str) -> str:
        """An absolute path, "" when the field is not set."""
        value = self.text(field)
        return str(self._path.parent / value) if value else ""

    def blob(self, field: str) -> bytes:
        """Content of FIELD-data (base64) or of the file that FIELD names; b"" when neither is set."""
        data = self.text(f"{field}-data")
        try:
            if data:
                return base64.b64decode(data, validate=True)
            path = self.file(field)
            return Path(path).read_bytes() if path else b""
        except binascii.Error as error:
            raise self.fail(f"{field}-data", f"is not base64 ({error})") from error
        except OSError as error:
            raise self.fail(field, f"cannot be read ({error.strerror}: {error.filename})") from error


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise KubeconfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{path}: is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{path}: is not a kubeconfig (a YAML mapping is expected)")
    return document


def _find(path: Path, document: dict[str, Any], section: str, name: str) -> _Entry:
    singular = section.removesuffix("s")
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            return _Entry(path, singular, name, entry.get(singular) or {})
    known = ", ".join(str(entry.get("name")) for entry in document.get(section) or []) or "none"
    raise KubeconfigError(f"{path}: there is no {singular} {name!r} (there are: {known})")


def load_client(
    path: str, context: str = "", *, agent: str = "netsim", connections: int = MAX_WHOLE, server: str = ""
) -> Client:
    """A Client, called `agent`, of the cluster that a kubeconfig's `context` (default: its current-context) names, with
    at most so many `connections`; `server` is a URL in the place of the cluster's.

    Takes certificates, tokens and token files; raises KubeconfigError for anything it cannot honour.
    """
    file = Path(path)
    document = _load(file)
    chosen = context or str(document.get("current-context") or "")
    if not chosen:
        raise KubeconfigError(f"{file}: current-context is not set; name a context")
    link = _find(file, document, "contexts", chosen)
    cluster = _find(file, document, "clusters", link.text("cluster"))
    user = link.text("user")
    entry = _find(file, document, "users", user) if user else _Entry(file, "user", "", {})
    return Client(_transport(cluster, entry, connections, server or cluster.text("server")), agent)


def _transport(cluster: _Entry, user: _Entry, connections: int, server: str) -> Transport:
    for field in ("exec", "auth-provider", "username"):
        if user.text(field):
            raise user.fail(field, "is not supported; use a client certificate or a token")
    token = user.text("token")
    try:
        http = HttpClient(
            server,
            ssl=_ssl_context(cluster, user) if server.startswith("https:") else None,
            headers=[("authorization", f"Bearer {token}")] if token else (),
            server_name=cluster.text("tls-server-name"),
            connections=connections,
        )
    except ValueError as error:
        raise cluster.fail("server", str(error)) from error
    token_file = user.file("tokenFile")
    return BearerTransport(http, token_file) if token_file and not token else http


def _ssl_context(cluster: _Entry, user: _Entry) -> ssl.SSLContext:
    authority = cluster.blob("certificate-authority")
    try:
        context = client_context(authority.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise cluster.fail("certificate-authority", f"is not a PEM certificate ({error})") from error
    if cluster.flag("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = user.blob("client-certificate"), user.blob("client-key")
    try:
        load_identity(context, certificate, key)
    except ssl.SSLError as error:
        raise user.fail("client-certificate", f"does not fit its key or is not PEM ({error})") from error
    return context


def client_context(ca_pem: str = "") -> ssl.SSLContext:
    """A verifying TLS client context; trusts `ca_pem` alone, the system's authorities when that is empty."""
    return ssl.create_default_context(cadata=ca_pem or None)


def load_identity(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Present a PEM client certificate. Does nothing for an empty one."""
    if not certificate:
        return
    # The ssl module loads keys from files only; an anonymous memory file keeps the key off the disk.
    descriptor = os.memfd_create("netsim-identity", os.MFD_CLOEXEC)
    with open(descriptor, "wb") as file:
        file.write(certificate.rstrip() + b"\n" + key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")


def render_kubeconfig(
    server: str,
    ca_pem: str,
    *,
    certificate_pem: str = "",
    key_pem: str = "",
    token: str = "",
    name: str = "netsim",
    user: str = "",
) -> str:
    """A kubeconfig (YAML) with one context called `name`. It holds secrets: write it with mode 0600."""
    import yaml

    cluster: dict[str, str] = {"server": server}
    if ca_pem:
        cluster["certificate-authority-data"] = _encode(ca_pem)
    credentials: dict[str, str] = {"token": token} if token else {}
    if certificate_pem:
        credentials |= {"client-certificate-data": _encode(certificate_pem), "client-key-data": _encode(key_pem)}
    who = user or name
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": who, "user": credentials}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": who}}],
        "current-context": name,
    }
    return yaml.safe_dump(document, sort_keys=False, width=2**31)


def _encode(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()


def in_cluster_client(directory: str = SERVICE_ACCOUNT) -> Client:
    """A Client from inside a pod: Service environment variables, mounted CA and (rotating) token."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise KubeconfigError("KUBERNETES_SERVICE_HOST is not set: this process does not run in a pod")
    authority = Path(directory, "ca.crt")
    if not authority.exists():
        raise KubeconfigError(f"{authority} is missing: the pod has no ServiceAccount token mounted")
    base = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    http = HttpClient(base, ssl=client_context(authority.read_text()))
    return Client(BearerTransport(http, f"{directory}/token"))
