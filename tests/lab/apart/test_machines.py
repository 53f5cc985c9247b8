"""The Vagrantfile's machines: its very commands, in namespaces that stand for the VMs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.false_cluster import false_identity, false_server, forge
from support.labs import until
from support.machines import VAGRANTFILE, Machine, Switch, switch, vagrant_services

SERVICES = vagrant_services(VAGRANTFILE.read_text())
WORKERS = ["worker-1", "worker-2"]
TOKEN = SERVICES["worker-1"].command[SERVICES["worker-1"].command.index("--token") + 1]
URL = "https://192.168.56.10:6443"
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shell-1}
spec:
  nodeName: worker-1
  terminationGracePeriodSeconds: 1
  containers: [{name: sh, image: busybox, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata: {name: shell-2}
spec:
  nodeName: worker-2
  terminationGracePeriodSeconds: 1
  containers: [{name: sh, image: busybox, command: [sh, -c, "echo started on $HOSTNAME; sleep infinity"]}]
"""
pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    """The Vagrantfile's machines with its services running; when it ends, nothing of them may be left."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with switch(tmp_path_factory.mktemp("machines"), f"vm-{os.getpid()}") as plugged:
        for name, service in SERVICES.items():
            plugged.plug(name, service.address)
        for name, service in SERVICES.items():
            plugged.machines[name].start("netsim", *service.command)
            if name == "control-plane":  # Vagrant makes one machine after the other
                until(lambda: "API server" in plugged.machines["control-plane"].output(), 20)
        yield plugged


@pytest.fixture(autouse=True)
def machines_output(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shown by pytest with a test that fails: what the machines' services have said."""
    yield
    if "machines" in request.fixturenames:
        print("\n".join(m.output()[-6000:] for m in request.getfixturevalue("machines").machines.values()))


@pytest.fixture(scope="module")
def control_plane(machines: Switch) -> Machine:
    return machines.machines["control-plane"]


@pytest.fixture(scope="module")
def workers(machines: Switch, control_plane: Machine) -> dict[str, Machine]:
    """Both workers, Ready."""
    try:
        until(lambda: ready_nodes(control_plane) == set(WORKERS), 30, "both workers are Ready")
    except AssertionError as error:
        error.add_note("\n".join(m.output()[-6000:] for m in machines.machines.values()))
        raise
    return {name: machines.machines[name] for name in WORKERS}


@pytest.fixture(scope="module")
def stranger(machines: Switch) -> Machine:
    """A machine that has not joined."""
    return machines.plug("worker-3", "192.168.56.13")


@pytest.fixture(scope="module")
def web(control_plane: Machine, workers: dict[str, Machine]) -> Machine:
    """A Deployment with its Service, and a shell on each worker."""
    control_plane.kubectl("apply", "-f", "-", input=MANIFEST)
    control_plane.kubectl("rollout", "status", "deployment", "web", "--timeout=30s")
    control_plane.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "pod", "--all")
    control_plane.kubectl("-n", "kube-system", "rollout", "status", "deployment", "coredns", "--timeout=30s")
    return control_plane


def ready_nodes(control_plane: Machine) -> set[str]:
    nodes = json.loads(control_plane.kubectl("get", "nodes", "-o", "json"))["items"]
    ready = [("Ready", "True")]
    return {
        n["metadata"]["name"]
        for n in nodes
        if ready == [(c["type"], c["status"]) for c in n["status"]["conditions"] if c["type"] == "Ready"]
    }


def answering_nodes(control_plane: Machine, shell: str, url: str, times: int = 24) -> Counter[str]:
    """Which nodes' pods answered a pod's requests; a request without an answer counts as ``."""
    loop = f"for i in $(seq {times}); do curl -s --max-time 3 {url} || echo 'node: '; done"
    answers = control_plane.kubectl("exec", shell, "--", "sh", "-c", loop)
    return Counter(re.findall(r"^node: *(\S*)$", answers, re.M))


