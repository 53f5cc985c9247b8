"""The API while the disk is full, is read-only, or the clock jumps: refusals that say why, and nothing broken."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from netsim.api.kinds import CONFIG_MAPS, Obj
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import Peer
from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.store.sqlite import SqliteStore

FULL = """
import asyncio, os, secrets, sys
from datetime import UTC, datetime
from pathlib import Path
from netsim.api.errors import StatusError
from netsim.api.kinds import CONFIG_MAPS
from netsim.client.rest import Client
from netsim.client.transport import InProcessTransport
from netsim.http.types import Peer
from netsim.server.app import ApiServer
from netsim.server.core import ServerConfig
from netsim.store.sqlite import SqliteStore

disk, pki = map(Path, sys.argv[1:])

async def serving():
    store = await SqliteStore.open(disk / "store.db")
    app = ApiServer(store, ServerConfig(pki_dir=pki), clock=lambda: datetime.now(UTC), rand=secrets.randbelow,
                    dial_node=None)
    await app.start()
    return store, app, Client(InProcessTransport(app, Peer(trusted=True)))

def config_map(name, size):
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"x": "y" * size}}

async def main():
    store, app, client = await serving()
    kept = [await client.create(CONFIG_MAPS, config_map(f"kept-{n}", 10), "default") for n in range(5)]
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            pass
    refused = []
    for n in range(200):
        try:
            kept.append(await client.create(CONFIG_MAPS, config_map(f"more-{n}", 100_000), "default"))
        except StatusError as error:
            refused.append(error)
        if len(refused) > 3:
            break
    assert refused, "the disk did not get full"
    assert all(error.code == 503 and "full" in error.message for error in refused), [e.message for e in refused]
    listed = (await client.list(CONFIG_MAPS, "default"))["items"]
    assert {o["metadata"]["name"] for o in listed} >= {o["metadata"]["name"] for o in kept}
    os.unlink(ballast)
    kept.append(await client.create(CONFIG_MAPS, config_map("after", 100_000), "default"))
    await app.close()
    await store.close()
    store, app, client = await serving()
    listed = (await client.list(CONFIG_MAPS, "default"))["items"]
    versions = {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in listed}
    assert all(versions[o["metadata"]["name"]] == o["metadata"]["resourceVersion"] for o in kept)
    await app.close()
    await store.close()
    print("ok", len(refused))

asyncio.run(main())
"""
FAILING = (
    FULL[: FULL.index("async def main")]
    + """
import subprocess

async def refused(write):
    try:
        await write
    except StatusError as error:
        assert error.code == 503 and "nothing was changed" in error.message, (error.code, error.message)
    else:
        raise AssertionError("a write on a read-only disk was acknowledged")

async def main():
    store, app, client = await serving()
    made = await client.create(CONFIG_MAPS, config_map("before", 10), "default")
    chunks = await client.watch(CONFIG_MAPS, "default", resource_version=str(store.revision))
    watch = asyncio.ensure_future(anext(chunks))
    number = disk.stat().st_dev
    device = Path(os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")).name
    Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a fault of a test")
    for _ in range(3):
        await refused(client.create(CONFIG_MAPS, config_map("refused", 10), "default"))
        await refused(client.update(CONFIG_MAPS, {**made, "data": {"x": "z"}}))
        await refused(client.delete(CONFIG_MAPS, "before", "default"))
    assert await client.get(CONFIG_MAPS, "before", "default") == made
    assert not watch.done()
    watch.cancel()
    await app.close()
    await store.close()
    subprocess.run(["umount", disk], check=True)
    subprocess.run(["e2fsck", "-fy", disk.with_name("image")], capture_output=True)
    subprocess.run(["mount", "-o", "loop", disk.with_name("image"), disk], check=True)
    store, app, client = await serving()
    assert await client.get(CONFIG_MAPS, "before", "default") == made
    listed = (await client.list(CONFIG_MAPS, "default"))["items"]
    assert "refused" not in {o["metadata"]["name"] for o in listed}
    after = await client.create(CONFIG_MAPS, config_map("after", 10), "default")
    assert int(after["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    await app.close()
    await store.close()
    print("ok")

asyncio.run(main())
"""
)
READ_ONLY = """
import asyncio, sys
from netsim.store.sqlite import SqliteStore
from netsim.store.types import Unavailable

async def main():
    try:
        await SqliteStore.open(sys.argv[1] + "/store.db")
    except Unavailable as error:
        print(error)

asyncio.run(main())
"""


async def on_small_disk(script: str, tmp_path: Path, options: str, image: Path | None = None) -> str:
    """What a script prints that has a small disk of its own (in memory, or an image), which ends with it."""
    (tmp_path / "disk").mkdir()
    source = f"{image}" if image else "-t tmpfs none"
    mount = f'mount -o {options} {source} "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = [
        "unshare",
        "--mount",
        "sh",
        "-ec",
        mount,
        "-",
        tmp_path / "disk",
        sys.executable,
        script,
        tmp_path / "pki",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.root
async def test_full_disk(tmp_path: Path) -> None:
    assert (await on_small_disk(FULL, tmp_path, "size=6m")).startswith("ok")


@pytest.mark.root
async def test_disk_that_turns_read_only(tmp_path: Path) -> None:
    """As ext4 does when it finds itself broken, under a server that has its files open; mended, nothing is missing."""
    with open(tmp_path / "image", "wb") as image:
        image.truncate(16 << 20)
    make = ["mkfs.ext4", "-q", "-O", "^has_journal", tmp_path / "image"]
    await asyncio.to_thread(subprocess.run, make, check=True)
    assert (await on_small_disk(FAILING, tmp_path, "loop,errors=remount-ro", tmp_path / "image")).startswith("ok")


@pytest.mark.root
async def test_read_only_disk(tmp_path: Path) -> None:
    said = await on_small_disk(READ_ONLY, tmp_path, "ro")
    assert "store.db.lock: cannot be made: Read-only file system" in said


def config_map(name: str) -> Obj:
    return {"metadata": {"name": name, "namespace": "default"}}


async def test_the_clock_jumps(tmp_path: Path) -> None:
    """Writes, their order and watches do not depend on it; timestamps follow it."""
    offset = timedelta()

    def clock() -> datetime:
        return datetime.now(UTC) + offset

    async def dial(host: str, port: int) -> Any:
        raise OSError("no kubelets here")

    store = await SqliteStore.open(tmp_path / "store.db")
    app = ApiServer(store, ServerConfig(pki_dir=tmp_path / "pki"), clock=clock, rand=secrets.randbelow, dial_node=dial)
    await app.start()
    client = Client(InProcessTransport(app, Peer(trusted=True)))
    chunks = await client.watch(CONFIG_MAPS, "default", resource_version=str(store.revision))
    made = []
    for days in (0, 3650, -3650, 1):
        offset = timedelta(days=days)
        made.append(await client.create(CONFIG_MAPS, config_map(f"m{days}"), "default"))
    seen = b""
    async with asyncio.timeout(10):
        async for chunk in chunks:
            seen += chunk
            if seen.count(b"\n") == len(made):
                break
    assert [line.count(b'"ADDED"') for line in seen.splitlines()] == [1] * len(made)
    revisions = [int(each["metadata"]["resourceVersion"]) for each in made]
    assert revisions == sorted(set(revisions))
    years = [int(each["metadata"]["creationTimestamp"][:4]) for each in made]
    assert years[1] - years[0] in (9, 10) and years[0] - years[2] in (9, 10)
    await chunks.aclose()  # type: ignore[attr-defined]
    await client.close()
    await app.close()
    await store.close()
