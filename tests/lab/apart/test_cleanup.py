"""After `down` the machine is as before, however the lab came to its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsim.host import cgroup
from netsim.host.process import command_line
from support.host import Host, snapshot, stand_in
from support.labs import NETSIM, Lab, until

pytestmark = pytest.mark.root
NAME = f"pytest-clean-{os.getpid()}"


@pytest.fixture
def host() -> Iterator[Host]:
    with stand_in() as made:
        yield made
        made.run(*NETSIM, "down", "--lab", NAME)


def up(host: Host) -> subprocess.Popen[str]:
    """`netsim up` as a child that is a session of its own and heeds Ctrl-C, as started from a terminal."""
    netsim_up = [*NETSIM, "up", "--lab", NAME, "--nodes", "2"]
    # What a shell runs in the background ignores SIGINT, and so would everything below it.
    argv = host.argv("env", "--default-signal=INT", *netsim_up)
    return subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def bring_up(host: Host, nodes: int) -> None:
    done = host.run(*NETSIM, "up", "--lab", NAME, "--nodes", str(nodes))
    assert done.returncode == 0, done.stdout + done.stderr


def test_up_and_down_leave_the_machine_as_it_was(host: Host):
    before = snapshot(host, NAME)
    bring_up(host, nodes=2)
    during = snapshot(host, NAME)
    assert during.network == before.network  # a lab adds nothing to the host's own network
    assert during.mounts and during.files and during.processes
    done = host.run(*NETSIM, "down", "--lab", NAME)
    assert (done.returncode, done.stdout) == (0, f"Lab `{NAME}` is gone.\n")
    assert snapshot(host, NAME) == before


@pytest.mark.parametrize("moment", ["fabric", "API server", "nodes ready"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_leaves_nothing_behind(host: Host, how: signal.Signals, moment: str):
    before = snapshot(host, NAME)
    with up(host) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if moment in line)
        process.send_signal(how)
        process.stdout.read()
        status = process.wait(30)
    assert status == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGKILL:
        assert host.run(*NETSIM, "down", "--lab", NAME).returncode == 0
    assert snapshot(host, NAME) == before


def test_down_takes_what_a_killed_and_damaged_lab_and_its_users_have_left(host: Host):
    before = snapshot(host, NAME)
    bring_up(host, nodes=1)
    sleeper = subprocess.Popen(host.argv(*NETSIM, "exec", "--lab", NAME, "node-1", "--", "sleep", "300"))
    until(lambda: Path(f"/proc/{sleeper.pid}/cmdline").read_bytes().startswith(b"sleep\x00"))
    pids = Lab(NAME).pids()
    for name in ("supervisor", "server", "node-1"):
        os.kill(pids[name], signal.SIGKILL)
    Path(f"/run/netsim/{NAME}/lab.json").write_text('{"name": "x", "nodes": [], "colour": 1}')
    status = Lab(NAME).netsim("status", check=False)
    assert status.returncode == 1 and "another version of netsim; remove it with `netsim down" in status.stderr
    assert "partial" in Lab(NAME).netsim("ls").stdout
    assert host.run(*NETSIM, "down", "--lab", NAME).returncode == 0
    assert sleeper.wait(5) == -signal.SIGKILL
    assert snapshot(host, NAME) == before


WORK = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: PODS
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec: {containers: [{name: web, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  volumes:
    - {name: host, hostPath: {path: HOSTPATH}}
    - {name: own, emptyDir: {}}
    - {name: memory, emptyDir: {medium: Memory}}
  containers:
    - name: c
      image: busybox
      command: [sleep, infinity]
      volumeMounts: [{name: host, mountPath: /host}, {name: own, mountPath: /own}, {name: memory, mountPath: /memory}]
"""


def busy_lab(host: Host, host_path: Path, pods: int) -> Lab:
    """A lab with so many pods, and one that has files of the host, of its own and in memory."""
    (host_path / "kept").write_text("of the host")
    bring_up(host, nodes=2)
    run_kubectl(host, "apply", "-f", "-", input=WORK.replace("HOSTPATH", str(host_path)).replace("PODS", str(pods)))
    run_kubectl(host, "rollout", "status", "deployment/many", "--timeout=60s")
    run_kubectl(host, "wait", "--for=condition=Ready", "pod/shell", "--timeout=60s")
    return Lab(NAME)


