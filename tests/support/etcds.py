"""An etcd of a test's own: on 127.0.0.1, ports chosen by the kernel, data in a temporary directory."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

ETCD = shutil.which("etcd")


class Etcd:
    """A member of a cluster of one. `url` is its client address."""

    def __init__(self, directory: Path, options: Sequence[str] = (), scheme: str = "http") -> None:
        self._directory, self._options = directory, options
        self.port = _free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._plain = scheme == "http"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert ETCD, "no etcd: apt-get install etcd-server (scripts/install --test does)"
        peer = "http://127.0.0.1:0"
        command = [
            ETCD, "--name", "test", "--data-dir", str(self._directory / "etcd"), "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"test={peer}", "--log-level", "error", "--logger", "zap", *self._options,
        ]  # fmt: skip
        with open(self._directory / "etcd.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.wait()

    def wait(self, seconds: float = 20.0) -> None:
        """Until it answers."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process is not None and self.process.poll() is None, self.log()
            try:
                if self._plain:
                    request = urllib.request.Request(f"{self.url}/v3/kv/range", b'{"key":"AA=="}')
                    urllib.request.urlopen(request, timeout=2).close()
                else:
                    socket.create_connection(("127.0.0.1", self.port), 2).close()
                return
            except urllib.error.HTTPError as refusal:
                refusal.close()
                return
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.01)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None

    def log(self) -> str:
        return (self._directory / "etcd.log").read_text(errors="replace")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
