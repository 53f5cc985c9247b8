"""Images of one's own in a lab: loaded, run as they say, looked into, removed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from support.images import layer, write_docker
from support.labs import Lab, until

pytestmark = pytest.mark.root
PROGRAMS = ("sh", "sleep", "cat", "rm")


def programs() -> list[tuple[str, bytes | str | None]]:
    """The machine's own dash, sleep … with the libraries they need, as an image's first layer has them."""
    found: dict[str, bytes | str | None] = {"bin": None, "tmp": None, "etc": None}
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path is not None
        found[f"bin/{name}"] = Path(path).read_bytes()
        for word in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.split():
            if word.startswith("/"):
                parts = Path(word.lstrip("/")).parents
                found |= {str(p): None for p in reversed(parts) if str(p) != "."}
                found[word.lstrip("/")] = Path(word).read_bytes()
    return list(found.items())


@pytest.fixture(scope="module")
def base() -> bytes:
    return layer(
        [*programs(), ("etc/passwd", b"root:x:0:0:::\nweb:x:101:102::/data:\n"), ("data", None), ("data/old", b"o")]
    )


def ran(lab: Lab, namespace: str, name: str) -> str:
    path = "jsonpath={.status.phase}"
    until(lambda: lab.kubectl("get", "pod", "-n", namespace, name, "-o", path) in ("Succeeded", "Failed"))
    return lab.kubectl("logs", "-n", namespace, name)


def test_an_image_runs_as_it_says_and_shows_what_was_changed(lab: Lab, namespace: str, base: bytes, tmp_path: Path):
    top = layer([("data", None), ("data/.wh.old", b""), ("data/new", b"from the image\n")])
    said = ["-c", "cat new; cat /proc/self/status; echo $COLOUR $0 $HOSTNAME; cat old"]
    saved = write_docker(
        tmp_path / "shop.tar", "acme/shop:1", [base, top],
        Entrypoint=["/bin/sh"], Cmd=said, Env=["COLOUR=blue"], User="web", WorkingDir="/data",
    )  # fmt: skip
    broken = tmp_path / "broken.tar"
    broken.write_bytes(saved.read_bytes()[:100_000])
    done = lab.netsim("image", "load", str(broken), check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"netsim: {broken}: ")
    assert "docker.io/acme/shop:1" in lab.netsim("image", "load", str(saved)).stdout
    run = ["run", "-n", namespace, "--restart=Never", "--image=acme/shop:1"]
    lab.kubectl(*run, "as-it-says")
    sleeping = "echo 1 > /tmp/made; rm /data/new; echo up; exec sleep 100"
    root = json.dumps({"spec": {"terminationGracePeriodSeconds": 0, "securityContext": {"runAsUser": 0}}})
    lab.kubectl(*run, f"--overrides={root}", "sleeper", "--command", "--", "/bin/sh", "-c", sleeping)
    shown = ran(lab, namespace, "as-it-says")
    assert shown.startswith("from the image\n") and "Uid:\t101\t101" in shown and "Gid:\t102\t102" in shown
    assert "blue /bin/sh as-it-says" in shown and "old: No such file" in shown
    until(lambda: "up" in lab.kubectl("logs", "-n", namespace, "sleeper", check=False))
    assert lab.netsim("container", "diff", f"{namespace}/sleeper").stdout.splitlines() == [
        "C /data", "D /data/new", "C /tmp", "A /tmp/made",
    ]  # fmt: skip
    [listed] = json.loads(lab.netsim("image", "ls", "-o", "json").stdout)
    assert listed["usedBy"] == [f"{namespace}/sleeper"]
    refused = lab.netsim("image", "rm", "acme/shop:1", check=False)
    assert refused.returncode == 1 and f"in use by {namespace}/sleeper" in refused.stderr
    status = lab.get("-n", namespace, "pod", "sleeper")["status"]["containerStatuses"][0]
    assert status["imageID"] == listed["id"]
    lab.kubectl("delete", "pod", "-n", namespace, "sleeper")
    assert "Removed image: acme/shop:1" in lab.netsim("image", "rm", "acme/shop:1").stdout


MOUNTED = """
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: lessons, image: {reference: "acme/lessons:1"}}]
  containers:
    - name: c
      image: acme/lessons:1
      command: [/bin/sh, -c, "echo mine > /data/made; cat /lessons/data/old; echo x > /lessons/y; exec sleep 100"]
      volumeMounts: [{name: lessons, mountPath: /lessons}]
    - name: busybox
      image: busybox
      command: [sh, -c, "cat /one; /programs/sh; exec sleep 100"]
      volumeMounts:
        - {name: lessons, mountPath: /one, subPath: data/old}
        - {name: lessons, mountPath: /programs, subPath: bin}
"""


def test_an_image_can_be_a_volume_and_declare_volumes(lab: Lab, namespace: str, base: bytes, tmp_path: Path):
    saved = write_docker(tmp_path / "lessons.tar", "acme/lessons:1", [base], Volumes={"/data": {}})
    lab.netsim("image", "load", str(saved))
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=MOUNTED)
    lab.wait_ready("-n", namespace, "pod/reader")
    until(lambda: "/lessons/y: Read-only file system" in lab.kubectl("logs", "-n", namespace, "reader", "-c", "c"))
    assert lab.kubectl("logs", "-n", namespace, "reader", "-c", "c").startswith("o")
    until(lambda: "Permission denied" in lab.kubectl("logs", "-n", namespace, "reader", "-c", "busybox"))
    assert lab.kubectl("logs", "-n", namespace, "reader", "-c", "busybox").startswith("o")
    assert lab.netsim("container", "diff", "-c", "c", f"{namespace}/reader").stdout == ""
    assert "in 0 images" in lab.netsim("image", "prune").stdout
    lab.kubectl("delete", "pod", "-n", namespace, "reader")
    # A pod without a grace period is gone from the API at once; its node unmounts what it had thereafter.
    until(lambda: "docker.io/acme/lessons:1" in lab.netsim("image", "prune").stdout)
