"""Files that may change while the server runs: looked at now and then, told of when their content is another."""

from __future__ import annotations

import asyncio
import errno
import glob
import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .settings import Settings

LOG = logging.getLogger(__name__)
COREFILE, YAML_FILE = "Corefile", "dns.yaml"


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read at the start and may change: its name and text, and what names it from then on."""

    path: str
    text: str
    find: Callable[[], str]


Meaning = Callable[[str, str], object]
"""What a file's path and text come to, with all that it imports: two that are equal say the same. Raises OSError."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file, how its path and text become settings (raises ConfigError, OSError), and their meaning."""

    file: ReadFile
    parse: Callable[[str, str], Settings]
    meaning: Meaning


def read_file(path: str) -> str:
    """The text of a file. Raises OSError, also if it is no text."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as failure:
        raise OSError(errno.EILSEQ, f"not UTF-8: {failure.reason} at byte {failure.start}", path) from failure


def read_files(directory: str, pattern: str) -> list[str] | None:
    """The texts of the files that a pattern (`custom/*.override`, from the directory) stands for, in the order of their
    names; None for the name of a file that is not there. Raises OSError."""
    paths = sorted(glob.glob(os.path.join(directory, pattern)))
    return [read_file(path) for path in paths] if paths or glob.has_magic(pattern) else None


def digest(text: str) -> str:
    """The SHA-512 of a configuration, as CoreDNS shows it."""
    return hashlib.sha512(text.encode()).hexdigest()


async def follow_file(
    find: Callable[[], str],
    text: str,
    seconds: float,
    poke: asyncio.Event,
    changed: Callable[[str, str], None],
    meaning: Meaning | None = None,
) -> None:
    """Call `changed` with the path and text of the file that `find` names, for ever, when the text is not the one
    before (`text` at first), or, if one is given, its `meaning` is not.

    It is looked at each `seconds`, and when `poke` is set. A ConfigMap's volume shows a new file at once by moving a
    link, so that no half of one is ever read. A file that cannot be read is told of once and looked for again.
    """
    stamp, said = None, ""
    known: object = None
    while True:
        try:
            path = find()
            now = _stamp(path)
            known = known or (meaning and meaning(path, text))
            if meaning or now != stamp:  # what a file imports changes without it
                found = read_file(path)
                what = meaning and meaning(path, found)
                stamp, said = now, ""
                if what != known if meaning else found != text:
                    text, known = found, what
                    changed(path, found)
        except OSError as failure:
            if str(failure) != said:
                said, stamp = str(failure), None
                LOG.error("dns: %s; what was read before stays in use", failure)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await poke.wait()
                poke.clear()


def _stamp(path: str) -> tuple[str, int, int, int]:
    found = os.stat(path)
    return path, found.st_mtime_ns, found.st_ino, found.st_size


def find_config(path: str) -> str:
    """The file that a `--config` means: in a directory, such as a ConfigMap's, its Corefile, else its dns.yaml."""
    if not os.path.isdir(path):
        return path
    corefile = f"{path}/{COREFILE}"
    return corefile if os.path.exists(corefile) else f"{path}/{YAML_FILE}"
