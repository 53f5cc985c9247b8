"""The README's commands, as they are written there."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from support.labs import EXAMPLES, NETSIM, Lab

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def by_hand() -> list[list[str]]:
    """The commands of the section `By hand`, without sudo and remarks."""
    block = README.split("## By hand")[1].split("```sh\n")[1].split("```")[0]
    lines = [line.split("#")[0].split() for line in block.splitlines()]
    assert all(line[:2] == ["sudo", "netsim"] for line in lines)
    return [line[2:] for line in lines]


def test_the_commands_by_hand_do_what_they_say(own_lab: Lab, tmp_path: Path):
    commands = by_hand()
    assert [words[0] for words in commands[:1]] == ["up"] and commands[-1] == ["down"]
    for words in commands[1:-1]:
        match words:
            case ["kubectl", "apply", "-f", path]:
                assert ROOT / path == EXAMPLES
                own_lab.apply(EXAMPLES)
                own_lab.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
            case ["kubectl", "exec", "-it", "toolbox", "--", "sh"]:
                assert own_lab.kubectl("exec", "-i", "toolbox", "--", "sh", input="hostname") == "toolbox\n"
            case ["capture", target, "-w", name]:
                assert_captures(own_lab, target, str(tmp_path / name))
            case ["backup", name]:
                own_lab.netsim("backup", str(tmp_path / name))
                assert (tmp_path / name).stat().st_size > 10_000
            case _:
                done = own_lab.netsim(*words)
                assert done.stdout, words


def assert_captures(lab: Lab, target: str, file: str) -> None:
    """Ctrl-C ends a capture well, and the file has what passed."""
    argv = [*NETSIM, "capture", target, "-w", file]
    with subprocess.Popen(argv, env=lab.environ, text=True, stdout=-1, stderr=-1) as process:
        assert process.stderr is not None and process.stderr.readline().startswith("capturing on ")
        lab.exec("toolbox", "curl", "-s", "-o", "/dev/null", "http://test-service/")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    count = re.search(r"(\d+) packets, written to ", said)
    assert count is not None and int(count[1]) > 10, said
