"""`netsim-cni`, the executable: the same answers with a node process as without, and what it does when one dies."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netsim.host import netns
from netsim.host.netlink import Netlink
from netsim_cni.plugin import run
from netsim_cni.service import DECLINED, render_answer
from support.labs import until

pytestmark = pytest.mark.root
SOURCE = Path(__file__).parents[2] / "cni" / "netsim-cni"
SERVICE = """
import asyncio, sys
from netsim.host import netns
from netsim_cni.reaper import start_reaper
from netsim_cni.plugin import run
from netsim_cni.service import serve_cni
netns.enter(sys.argv[1])
start_reaper()
asyncio.run(serve_cni(sys.argv[2]))
"""
Answer = tuple[int, Any]


class Node:
    """A node's network namespace and pods, below a lab's directory in /run/netsim."""

    def __init__(self, directory: str) -> None:
        self.directory, self.bin = directory, Path(directory, "bin")
        netns.create(self.path("node"))
        self._install()
        self.processes: list[subprocess.Popen[bytes]] = []

    def path(self, name: str) -> str:
        return f"{self.directory}/netns/{name}"

    def _install(self) -> None:
        """As pip does: beside `netsim` and the interpreter, which here has the sources on its path."""
        self.bin.mkdir()
        shutil.copy(SOURCE, self.bin)
        (self.bin / "netsim").touch()
        (self.bin / "python3").write_text(f'#!/bin/sh\nshift\nexec {sys.executable} "$@"\n')
        (self.bin / "python3").chmod(0o755)

    @property
    def socket(self) -> str:
        return f"{self.directory}/cni-{netns.inode(self.path('node'))}.sock"

    def serve(self) -> subprocess.Popen[bytes]:
        """Start a node process that has the CNI commands to do, and nothing else."""
        process = subprocess.Popen([sys.executable, "-c", SERVICE, self.path("node"), self.directory])
        self.processes.append(process)
        until(self._listening, why="the service listens")
        return process

    def _listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.socket) == 0

    def pod(self, name: str) -> None:
        netns.create(self.path(name))

    def conf(self, **more: Any) -> str:
        ipam = {"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/29"}]], "dataDir": f"{self.directory}/leases"}
        return json.dumps({"cniVersion": "1.1.0", "name": "pods", "type": "netsim", "ipam": ipam, **more})

    def env(self, command: str, pod: str) -> dict[str, str]:
        variables = {"CNI_COMMAND": command, "CNI_CONTAINERID": f"id-{pod}", "CNI_NETNS": self.path(pod)}
        return {**variables, "CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin"}

    def call(self, command: str, pod: str, conf: str | None = None, **env: str) -> Answer:
        """One run of the executable: exit status, and what it printed."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path('node')}", str(self.bin / "netsim-cni")],
            input=self.conf() if conf is None else conf,
            env={**os.environ, **self.env(command, pod), **env},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    def call_here(self, command: str, pod: str, conf: str | None = None, **env: str) -> Answer:
        """The same in this process."""
        environ = {**self.env(command, pod), **env}
        status, document = netns.run_in(self.path("node"), run, self.conf() if conf is None else conf, environ)
        return status, document

    def links(self) -> list[str]:
        with Netlink(self.path("node")) as netlink:
            return [link.name for link in netlink.links() if link.name != "lo"]


@pytest.fixture
def node() -> Iterator[Node]:
    directory = f"/run/netsim/cni-client-{os.getpid()}"
    os.makedirs(directory)
    made = Node(directory)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()
    for name in os.listdir(f"{directory}/netns"):
        netns.delete(made.path(name))
    shutil.rmtree(directory)


def test_answers_are_the_same_with_a_node_process_and_without(node: Node) -> None:
    node.pod("web")
    alone = life_of_a_pod(node, node.call_here)
    shutil.rmtree(f"{node.directory}/leases")
    process = node.serve()
    assert life_of_a_pod(node, node.call) == alone
    assert process.poll() is None
    assert stat.S_IMODE(os.stat(node.socket).st_mode) == 0o600
    until(lambda: node.links() == [], why="the pair is removed")


