"""What an "Intro to Kubernetes" course shows, with the course's own manifests and the real kubectl; and the
README's commands, as they are written there."""

from __future__ import annotations

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from support.labs import EXAMPLES, NETSIM, Lab, field, until

pytestmark = pytest.mark.root
ZONE = "default.svc.cluster.local"
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def course(lab: Lab) -> Iterator[Lab]:
    lab.apply(EXAMPLES)
    lab.wait_ready("pod", "--all")
    lab.kubectl("rollout", "status", "deployment", "test-deployment", "--timeout=60s")
    for tier in ("web", "app", "db"):
        lab.kubectl("-n", "shop", "rollout", "status", "deployment", tier, "--timeout=60s")
    yield lab
    lab.kubectl("delete", "-f", str(EXAMPLES), "--ignore-not-found", "--timeout=60s", "--grace-period=1")


def test_applied_again_nothing_changes(course: Lab):
    lines = course.apply(EXAMPLES).splitlines()
    assert lines and all(line.endswith(" unchanged") for line in lines)


def test_pods_run_on_all_nodes_each_with_an_address_of_its_node(course: Lab):
    pods = course.get("pods", "-l", "app=test")["items"]
    assert {p["spec"]["nodeName"] for p in pods} == {"node-1", "node-2", "node-3"}
    ranges = {n["metadata"]["name"]: ip_network(n["spec"]["podCIDR"]) for n in course.get("nodes")["items"]}
    assert all(ip_address(p["status"]["podIP"]) in ranges[p["spec"]["nodeName"]] for p in pods)


def test_a_name_resolves_inside_a_pod(course: Lab):
    address = course.get("service", "test-service")["spec"]["clusterIP"]
    for name in ("test-service", "test-service.default", "test-service.default.svc.cluster.local"):
        assert f"Address: {address}" in course.kubectl("exec", "toolbox", "--", "nslookup", name)
    missing = course.netsim("kubectl", "exec", "toolbox", "--", "nslookup", f"nope.{ZONE}.", check=False)
    assert missing.returncode == 1 and "NXDOMAIN" in missing.stdout


def test_requests_by_name_reach_every_replica(course: Lab):
    loop = "for i in $(seq 80); do curl -s --max-time 5 http://test-service/; done"
    answers = course.kubectl("exec", "toolbox", "--", "sh", "-c", loop)
    pods = Counter(re.findall(r"^pod: *(\S+)", answers, re.M))
    assert len(pods) == 6 and sum(pods.values()) == 80


def test_a_node_port_answers_on_every_node_and_hides_the_client(course: Lab):
    for address in ("172.30.0.11", "172.30.0.12", "172.30.0.13"):
        answer = course.curl("client", f"http://{address}:30080/")
        assert field(answer, "pod").startswith("test-deployment-")
        assert not field(answer, "client").startswith("172.30.0.3:")  # SNAT, as externalTrafficPolicy Cluster has it


def test_two_containers_share_localhost(course: Lab):
    greeting = course.kubectl(
        "exec", "tomcat-mysql", "-c", "tomcat", "--", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/3306; head -c 20 <&3"
    )
    assert "5.6" in greeting


def test_a_new_image_replaces_the_container_and_keeps_the_pod(course: Lab):
    before = course.get("pod", "tomcat")
    course.apply(EXAMPLES / "updates" / "02-tomcat-8.5.5.yaml")

    def replaced() -> dict | None:
        pod = course.get("pod", "tomcat")
        status = pod["status"]["containerStatuses"][0]
        return pod if status["restartCount"] == 1 and status["ready"] and "8.5.5" in status["image"] else None

    after = until(replaced, why="container replaced")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    course.apply(EXAMPLES / "02-tomcat-pod.yaml")


def test_a_load_balancer_has_an_address_and_its_node_port_answers(course: Lab):
    answer = "{.status.loadBalancer.ingress[0].ip}"
    address = until(lambda: course.kubectl("get", "service", "wordpress", "-o", f"jsonpath={answer}"))
    until(lambda: "pod: wordpress" in course.curl("client", f"http://{address}/"))
    assert field(course.curl("client", "http://172.30.0.13:30081/"), "pod") == "wordpress"


