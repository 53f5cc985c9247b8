"""`netsim backup`: the state of a running cluster in a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from netsim.cli.fault import Fault
from netsim.cli.options import Lab, make_app, need_root, running_lab
from netsim.http.client import HttpClient
from netsim.http.types import Request, Response

app = make_app()

_TIMEOUT = 120.0


@app.command(epilog="Example: netsim backup monday.db   then: netsim up --lab again --restore monday.db")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it (replaced only when complete).")],
    lab: Lab = "default",
) -> None:
    """Write all objects of a running lab to FILE, as of one moment; nothing is stopped meanwhile.

    FILE holds Secrets and is readable by root alone. Keys and logs of the lab are not in it.
    """
    need_root("backup")
    _, paths = running_lab(lab)
    try:
        response = asyncio.run(_fetch(paths.api_socket))
    except OSError as error:
        raise Fault(f"lab `{lab}`: the API server does not answer ({error}); see `netsim status`") from None
    if response.status != 200 or not isinstance(response.body, bytes):
        raise Fault(f"lab `{lab}`: the API server refused the backup: {response.status} {response.body!r}")
    _write(file, response.body)
    print(f"{file}: {len(response.body)} bytes, revision {response.header('netsim-revision')}")


async def _fetch(socket_path: str) -> Response:
    client = HttpClient(f"unix:{socket_path}", timeout=_TIMEOUT)
    try:
        return await client(Request("GET", "/netsim/backup"))
    finally:
        await client.close()


def _write(file: Path, content: bytes) -> None:
    """Whole and on the disk, or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):  # it was not even made
            temporary.unlink()
        raise Fault(f"{file}: cannot be written: {error.strerror}") from None