def life_of_a_pod(node: Node, call: Callable[..., Answer]) -> list[Answer]:
    """The answers of everything that may be asked of an executable, right and wrong."""
    added = call("ADD", "web")
    assert added[0] == 0, added
    again = node.conf(prevResult=added[1])
    answers = [
        added,
        call("ADD", "web"),
        call("CHECK", "web", again),
        call("STATUS", "web"),
        call("VERSION", "web", '{"cniVersion": "1.1.0"}'),
        call("ADD", "web", "{"),
        call("ADD", "web", node.conf(cniVersion="9.0.0")),
        call("ADD", "nobody"),
        call("ADD", "web", CNI_IFNAME="much-too-long-a-name"),
        call("DEL", "web"),
        call("DEL", "web"),
        call("CHECK", "web", again),
    ]
    assert [status for status, _ in answers] == [0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1]
    return answers


@pytest.mark.parametrize("said", [b"", b"0\0\0", render_answer(DECLINED, b"")], ids=["nothing", "half", "declined"])
def test_a_node_process_that_does_not_answer_does_no_harm(node: Node, said: bytes) -> None:
    """It ended halfway: whether the pod is attached is not known, so the runtime is told; the rest may be repeated."""
    node.pod("web")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(node.socket)
        listener.listen()
        threading.Thread(target=answer_all, args=(listener, said), daemon=True).start()
        status, document = node.call("ADD", "web")
        if said == render_answer(DECLINED, b""):
            assert (status, document["ips"][0]["address"]) == (0, "10.7.0.2/32")
        else:
            assert (status, document["code"], document["cniVersion"]) == (1, 11, "1.1.0")
        assert node.call("DEL", "web") == (0, None)
        listener.shutdown(socket.SHUT_RDWR)
    assert node.links() == []


def answer_all(listener: socket.socket, said: bytes) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            while client.recv(65536):
                pass
            client.sendall(said)


def test_addresses_and_names_that_are_going_are_there_for_the_next_pod(node: Node) -> None:
    """All five addresses are in use, all pods go, and come again at once: with the same process, and with the next."""
    process = node.serve()
    pods = [f"web-{number}" for number in range(5)]
    for pod in pods:
        node.pod(pod)
        assert node.call("ADD", pod)[0] == 0
    assert node.call("STATUS", pods[0])[1]["code"] == 50
    for pod in pods:
        assert node.call("DEL", pod) == (0, None)
    assert node.call("STATUS", pods[0]) == (0, None)
    assert sorted(address(node.call("ADD", pod)) for pod in pods) == [f"10.7.0.{n}/32" for n in range(2, 7)]
    for pod in pods:
        assert node.call("DEL", pod) == (0, None)
    process.kill()
    process.wait()
    again = [node.call("ADD", pods[0]), *(node.call_here("ADD", pod) for pod in pods[1:])]
    assert sorted(map(address, again)) == [f"10.7.0.{n}/32" for n in range(2, 7)]
    assert len(node.links()) == 5


def address(answer: Answer) -> str:
    status, document = answer
    assert status == 0, document
    return str(document["ips"][0]["address"])


def test_a_copy_that_has_no_netsim_beside_it_says_so(node: Node, tmp_path: Path) -> None:
    copy = shutil.copy(SOURCE, tmp_path)
    source = Path(copy).read_text().replace("/opt/netsim/bin", f"{tmp_path}/nowhere")
    Path(copy).write_text(source)
    done = subprocess.run(
        [copy], input="{}", capture_output=True, text=True, timeout=30, env={"CNI_COMMAND": "VERSION"}
    )
    error = json.loads(done.stdout)
    assert (done.returncode, error["code"]) == (1, 5)
    assert "link it instead of copying it" in error["msg"]