def test_an_external_name_is_a_cname(course: Lab):
    answer = course.exec("toolbox", "dig", "+noall", "+answer", "database.default.svc.cluster.local").stdout
    assert re.search(r"CNAME\s+db\.example\.com\.", answer)


def test_three_tiers_find_each_other_by_name(course: Lab):
    web = course.get("-n", "shop", "pods", "-l", "tier=web")["items"][0]["metadata"]["name"]
    answer = course.kubectl("-n", "shop", "exec", web, "--", "curl", "-s", "--max-time", "5", "http://app:8080/")
    assert field(answer, "pod").startswith("app-")
    pod_ip = course.get("-n", "shop", "pods", "-l", "tier=db")["items"][0]["status"]["podIP"]
    assert pod_ip in course.exec(f"shop/{web}", "dig", "+search", "+short", "db").stdout
    assert field(course.curl("client", "http://172.30.0.11:30082/"), "pod").startswith("web-")


def test_labels_are_put_on_and_selected_by(course: Lab):
    course.kubectl("label", "pod", "nginx", "tier=front")
    assert course.kubectl("get", "pods", "-l", "tier=front,stage in (test)", "-o", "name").split() == ["pod/nginx"]
    course.kubectl("label", "pod", "nginx", "tier-")
    assert "No resources found" in course.netsim("kubectl", "get", "pods", "-l", "tier=front").stderr


def test_a_replica_is_replaced_while_the_service_answers(course: Lab):
    victim = course.get("pods", "-l", "app=test")["items"][0]["metadata"]["name"]
    course.kubectl("delete", "pod", victim, "--grace-period=1", "--wait=false")
    loop = 'for i in $(seq 60); do curl -s -o /dev/null -w "%{http_code}\\n" --max-time 5 http://test-service/; done'
    codes = course.kubectl("exec", "toolbox", "--", "sh", "-c", loop).split()
    assert codes == ["200"] * 60
    course.kubectl("rollout", "status", "deployment", "test-deployment", "--timeout=60s")
    assert victim not in course.kubectl("get", "pods", "-l", "app=test", "-o", "name")


def test_scaling_moves_endpoints(course: Lab):
    def endpoints() -> int:
        slices = course.get("endpointslices", "-l", "kubernetes.io/service-name=test-service")["items"]
        return sum(len(s.get("endpoints") or []) for s in slices)

    for count in (9, 6):
        course.kubectl("scale", "deployment", "test-deployment", f"--replicas={count}")
        until(lambda n=count: endpoints() == n, why=f"{count} endpoints")


def by_hand() -> list[list[str]]:
    """The commands of the section `By hand`, without sudo and remarks."""
    block = README.split("## By hand")[1].split("```sh\n")[1].split("```")[0]
    lines = [line.split("#")[0].split() for line in block.splitlines()]
    assert all(line[:2] == ["sudo", "netsim"] for line in lines)
    return [line[2:] for line in lines]


def test_the_commands_by_hand_do_what_they_say(course: Lab, tmp_path: Path):
    commands = by_hand()
    assert [words[0] for words in commands[:1]] == ["up"] and commands[-1] == ["down"]
    for words in commands[1:-1]:
        match words:
            case ["kubectl", "apply", "-f", path]:
                assert ROOT / path == EXAMPLES
                course.apply(EXAMPLES)
                course.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
            case ["kubectl", "exec", "-it", "toolbox", "--", "sh"]:
                assert course.kubectl("exec", "-i", "toolbox", "--", "sh", input="hostname") == "toolbox\n"
            case ["capture", target, "-w", name]:
                assert_captures(course, target, str(tmp_path / name))
            case ["backup", name]:
                course.netsim("backup", str(tmp_path / name))
                assert (tmp_path / name).stat().st_size > 10_000
            case _:
                done = course.netsim(*words)
                assert done.stdout, words


def assert_captures(course: Lab, target: str, file: str) -> None:
    """Ctrl-C ends a capture well, and the file has what passed."""
    argv = [*NETSIM, "capture", target, "-w", file]
    with subprocess.Popen(argv, env=course.environ, text=True, stdout=-1, stderr=-1) as process:
        assert process.stderr is not None and process.stderr.readline().startswith("capturing on ")
        course.exec("toolbox", "curl", "-s", "-o", "/dev/null", "http://test-service/")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    count = re.search(r"(\d+) packets, written to ", said)
    assert count is not None and int(count[1]) > 10, said
