"""Files that may change while the server runs: looked at now and then, told of when their content is another."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress

LOG = logging.getLogger(__name__)


def read_file(path: str) -> str:
    """The text of a file. Raises OSError, UnicodeDecodeError (a ValueError)."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def digest(text: str) -> str:
    """The SHA-512 of a configuration, as CoreDNS shows it."""
    return hashlib.sha512(text.encode()).hexdigest()


async def follow_file(
    path: str, text: str, seconds: float, poke: asyncio.Event, changed: Callable[[str], None]
) -> None:
    """Call `changed` with the file's text for ever, when it is not the one before (`text` at first).

    It is looked at each `seconds`, and when `poke` is set. A ConfigMap's volume shows a new file at once by moving a
    link, so that no half of one is ever read. A file that cannot be read is told of once and looked for again.
    """
    stamp, said = None, ""
    while True:
        try:
            now = _stamp(path)
            if now != stamp:
                found = read_file(path)
                stamp, said = now, ""
                if found != text:
                    text = found
                    changed(found)
        except (OSError, UnicodeDecodeError) as failure:
            if str(failure) != said:
                said, stamp = str(failure), None
                LOG.error("dns: %s; what was read before stays in use", failure)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await poke.wait()
                poke.clear()


def _stamp(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ino, found.st_size
