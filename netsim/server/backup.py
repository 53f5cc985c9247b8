"""`GET /netsim/backup`: the whole store as one consistent file, for those who may do everything."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from netsim.http.types import Response
from netsim.server.core import Core
from netsim.store.backup import take_backup

PATH = "/netsim/backup"


async def serve_backup(core: Core) -> Response:
    """The backup's bytes; its revision is in the header Netsim-Revision."""
    with tempfile.TemporaryDirectory(prefix="netsim-backup-") as directory:
        path = Path(directory) / "backup"
        revision = await take_backup(core.store, path)
        body = await asyncio.to_thread(path.read_bytes)
    headers = [("Content-Type", "application/vnd.sqlite3"), ("Netsim-Revision", str(revision))]
    return Response(200, headers, body)