def join(machine: Machine, url: str, token: str | None) -> str:
    """What `netsim node` says when it cannot join; it must fail, in one line."""
    words = ["netsim", "node", "--server", url, *(["--token", token] if token is not None else [])]
    done = machine.run(*words, check=False)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.stderr


def test_the_vagrantfile_runs_one_server_and_nodes_that_join_it():
    assert list(SERVICES) == ["control-plane", *WORKERS]
    server, *nodes = (s.command for s in SERVICES.values())
    assert server[:2] == ("/usr/local/bin/netsim", "server") and "192.168.56.10" in server
    assert all(n[:4] == ("/usr/local/bin/netsim", "node", "--server", URL) for n in nodes)
    assert not any("#" in word for service in SERVICES.values() for word in service.command)


@pytest.mark.skipif(shutil.which("vagrant") is None, reason="vagrant is not installed")
def test_vagrant_accepts_the_vagrantfile(tmp_path: Path):
    places = {"VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot")}
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"], cwd=VAGRANTFILE.parent, env={**os.environ, **places},
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0 and "validated successfully" in done.stdout, done.stdout + done.stderr
    assert all(f"==> {name}:" in done.stdout for name in SERVICES)


def test_the_workers_become_ready_and_the_control_plane_is_no_node(control_plane: Machine, workers: object):
    nodes = json.loads(control_plane.kubectl("get", "nodes", "-o", "json"))["items"]
    addresses = {n["metadata"]["name"]: n["status"]["addresses"][0]["address"] for n in nodes}
    assert addresses == {"worker-1": "192.168.56.11", "worker-2": "192.168.56.12"}
    assert len({n["spec"]["podCIDR"] for n in nodes}) == 2
    until(lambda: control_plane.run("netsim", "status", check=False).returncode == 0, 15, "every part is healthy")


def test_kubectl_on_a_worker_says_where_it_belongs(workers: dict[str, Machine]):
    done = workers["worker-1"].run("netsim", "kubectl", "get", "nodes", check=False)
    assert done.returncode == 1 and "run it where `netsim server` runs" in done.stderr


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (None, "--token: this node has not joined yet; make a token with `netsim token` on the control plane"),
        ("netsim.short", "--token: expected ID.SECRET"),
        ("wrong0.vagrant0token000", "does not know token wrong0; make one there with `netsim token`"),
        (TOKEN.partition(".")[0] + ".wrong0secret0000", "is not signed with this token"),
    ],
)
def test_a_node_without_the_right_token_stays_out(stranger: Machine, token: str | None, says: str):
    assert says in join(stranger, URL, token)


def test_a_node_cannot_be_lured_by_a_foreign_authority(stranger: Machine, control_plane: Machine, tmp_path: Path):
    genuine = json.loads(control_plane.kubectl("-n", "kube-public", "get", "configmap", "cluster-info", "-o", "json"))
    ca_pem, identity = false_identity("192.168.56.13", tmp_path)
    with false_server(stranger.network, "192.168.56.13", identity, forge(genuine, ca_pem)) as url:
        assert "is not signed with this token: another cluster, or someone in between" in join(stranger, url, TOKEN)
    with false_server(stranger.network, "192.168.56.13", identity, genuine) as url:
        assert "its certificate is not one of the cluster that signed for this token" in join(stranger, url, TOKEN)


def test_a_server_that_is_not_there_is_named(stranger: Machine):
    assert "joining https://192.168.56.10:6999: " in join(stranger, "https://192.168.56.10:6999", TOKEN)


def test_a_service_is_answered_across_the_machines_by_address_and_name(web: Machine):
    address = web.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    for shell in ("shell-1", "shell-2"):
        assert set(answering_nodes(web, shell, f"http://{address}:8080/")) == set(WORKERS)
        assert set(answering_nodes(web, shell, "http://web.default.svc.cluster.local:8080/")) == set(WORKERS)
        assert f"Address: {address}" in web.kubectl("exec", shell, "--", "nslookup", "web")


