"""What is a change of a configuration file, and what is none."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import dns.asyncquery
import dns.message

from netsim_dns.main import load_settings
from netsim_dns.origins import FileOrigin
from netsim_dns.process import Process
from netsim_dns.reload import ReadFile, follow_file

from .conftest import GOLDEN
from .false_upstream import reply, upstream
from .forwarding import NAME, until

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


async def test_a_move_that_gives_way_to_another_goes_back_to_where_it_began(tmp_path: Path) -> None:
    """It waits for an upstream's answer at the place that it leaves when that is wanted again."""
    first, second = _free_ports(2)
    path = tmp_path / "dns.yaml"
    async with upstream(lambda query, _: reply(query, "@ 60 IN A 192.0.2.1"), gate=asyncio.Event()) as there:

        def listen(port: int) -> None:
            new = tmp_path / "new"
            new.write_text(
                f"reload: 0.01\nlameduck: 0\nlisten: 127.0.0.1:{port}\nforward: '{'{}:{}'.format(*there.address)}'\n"
            )
            new.rename(path)

        listen(first)
        settings, config = load_settings({}, str(path))
        objects = GOLDEN / "fixture.json"
        origin = FileOrigin(ReadFile(str(objects), objects.read_text(), lambda: str(objects)), settings.dns)
        process, stop = Process(settings, origin.index, config), asyncio.Event()
        process.origin = origin
        await process.open()
        serving = asyncio.create_task(process.serve(stop))
        try:
            await until(lambda: _listens(first))
            query = dns.message.make_query(NAME, "A")
            waiting = asyncio.create_task(dns.asyncquery.udp(query, "127.0.0.1", port=first, timeout=20))
            await until(lambda: NAME in there.names())
            listen(second)
            await until(lambda: _listens(second))
            listen(first)
            await until(lambda: not _listens(second))
            cluster = dns.message.make_query("svc1.testns.svc.cluster.local.", "A")
            assert (await dns.asyncquery.udp(cluster, "127.0.0.1", port=first, timeout=5)).answer
            assert process.settings.dns.listen == (("127.0.0.1", first),)
            waiting.cancel()
        finally:
            stop.set()
            await asyncio.gather(serving, return_exceptions=True)
            await process.close()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def _listens(port: int) -> bool:
    """As the kernel says: a connection might be accepted just when the server ends."""
    return f" 0100007F:{port:04X} " in Path("/proc/net/udp").read_text()
