"""Streams to containers with kubectl 1.37 and 1.20: logs, exec, attach, run, cp."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
import time

import pytest

from support.kubectls import Kubectl, apply, pod, read_until
from support.labs import Lab, until

pytestmark = pytest.mark.root


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
