import importlib
import subprocess
import sys

import pytest

from netsim.cli.main import VERBS, render_help, unknown_verb


def test_help_fits_a_terminal_and_names_every_verb():
    text = render_help()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(f"\n  {verb} " in text for verb in VERBS)


@pytest.mark.parametrize("verb", [v for v, (module, _, _) in VERBS.items() if module])
def test_every_verb_has_help_with_an_example_in_80_columns(verb: str):
    done = subprocess.run(
        [sys.executable, "-m", "netsim.cli", verb, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Example: netsim" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert importlib.import_module(f"netsim.cli.{VERBS[verb][0]}").app


def test_options_before_the_verb_are_told_where_they_belong():
    assert "options come after it" in unknown_verb("--lab")


def test_a_mistyped_verb_is_answered_with_the_nearest():
    assert "did you mean `netsim status`?" in unknown_verb("statsu")
    done = subprocess.run([sys.executable, "-m", "netsim.cli", "statsu"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["up", "--nodes", "0"], "--nodes: 0 is out of range"),
        (["up", "--lab", "Bad_Name"], "lab name"),
        (["up", "-f", "/nonexistent.yaml"], "No such file"),
        (["up", "--network", "token-ring"], "choose one of"),
        (["ls", "-o", "xml"], "unknown format"),
        (["node", "--server", "http://x"], "expected https://ADDRESS:PORT"),
        (["down", "--lab", "no-such-lab"], "there is no lab `no-such-lab`"),
        (["kubeconfig", "--lab", "no-such-lab"], "no lab `no-such-lab` is running"),
        (["dns", "lookup", "x", "-o", "xml"], "unknown format"),
        (["dns", "--config", "/nonexistent.yaml"], "--config /nonexistent.yaml: No such file"),
    ],
)
def test_wrong_input_is_one_clear_message(arguments: list[str], says: str):
    done = subprocess.run([sys.executable, "-m", "netsim.cli", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_completion_knows_verbs_and_their_options():
    script = subprocess.run(
        [sys.executable, "-m", "netsim.cli", "completion"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    ask = 'COMP_WORDS=(netsim {}); COMP_CWORD={}; _netsim; echo "${{COMPREPLY[*]}}"'
    asked = [ask.format("do", 1), ask.format("up --no", 2), ask.format("dns lo", 2), ask.format("dns lookup --fr", 3)]
    asked += [ask.format("image l", 2), ask.format("image ls --cat", 3)]
    shell = subprocess.run(
        ["bash", "-c", f"{script}\n" + "\n".join(asked)], capture_output=True, text=True, check=True, timeout=60
    )
    assert shell.stdout.splitlines() == [
        "down doctor",
        "--node-monitor-grace-period --nodes",
        "lookup",
        "--from",
        "load ls",
        "--catalogue",
    ]
