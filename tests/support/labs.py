"""A lab driven as a user drives it: by `netsim` and kubectl, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NETSIM = (sys.executable, "-m", "netsim.cli")
_REQUESTS = str(Path(__file__).with_name("request_loop.py"))
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "course"


def until(what: Callable[[], Any], seconds: float = 30.0, why: str = "") -> Any:
    """The first true value of `what()`, asked again and again; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"not so after {seconds:.0f} s: {why or what}"
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Lab:
    """A running lab, driven as a user drives it: by `netsim` and kubectl, in processes of their own."""

    name: str

    def netsim(self, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"capture_output": True, "text": True, "timeout": 90, "env": self.environ, **options}
        done = subprocess.run([*NETSIM, *arguments], check=False, **options)
        assert not check or done.returncode == 0, f"netsim {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    @property
    def environ(self) -> dict[str, str]:
        """Nothing is pulled, wherever skopeo is installed: a registry out of reach takes its time."""
        return {**os.environ, "NETSIM_LAB": self.name, "HOME": f"/run/netsim/{self.name}", "NETSIM_PULL": "off"}

    def kubectl(self, *arguments: str, check: bool = True, **options: Any) -> str:
        done = self.netsim("kubectl", *arguments, check=check, **options)
        return done.stdout if done.returncode == 0 else done.stderr

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def exec(self, place: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.netsim("exec", place, "--", *command, check=check)

    def curl(self, place: str, url: str, *options: str) -> str:
        return self.exec(place, "curl", "-s", "--max-time", "5", *options, url, check=False).stdout

    def apply(self, manifest: str | Path) -> str:
        if isinstance(manifest, Path):
            return self.kubectl("apply", "-f", str(manifest))
        return self.kubectl("apply", "-f", "-", input=manifest)

    def pids(self) -> dict[str, int]:
        return json.loads(Path(f"/run/netsim/{self.name}/processes.json").read_text())

    def wait_ready(self, *pods: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *pods)


@contextmanager
def running_lab(name: str, *options: str, nodes: int = 3) -> Iterator[Lab]:
    """A lab made with some options of `netsim up`, of which nothing is left afterwards."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    lab = Lab(name)
    lab.netsim("down", "--lab", name, check=False)
    lab.netsim("up", "--lab", name, "--nodes", str(nodes), *options)
    try:
        yield lab
    finally:
        done = lab.netsim("down", "--lab", name)
        assert "is gone" in done.stdout
        assert not os.path.exists(f"/run/netsim/{name}") and not os.path.exists(f"/var/lib/netsim/{name}")


def field(answer: str, name: str) -> str:
    """A `name: value` line of a web workload's answer."""
    found = [line.partition(":")[2].strip() for line in answer.splitlines() if line.startswith(f"{name}:")]
    assert found, f"no {name!r} in {answer!r}"
    return found[0]


@contextmanager
def requests(lab: Lab, place: str, address: str, kinds: str = "kept,new") -> Iterator[dict[str, Any]]:
    """Requests from a place while the block runs, over one kept connection and new ones; the result (of each kind how
    many went well, and the texts of the `failures`) is filled in at its end."""
    argv = [*NETSIM, "exec", place, "--", sys.executable, _REQUESTS, address, "80", kinds]
    result: dict[str, Any] = {}
    with subprocess.Popen(argv, env=lab.environ, text=True, stdin=-1, stdout=-1) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "started\n"
        try:
            yield result
        finally:
            process.stdin.close()
            result.update(json.loads(process.stdout.readline() or "{}"))