def test_a_pod_is_reached_from_the_other_machine_under_its_own_address(web: Machine):
    pods = json.loads(web.kubectl("get", "pods", "-o", "json"))["items"]
    own = {p["metadata"]["name"]: p["status"]["podIP"] for p in pods}
    there = next(p["status"]["podIP"] for p in pods if p["spec"]["nodeName"] == "worker-2" and "web-" in str(p))
    answer = web.kubectl("exec", "shell-1", "--", "curl", "-s", "--max-time", "3", f"http://{there}/")
    assert re.search(rf"^client: *{re.escape(own['shell-1'])}\b", answer, re.M)


def test_exec_and_logs_work_on_every_machine(web: Machine):
    for number in (1, 2):
        assert web.kubectl("exec", f"shell-{number}", "--", "hostname").strip() == f"shell-{number}"
    assert web.kubectl("logs", "shell-2") == "started on shell-2\n"
    assert web.kubectl("exec", "-i", "shell-2", "--", "wc", "-c", input="across\n").strip() == "7"
    failed = web.run("netsim", "kubectl", "exec", "shell-2", "--", "sh", "-c", "exit 7", check=False)
    assert failed.returncode == 7


def test_the_kubelet_of_a_worker_refuses_strangers(stranger: Machine, workers: object):
    done = stranger.run("curl", "-sk", "--max-time", "3", "https://192.168.56.12:10250/pods", check=False)
    assert done.returncode != 0 and done.stdout == ""


def test_a_stopped_node_leaves_the_service_and_comes_back(web: Machine, workers: dict[str, Machine]):
    address = web.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    url = f"http://{address}:8080/"

    def served_by(*nodes: str) -> Callable[[], bool]:
        return lambda: set(answering_nodes(web, "shell-1", url)) == set(nodes)

    assert workers["worker-2"].stop("netsim") == 0
    assert ready_nodes(web) == {"worker-1"}
    until(served_by("worker-1"), 10, "the other worker answers alone")
    workers["worker-2"].start("netsim", *SERVICES["worker-2"].command)
    until(lambda: ready_nodes(web) == set(WORKERS), 20, "worker-2 is Ready again")
    until(served_by(*WORKERS), 20, "both workers answer again")
    assert workers["worker-2"].output().count("has joined") == 1
    assert web.kubectl("exec", "shell-2", "--", "hostname").strip() == "shell-2"


def test_services_go_on_and_nodes_start_while_the_control_plane_is_away(web: Machine, workers: dict[str, Machine]):
    pods = web.kubectl("get", "pods", "-o", "name")
    address = web.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    assert web.stop("netsim") == 0
    for worker in workers.values():
        answers = worker.run("sh", "-c", f"for i in 1 2 3 4 5 6; do curl -s --max-time 3 http://{address}:8080/; done")
        assert len(re.findall(r"^node: *worker-", answers.stdout, re.M)) == 6
    assert workers["worker-1"].stop("netsim") == 0
    workers["worker-1"].start("netsim", *SERVICES["worker-1"].command)
    web.start("netsim", *SERVICES["control-plane"].command)
    until(lambda: web.kubectl("get", "--raw", "/readyz", check=False) == "ok", 15, "the API server is ready again")
    assert web.kubectl("get", "pods", "-o", "name") == pods
    until(lambda: set(answering_nodes(web, "shell-2", "http://web:8080/")) == set(WORKERS), 20, "both workers answer")
    assert ready_nodes(web) == set(WORKERS)


def test_a_token_made_later_lets_another_machine_join(web: Machine, stranger: Machine):
    command = shlex.split(web.run("netsim", "token").stdout)
    assert command[:4] == ["netsim", "node", "--server", URL]
    stranger.start("netsim", *command)
    until(lambda: ready_nodes(web) == {*WORKERS, "worker-3"}, 20, "worker-3 is Ready")
    web.kubectl("scale", "deployment", "web", "--replicas=6")
    web.kubectl("rollout", "status", "deployment", "web", "--timeout=30s")
    everywhere = {*WORKERS, "worker-3"}
    until(lambda: set(answering_nodes(web, "shell-1", "http://web:8080/", 40)) == everywhere, 15)
