"""Reading gzip, zstd, xz and bzip2, told by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from netsim.agent.images.oci import ImageError

MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}


def detect(head: bytes) -> str:
    """The compression that a file begins with, "" for none (pure)."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


@contextmanager
def open_plain(raw: IO[bytes], scratch: str) -> Iterator[IO[bytes]]:
    """The uncompressed content of a seekable file: `raw` itself, at its start, when it is not compressed.

    Where Python has no zstd (before 3.14) the `zstd` command decodes, from a copy in the directory `scratch`.
    """
    kind = detect(raw.read(8))
    raw.seek(0)
    if kind == "zstd":
        with _open_zstd(raw, scratch) as stream:
            yield stream
        return
    readers: dict[str, Callable[[Any], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}
    yield readers[kind](raw) if kind else raw


@contextmanager
def _open_zstd(raw: IO[bytes], scratch: str) -> Iterator[IO[bytes]]:
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        with _run_zstd(raw, scratch) as stream:
            yield stream
        return
    with module.ZstdFile(raw) as stream:
        yield stream


@contextmanager
def _run_zstd(raw: IO[bytes], scratch: str) -> Iterator[IO[bytes]]:
    if shutil.which("zstd") is None:
        raise ImageError("it is compressed with zstd, which this Python cannot read; apt-get install zstd")
    with tempfile.TemporaryFile(dir=scratch) as copy:
        shutil.copyfileobj(raw, copy, 1024 * 1024)
        copy.seek(0)
        process = subprocess.Popen(["zstd", "-dcq"], stdin=copy, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None and process.stderr is not None
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            message = process.stderr.read()
            process.stderr.close()
            process.wait()
        if process.returncode:
            raise ImageError(f"zstd: {message.decode(errors='replace').strip()}")
