"""exec and port-forward of the Python clients, each in its own dialect of the WebSocket protocols."""

from __future__ import annotations

import gc
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import kr8s.asyncio
import kubernetes
import kubernetes_asyncio
import lightkube
import pytest
from kr8s.asyncio.objects import Pod as Kr8sPod
from kubernetes.stream import portforward, stream
from kubernetes_asyncio.stream import WsApiClient
from lightkube.resources.core_v1 import Pod as LightPod

from netsim.lab.paths import LabPaths
from support.labs import Lab

pytestmark = [
    pytest.mark.root,
    # kr8s 0.20 knows the minors 28 to 35; `kubernetes` leaves its WebSocket to the garbage collector
    pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: web, image: nginx, ports: [{containerPort: 80}]}
    - {name: shell, image: busybox, command: [sleep, infinity]}
"""
SAY = ["sh", "-c", "echo out; echo err >&2; exit 3"]


@pytest.fixture(scope="module")
def web(lab: Lab) -> Iterator[str]:
    """The namespace of a pod `web` that serves on port 80 and has a shell beside it."""
    name = "python-streams"
    lab.kubectl("create", "namespace", name)
    lab.kubectl("-n", name, "apply", "-f", "-", input=POD)
    lab.kubectl("-n", name, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    yield name
    lab.kubectl("delete", "namespace", name, "--timeout=60s")


@pytest.fixture(scope="module")
def kubeconfig(lab: Lab) -> str:
    return LabPaths(lab.name).kubeconfig


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a client left open is closed here, not in somebody else's test."""
    yield
    gc.collect()


@pytest.fixture
def core(kubeconfig: str) -> Iterator[kubernetes.client.CoreV1Api]:
    with kubernetes.config.new_client_from_config(kubeconfig) as client:
        yield kubernetes.client.CoreV1Api(client)


def test_kubernetes_exec(core: kubernetes.client.CoreV1Api, web: str) -> None:
    said = stream(
        core.connect_get_namespaced_pod_exec, "web", web,
        command=SAY, container="shell", stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False,
    )  # fmt: skip
    said.run_forever(timeout=20)
    assert (said.read_stdout(), said.read_stderr(), said.returncode) == ("out\n", "err\n", 3)


def test_kubernetes_port_forward(core: kubernetes.client.CoreV1Api, web: str) -> None:
    forward = portforward(core.connect_get_namespaced_pod_portforward, "web", web, ports="80")
    with closing(forward.socket(80)) as tunnel:
        answer = ask(tunnel)
    assert "200 OK" in answer and "web" in answer and forward.error(80) is None


def ask(tunnel: socket.socket) -> str:
    """The whole answer to one HTTP request over an open connection."""
    tunnel.settimeout(20)
    tunnel.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
    answer = b""
    while part := tunnel.recv(4096):
        answer += part
    return answer.decode()


async def test_kubernetes_asyncio_exec(kubeconfig: str, web: str) -> None:
    configuration = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(kubeconfig, client_configuration=configuration)
    async with WsApiClient(configuration) as client:
        core = kubernetes_asyncio.client.CoreV1Api(client)
        said = await core.connect_get_namespaced_pod_exec(
            "web", web, command=[*SAY[:2], "echo out"], container="shell", stdout=True, stderr=True,
            stdin=False, tty=False,
        )  # fmt: skip
    assert said == "out\n"


async def test_kr8s_exec_and_port_forward(
    kubeconfig: str, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # kr8s leaves the credentials' files
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig)
    pod = await Kr8sPod.get("web", namespace=web, api=api)
    done = await pod.exec(SAY, container="shell", check=False)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)
    async with pod.portforward(remote_port=80) as port, httpx.AsyncClient() as http:
        answers = [(await http.get(f"http://127.0.0.1:{port}/")).text for _ in range(2)]
    assert all("web" in answer for answer in answers)


def test_lightkube_exec_and_logs(kubeconfig: str, web: str) -> None:
    client = lightkube.Client(lightkube.KubeConfig.from_file(kubeconfig))
    with threads_ended():
        done = client.exec("web", command=SAY, namespace=web, container="shell", stdout=True, stderr=True)
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 3)
    assert client.get(LightPod, "web", namespace=web).status.phase == "Running"
    client.close()


@contextmanager
def threads_ended() -> Iterator[None]:
    """Wait for the threads begun within. httpx2's WebSocket closes its socket while a thread of it still reads there:
    the next connection gets the same descriptor, and that thread takes bytes from it (WRONG_VERSION_NUMBER)."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive(), "the server has not ended the connection"
