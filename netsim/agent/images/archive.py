"""Opening what images come in: an OCI layout (a directory, or a tar of one) or a `docker save` tarball."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from netsim.agent.images import oci
from netsim.agent.images.compression import open_plain
from netsim.agent.images.oci import Blob, Descriptor, ImageError, Manifest

MAX_DOCUMENT = 8 * 1024 * 1024
MAX_DEPTH = 4
BROKEN = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, UnicodeError)
"""What the decoders of a damaged file raise, beside OSError."""


class Source(Protocol):
    """Files by their path inside a layout or archive."""

    def has(self, path: str) -> bool: ...

    def open(self, path: str) -> IO[bytes]:
        """A file's bytes from its start. Raises ImageError when it is missing."""


class DirectorySource:
    """A layout in a directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def has(self, path: str) -> bool:
        return os.path.isfile(f"{self.directory}/{path}")

    def open(self, path: str) -> IO[bytes]:
        try:
            return open(f"{self.directory}/{path}", "rb")
        except FileNotFoundError:
            raise ImageError(f"{path} is missing") from None


class TarSource:
    """A layout or `docker save` archive in an open tar file."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive = archive
        self.members = {member.name.removeprefix("./"): member for member in archive.getmembers()}

    def has(self, path: str) -> bool:
        return path in self.members

    def open(self, path: str) -> IO[bytes]:
        member = self.members.get(path)
        # Older Dockers save a layer that another image has as a link to it.
        found = self.archive.extractfile(member) if member is not None else None
        if found is None:
            raise ImageError(f"{path} is missing; is the file whole?")
        return found


@contextmanager
def open_source(path: str, scratch: str) -> Iterator[Source]:
    """Open a directory or tarball; a compressed tarball is unpacked into a file in `scratch`, which is removed."""
    if os.path.isdir(path):
        yield DirectorySource(path)
        return
    plain = f"{scratch}/archive.{os.getpid()}"
    try:
        with open(path, "rb") as raw, open_plain(raw, scratch) as stream:
            if stream is not raw:
                _copy(stream, plain)
        with tarfile.open(plain if os.path.exists(plain) else path, "r:") as archive:
            yield TarSource(archive)
    except BROKEN as error:
        raise ImageError(f"{path}: broken, or no tar archive: {error}") from error
    finally:
        if os.path.exists(plain):
            os.unlink(plain)


def _copy(stream: IO[bytes], path: str) -> None:
    with open(path, "wb") as file:
        shutil.copyfileobj(stream, file, 1024 * 1024)


def read_document(source: Source, blob: Blob) -> bytes:
    """A small file, whose digest is checked where one is known."""
    with source.open(blob.path) as file:
        data = file.read(MAX_DOCUMENT + 1)
    if len(data) > MAX_DOCUMENT:
        raise ImageError(f"{blob.path} has more than {MAX_DOCUMENT} bytes; is this an image?")
    actual = "sha256:" + hashlib.sha256(data).hexdigest()
    if blob.digest and actual != blob.digest:
        raise ImageError(f"{blob.path}: its digest is {actual}, not {blob.digest}: the file is damaged")
    return data


def read_manifests(source: Source, architecture: str) -> list[Manifest]:
    """The images in a layout or archive that run on this machine. Raises ImageError."""
    if source.has("manifest.json"):
        return oci.parse_docker_manifest(oci.parse_json(read_document(source, Blob("manifest.json")), "manifest.json"))
    if not source.has("index.json"):
        raise ImageError("neither manifest.json (docker save) nor index.json (OCI layout) is in it")
    document = oci.parse_json(read_document(source, Blob("index.json")), "index.json")
    top = oci.parse_index(document, "index.json")
    found = [m for d in _several(top, architecture) for m in _follow(source, d, architecture, MAX_DEPTH)]
    if not found:
        raise ImageError("index.json names no image")
    return found


def _several(top: list[Descriptor], architecture: str) -> list[Descriptor]:
    """An index.json lists images of different names as well as one image for several platforms."""
    return oci.choose_platform(top, architecture, "index.json") if any(d.platform for d in top) else top


def _follow(source: Source, descriptor: Descriptor, architecture: str, depth: int) -> list[Manifest]:
    """The image behind a descriptor; one that has several platforms is one more index."""
    what = f"manifest {descriptor.digest}"
    data = read_document(source, oci.blob(descriptor.digest, what))
    document = oci.parse_json(data, what)
    if not descriptor.is_index and "manifests" not in document:
        return [oci.parse_manifest(document, descriptor)]
    if not depth:
        raise ImageError(f"{what}: indexes in indexes, more than {MAX_DEPTH} deep")
    fitting = oci.choose_platform(oci.parse_index(document, what), architecture, what)
    inner = _follow(source, fitting[0], architecture, depth - 1)
    return [Manifest(m.config, m.layers, descriptor.names or m.names, m.digest) for m in inner]
