"""CoreDNS as a peer, where it is installed: fed by an API of lists that never change, from which netsim reads too."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dns_load import Obj, Server, free_port

from lab import wait_for

_KINDS = {
    "/api/v1/namespaces": ("v1", "Namespace"),
    "/api/v1/services": ("v1", "Service"),
    "/apis/discovery.k8s.io/v1/endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
}
_PLACES = ("ready", "health", "metrics")
_PLAIN = """\
.:{port} {{
    bind 127.0.0.1
    ready 127.0.0.1:{ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        {endpoint}
    }}
}}
"""
# kubeadm's, for both servers; the upstream is never asked
_KUBEADM = """\
.:{port} {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:{health} {{
        lameduck 5s
    }}
    ready 127.0.0.1:{ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        {endpoint}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    prometheus 127.0.0.1:{metrics}
    forward . 127.0.0.1:9 {{
        max_concurrent 1000
    }}
    cache 30 {{
        disable success cluster.local
        disable denial cluster.local
    }}
    reload
    loadbalance
}}
"""


class _Handler(BaseHTTPRequestHandler):
    """Lists of all namespaces; watches of which nothing comes."""

    protocol_version = "HTTP/1.1"
    server: _Api

    def do_GET(self) -> None:
        path, _, words = self.path.partition("?")
        body = self.server.lists.get(path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "application/json")
        if body and "watch=" in words:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.server.ended.wait()
            return
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


class _Api(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, objects: Iterable[Obj]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ended = threading.Event()
        items: dict[str, list[Obj]] = {kind: [] for _, kind in _KINDS.values()}
        for number, each in enumerate(objects):
            each["metadata"] |= {"uid": str(number), "resourceVersion": "1"}
            items[each["kind"]].append(each)
        self.lists = {path: _list(*kind, items[kind[1]]) for path, kind in _KINDS.items()}


def _list(version: str, kind: str, items: list[Obj]) -> bytes:
    revision = {"resourceVersion": "1"}
    return json.dumps({"apiVersion": version, "kind": f"{kind}List", "metadata": revision, "items": items}).encode()


@contextlib.contextmanager
def api(objects: Iterable[Obj]) -> Iterator[str]:
    """The URL of such an API with these objects."""
    server = _Api(objects)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()


def kubeconfig(directory: Path, url: str) -> str:
    """The path of a kubeconfig for an API."""
    path = directory / "api.conf"
    path.write_text(json.dumps({
        "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": url}}],
    }))  # fmt: skip
    return str(path)


def kubeadm_corefile(directory: Path) -> str:
    """The path of kubeadm's Corefile for netsim, which learns elsewhere where the API is."""
    return str(_write(directory, _KUBEADM, free_port(), "", {name: free_port() for name in _PLACES}))


def _write(directory: Path, text: str, port: int, endpoint: str, places: Mapping[str, int]) -> Path:
    path = directory / f"Corefile-{port}"
    path.write_text(text.format(endpoint=endpoint, port=port, **places))
    return path


@contextlib.contextmanager
def coredns(program: str, directory: Path, url: str, kubeadm: bool) -> Iterator[Server]:
    """CoreDNS on one CPU once it has read all, with the kubernetes plugin alone or as kubeadm configures it."""
    port = free_port()
    places = {name: free_port() for name in _PLACES}
    corefile = _write(directory, _KUBEADM if kubeadm else _PLAIN, port, f"endpoint {url}", places)
    server = Server(["env", "GOMAXPROCS=1", program, "-conf", str(corefile)], port)
    try:
        wait_for("CoreDNS", lambda: _ready(places["ready"]))
        yield server
    finally:
        server.stop()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