def run_kubectl(host: Host, *words: str, **options: object) -> None:
    done = host.run(*NETSIM, "kubectl", *words, env=Lab(NAME).environ, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_down_with_users_processes_in_the_way(host: Host, tmp_path: Path):
    before = snapshot(host, NAME)
    lab = busy_lab(host, tmp_path, 4)
    (container,) = (pid for pid in cgroup.pids(f"netsim/{NAME}") if command_line(pid) == "sleep infinity")
    in_directory = subprocess.Popen(["sleep", "300"], cwd=f"/var/lib/netsim/{NAME}/logs")
    in_mounts = subprocess.Popen(["nsenter", "--target", str(container), "--mount", "sleep", "300"])
    for name in ("supervisor", "server", "node-1", "node-1-workloads"):
        os.kill(lab.pids()[name], signal.SIGSTOP)
    try:
        done = host.run(*NETSIM, "down", "--lab", NAME)
        assert (done.returncode, done.stdout) == (0, f"Lab `{NAME}` is gone.\n")
        assert (in_directory.poll(), in_mounts.poll()) == (None, None)  # they are the user's, and hold nothing up
    finally:
        for process in (in_directory, in_mounts):
            process.kill()
            process.wait()
    assert snapshot(host, NAME) == before
    assert (tmp_path / "kept").read_text() == "of the host"


# A `netsim down` that is killed when it comes to one of its steps for the first time.
KILLED_DOWN = """
import os, signal, sys
from netsim.cli.main import main
from netsim.lab import teardown

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

{step} = killed
sys.argv = ["netsim", "down", "--lab", {name!r}]
main()
"""


@pytest.mark.parametrize("step", ["teardown.mount.unmount", "teardown.remove_tree"])
def test_down_killed_half_way_and_run_twice_at_once(host: Host, tmp_path: Path, step: str):
    before = snapshot(host, NAME)
    lab = busy_lab(host, tmp_path, 40)
    supervisor = Path(f"/proc/{lab.pids()['supervisor']}")
    first = host.run(sys.executable, "-c", KILLED_DOWN.format(step=step, name=NAME))
    assert first.returncode == -signal.SIGKILL, first.stderr
    until(lambda: not supervisor.exists() or not (supervisor / "cmdline").read_bytes())
    assert NAME in host.run(*NETSIM, "ls").stdout
    both = [subprocess.Popen(host.argv(*NETSIM, "down", "--lab", NAME), stdout=-1, stderr=-1, text=True) for _ in "ab"]
    answers = [(*process.communicate(timeout=30), process.returncode) for process in both]
    # The one that comes late may find no lab any more; none of them says that something is left.
    assert any(status == 0 for *_, status in answers)
    assert all(status == 0 or "there is no lab" in err for _, err, status in answers), answers
    assert snapshot(host, NAME) == before
    assert (tmp_path / "kept").read_text() == "of the host"


def test_a_taken_port_is_named_and_nothing_is_left(host: Host):
    before = snapshot(host, NAME)
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 16443)); time.sleep(60)"
    listener = subprocess.Popen(host.argv(sys.executable, "-c", listen))
    try:
        until(lambda: "16443" in host.run("ss", "-ltn").stdout)
        done = host.run(*NETSIM, "up", "--lab", NAME, "--api-port", "16443")
        assert done.returncode == 1
        assert "port 16443 on 127.0.0.1 is taken" in done.stderr
    finally:
        listener.kill()
        listener.wait()
    assert snapshot(host, NAME) == before


def test_a_machine_without_iptables_is_told_so(host: Host, tmp_path: Path):
    for program in ("unshare", "ip", "conntrack", "runc", "conmon", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    before = snapshot(host, NAME)
    done = host.run("env", f"PATH={tmp_path}", *NETSIM, "up", "--lab", NAME)
    assert done.returncode == 1
    assert "apt-get install iptables" in done.stderr
    assert snapshot(host, NAME) == before
