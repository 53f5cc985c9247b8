"""Pods behave: exec, logs, exit codes, restarts, probes, environment, files, limits of what they see."""

from __future__ import annotations

import pytest

from support.labs import Lab, field, until

pytestmark = pytest.mark.root


def pod(name: str, command: str, more: str = "", spec: str = "") -> str:
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  {spec}
  containers:
    - name: c
      image: busybox
      command: [sh, -c, {command!r}]
      {more}
"""


def status(lab: Lab, namespace: str, name: str) -> dict:
    return lab.get("-n", namespace, "pod", name)["status"]


def container(lab: Lab, namespace: str, name: str) -> dict:
    return (status(lab, namespace, name).get("containerStatuses") or [{}])[0]


def test_exec_passes_input_output_and_exit_codes(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("shell", "sleep infinity"))
    lab.wait_ready("-n", namespace, "pod/shell")
    run = ["kubectl", "exec", "-n", namespace, "-i", "shell", "--"]
    assert lab.netsim(*run, "cat", input="through\n").stdout == "through\n"
    assert lab.netsim(*run, "sh", "-c", "echo out; echo err >&2; exit 3", check=False).returncode == 3
    done = lab.netsim(*run, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert lab.netsim(*run, "hostname").stdout == "shell\n"


def test_logs_are_those_of_the_container_and_of_its_predecessor(lab: Lab, namespace: str):
    script = "echo run $(cat /run/n 2>/dev/null); sleep 1; exit 1"
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("talker", script))
    until(lambda: container(lab, namespace, "talker").get("restartCount", 0) >= 1)
    assert "run" in lab.kubectl("logs", "-n", namespace, "talker")
    assert "run" in lab.kubectl("logs", "-n", namespace, "talker", "--previous")


def test_a_failing_container_is_restarted_with_a_back_off(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("crash", "exit 7"))

    def backing_off() -> dict | None:
        found = container(lab, namespace, "crash")
        return found if found.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff" else None

    found = until(backing_off)
    assert found["lastState"]["terminated"]["exitCode"] == 7
    assert "CrashLoopBackOff" in lab.kubectl("get", "-n", namespace, "pods")


@pytest.mark.parametrize(("policy", "code", "phase"), [("Never", 0, "Succeeded"), ("Never", 3, "Failed")])
def test_a_pod_that_ends_says_how(lab: Lab, namespace: str, policy: str, code: int, phase: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("once", f"exit {code}", spec=f"restartPolicy: {policy}"))
    until(lambda: status(lab, namespace, "once")["phase"] == phase)
    assert container(lab, namespace, "once")["state"]["terminated"]["exitCode"] == code


def test_a_pod_that_is_not_ready_gets_no_requests(lab: Lab, namespace: str):
    probe = "readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}"
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("slow", "sleep infinity", probe))
    lab.kubectl("expose", "-n", namespace, "pod", "slow", "--port=80")
    until(lambda: status(lab, namespace, "slow")["phase"] == "Running")

    def ready() -> list[bool]:
        slices = lab.get("-n", namespace, "endpointslices")["items"]
        return [e["conditions"]["ready"] for s in slices for e in s.get("endpoints") or []]

    until(lambda: ready() == [False])
    lab.kubectl("exec", "-n", namespace, "slow", "--", "touch", "/tmp/ready")
    until(lambda: ready() == [True])
    lab.kubectl("exec", "-n", namespace, "slow", "--", "rm", "/tmp/ready")
    until(lambda: ready() == [False])


def test_a_failing_liveness_probe_restarts_the_container(lab: Lab, namespace: str):
    probe = "livenessProbe: {exec: {command: [test, '!', -e, /tmp/sick]}, periodSeconds: 1, failureThreshold: 1}"
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("sick", "sleep infinity", probe))
    lab.wait_ready("-n", namespace, "pod/sick")
    lab.kubectl("exec", "-n", namespace, "sick", "--", "touch", "/tmp/sick")
    until(lambda: container(lab, namespace, "sick")["restartCount"] == 1)
    lab.wait_ready("-n", namespace, "pod/sick")  # the new container has a root of its own, without the file


def test_environment_and_files_come_from_where_the_manifest_says(lab: Lab, namespace: str):
    lab.kubectl("create", "-n", namespace, "configmap", "settings", "--from-literal=colour=blue")
    lab.kubectl("create", "-n", namespace, "secret", "generic", "keys", "--from-literal=key=s3cret")
    lab.kubectl("create", "-n", namespace, "service", "clusterip", "first", "--tcp=80")
    more = """env:
        - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
        - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: key}}}
        - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
      volumeMounts: [{name: files, mountPath: /etc/settings}]"""
    spec = "volumes: [{name: files, configMap: {name: settings}}]"
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("env", "sleep infinity", more, spec))
    lab.wait_ready("-n", namespace, "pod/env")
    script = "echo $COLOUR $KEY $NODE $(cat /etc/settings/colour) $FIRST_SERVICE_PORT; cat /etc/resolv.conf"
    shown = lab.kubectl("exec", "-n", namespace, "env", "--", "sh", "-c", script)
    node = lab.get("-n", namespace, "pod", "env")["spec"]["nodeName"]
    assert shown.splitlines()[0] == f"blue s3cret {node} blue 80"
    assert f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local" in shown
    assert "nameserver 10.96.0.10" in shown and "ndots:5" in shown


def test_a_pod_does_not_see_the_machines_files(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("jail", "sleep infinity"))
    lab.wait_ready("-n", namespace, "pod/jail")
    look = "ls -A /root /home /run/netsim /var/lib/netsim 2>/dev/null"
    script = f"{look}; touch /usr/x 2>/dev/null && echo wrote; ps ax | wc -l"
    shown = lab.kubectl("exec", "-n", namespace, "jail", "--", "sh", "-c", script)
    assert "netsim" not in shown.replace("/run/netsim", "").replace("/var/lib/netsim", "") and "wrote" not in shown
    assert int(shown.split()[-1]) < 10


def test_the_machines_tools_work_in_a_pods_network(lab: Lab, namespace: str):
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=pod("plain", "sleep infinity"))
    lab.wait_ready("-n", namespace, "pod/plain")
    address = status(lab, namespace, "plain")["podIP"]
    assert address in lab.exec(f"{namespace}/plain", "ip", "-br", "address").stdout
    assert (
        "Destination Net Unreachable"
        in lab.exec(f"{namespace}/plain", "ping", "-c1", "-W2", "192.0.2.1", check=False).stdout
    )


def test_rolling_update_answers_throughout(lab: Lab, namespace: str):
    lab.kubectl("create", "-n", namespace, "deployment", "roll", "--image=nginx:1.7.9", "--replicas=4")
    lab.kubectl("expose", "-n", namespace, "deployment", "roll", "--port=80")
    lab.kubectl("rollout", "-n", namespace, "status", "deployment", "roll", "--timeout=60s")
    address = lab.get("-n", namespace, "service", "roll")["spec"]["clusterIP"]
    until(lambda: "image: nginx:1.7.9" in lab.curl("node-1", f"http://{address}/"))
    lab.kubectl("set", "-n", namespace, "image", "deployment/roll", "nginx=nginx:1.25")
    images = [field(lab.curl("node-1", f"http://{address}/"), "image") for _ in range(15)]
    lab.kubectl("rollout", "-n", namespace, "status", "deployment", "roll", "--timeout=60s")
    assert set(images) <= {"nginx:1.7.9", "nginx:1.25"}
    until(lambda: field(lab.curl("node-1", f"http://{address}/"), "image") == "nginx:1.25")
    history = lab.kubectl("rollout", "-n", namespace, "history", "deployment", "roll")
    assert history.split()[-4::2] == ["1", "2"]
    lab.kubectl("rollout", "-n", namespace, "undo", "deployment", "roll")
    lab.kubectl("rollout", "-n", namespace, "status", "deployment", "roll", "--timeout=60s")
    until(lambda: field(lab.curl("node-1", f"http://{address}/"), "image") == "nginx:1.7.9")
