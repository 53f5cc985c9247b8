"""What README, guides, scripts and the Vagrantfile tell people to type exists."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from netsim.cli.main import VERBS

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("docs/**/*.yaml"),
        *(path for path in ROOT.glob("scripts/*") if path.is_file()),
        ROOT / "Vagrantfile",
    ]
)
MARKDOWN = [page for page in PAGES if page.suffix == ".md"]
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
BELOW = {"proxy": ("render",), "image": ("ls", "load", "pull", "rm"), "container": ("diff",)}
BEFORE = r"(?:^|[`$(>\"] ?|sudo (?:-E )?|show |&& |\|\| |NETSIM_LAB=\S+ )"
COMMAND = re.compile(BEFORE + r"netsim ([a-z]+)([^`\n#;|&]*)", re.MULTILINE)


def commands(page: Path) -> list[tuple[str, str]]:
    """Verb and rest of every `netsim VERB …` of a page; in prose only where it is marked as code."""
    text = page.read_text()
    return COMMAND.findall("\n".join(CODE.findall(text)) if page in MARKDOWN else text)


@cache
def help_of(*verb: str) -> str:
    argv = [sys.executable, "-m", "netsim.cli", *verb, "--help"]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def options(rest: str) -> list[str]:
    """The options that netsim reads: not those of the command behind `--`."""
    words = [word.lstrip("[") for word in rest.split(" -- ", maxsplit=1)[0].split()]
    return [re.sub(r"[]}=,.)\"].*", "", word) for word in words if word.startswith("-")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_told_exists(page: Path):
    for verb, rest in commands(page):
        assert verb in VERBS, f"netsim {verb}"
        if verb == "kubectl":
            continue
        below = [word for word in rest.split()[:1] if word in BELOW.get(verb, ())]
        text = help_of(verb, *below)
        for option in options(rest):
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"netsim {verb} {option}"


def test_the_pages_are_looked_at():
    found = {verb for page in PAGES for verb, _ in commands(page)}
    assert {"up", "down", "exec", "capture", "kubectl", "server", "node", "proxy"} <= found


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_pages_link_to_or_name_is_there(page: Path):
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page}: {target}"
    for named in re.findall(r"\b((?:docs|scripts|tests)/[\w./-]*\w)", text):
        assert (ROOT / named).exists(), f"{page}: {named}"


def test_the_table_of_served_kinds_is_true():
    argv = [sys.executable, str(ROOT / "scripts" / "api-table"), "--check"]
    assert subprocess.run(argv, check=False, timeout=60).returncode == 0, "run scripts/api-table"
