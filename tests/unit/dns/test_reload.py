"""What is a change of a configuration file, and what is none."""

from __future__ import annotations

import asyncio
from pathlib import Path

from netsim_dns.main import load_settings
from netsim_dns.reload import follow_file

from .forwarding import until

COREFILE = ".:53 {\n kubernetes c.test\n import *.override\n}\n"


def test_remarks_and_blanks_mean_nothing_and_imported_files_do(tmp_path: Path) -> None:
    path = tmp_path / "Corefile"
    path.write_text(COREFILE)
    config = load_settings({}, str(path))[1]
    assert config is not None

    def meaning(text: str) -> object:
        return config.meaning(str(path), text)

    first = meaning(COREFILE)
    assert meaning("# all\n\n" + COREFILE.replace(" kubernetes", "   kubernetes")) == first
    assert meaning(COREFILE.replace("c.test", "d.test")) != first
    (tmp_path / "a.override").write_text("cache {\n success 10\n}\n")
    second = meaning(COREFILE)
    (tmp_path / "a.override").write_text("cache {\n success 9\n}\n")
    assert first != second != meaning(COREFILE)
    assert meaning("}") == "}", "what cannot be read is what it says"
    assert config.meaning("dns.yaml", "ttl: 5 # so") == "ttl: 5 # so"


async def test_a_file_is_followed_by_its_meaning(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    imported, poke, told = ["x"], asyncio.Event(), list[str]()

    def meaning(_: str, text: str) -> object:
        return text.strip(), *imported

    following = follow_file(lambda: str(path), "a", 60, poke, lambda _, text: told.append(text), meaning)
    task = asyncio.create_task(following)
    for change, expected in (
        (lambda: path.write_text("b"), ["b"]),
        (lambda: imported.append("y"), ["b", "b"]),
        (lambda: path.write_text(" b "), ["b", "b"]),
        (lambda: path.write_text("c"), ["b", "b", "c"]),
    ):
        await until(lambda: not poke.is_set())
        change()
        poke.set()
        await until(lambda expected=expected: not poke.is_set() and told == expected)
    task.cancel()
