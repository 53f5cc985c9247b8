"""Streams to containers with the real kubectl: logs -f, exec with a terminal, attach, cp; and what containers share."""

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

import pytest

from support.labs import NETSIM, Lab, until

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


@contextmanager
def kubectl(lab: Lab, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """kubectl with pipes, killed at the end if it has not ended."""
    pipe = subprocess.PIPE
    argv = [*NETSIM, "kubectl", *arguments]
    with subprocess.Popen(argv, env=lab.environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def terminal(
    lab: Lab, *arguments: str, rows: int = 33, columns: int = 101
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """kubectl on a terminal of 33 rows and 101 columns; its process and the terminal's master side."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    argv = ["setsid", "--ctty", "--wait", *NETSIM, "kubectl", *arguments]
    try:
        with subprocess.Popen(argv, env=lab.environ, stdin=slave, stdout=slave, stderr=slave) as process:
            try:
                yield process, master
            finally:
                process.kill()
    finally:
        os.close(slave)
        os.close(master)


def read_until(master: int, wanted: str, seconds: float = 20.0) -> str:
    """Read a terminal until it has shown `wanted`."""
    shown, deadline = "", time.monotonic() + seconds
    while wanted not in shown:
        ready, _, _ = select.select([master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {wanted!r} within {seconds:.0f} s in {shown!r}"
        shown += os.read(master, 4096).decode(errors="replace")
    return shown


def test_followed_logs_come_as_they_are_written_and_end_with_the_container(lab: Lab, namespace: str):
    apply(lab, namespace, pod("talk", "echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo second"), "talk")
    with kubectl(lab, "logs", "-n", namespace, "-f", "talk") as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "first\n"
        lab.kubectl("exec", "-n", namespace, "talk", "--", "touch", "/tmp/go")
        assert logs.stdout.readline() == "second\n"
        assert logs.communicate(timeout=20)[0] == ""
        assert logs.returncode == 0


def test_exec_with_a_terminal_has_its_size_and_exit_status(lab: Lab, namespace: str):
    apply(lab, namespace, pod("shell", "sleep infinity"), "shell")
    with terminal(lab, "exec", "-n", namespace, "-it", "shell", "--", "sh") as (process, master):
        os.write(master, b"until [ \"$(stty size)\" = '33 101' ]; do sleep 1; done; test -t 0 && echo size $((1+1))\n")
        read_until(master, "size 2")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.write(master, b"until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo resized $((1+1))\n")
        read_until(master, "resized 2")
        os.write(master, b"echo asleep $((1+1)); sleep 100\n")
        read_until(master, "asleep 2")
        os.write(master, b"\x03")
        read_until(master, "# ")
        os.write(master, b"echo interrupted $((1+1)); exit 5\n")
        read_until(master, "interrupted 2")
        assert process.wait(timeout=20) == 5


def test_attach_shares_the_containers_own_streams_one_client_after_the_other(lab: Lab, namespace: str):
    text = pod("listen", "while read line; do echo got $line; done; sleep infinity", "stdin: true")
    apply(lab, namespace, text, "listen")
    for word in ("one", "two"):
        with kubectl(lab, "attach", "-n", namespace, "-i", "listen") as attached:
            assert attached.stdin is not None and attached.stdout is not None
            attached.stdin.write(f"{word}\n")
            attached.stdin.close()
            attached.stdin = None
            assert attached.stdout.readline() == f"got {word}\n"
    assert lab.kubectl("logs", "-n", namespace, "listen") == "got one\ngot two\n"


def test_run_with_stdin_once_ends_with_its_input(lab: Lab, namespace: str):
    argv = ["kubectl", "run", "-n", namespace, "once", "-i", "--rm", "--restart=Never", "--image=busybox", "--command"]
    done = lab.netsim(*argv, "--", "sh", "-c", "read line; echo read $line; cat; echo end", input="word\nrest\n")
    assert [line for line in done.stdout.splitlines() if line in ("read word", "rest", "end")] == [
        "read word",
        "rest",
        "end",
    ]


def test_cp_copies_both_ways(lab: Lab, namespace: str, tmp_path):
    apply(lab, namespace, pod("files", "sleep infinity"), "files")
    there, back, tree = tmp_path / "there", tmp_path / "back", tmp_path / "tree"
    there.write_bytes(os.urandom(3_000_000))
    lab.kubectl("cp", str(there), f"{namespace}/files:/tmp/blob")
    lab.kubectl("cp", f"{namespace}/files:/tmp/blob", str(back))
    assert back.read_bytes() == there.read_bytes()
    lab.kubectl("exec", "-n", namespace, "files", "--", "sh", "-c", "mkdir -p /tmp/d/e; echo deep > /tmp/d/e/f")
    lab.kubectl("cp", f"{namespace}/files:/tmp/d", str(tree))
    assert (tree / "e" / "f").read_text() == "deep\n"


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


def test_port_forward_says_that_it_is_not_served(lab: Lab, namespace: str):
    apply(lab, namespace, pod("plain", "sleep infinity"), "plain")
    done = lab.netsim("kubectl", "port-forward", "-n", namespace, "pod/plain", ":80", check=False, timeout=20)
    assert done.returncode != 0
    assert "port-forward is not served" in done.stderr
