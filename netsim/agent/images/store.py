"""The images of one lab, below /var/lib/netsim/LAB/images: unpacked layers, and an index that names what is whole.

A layer is a directory called by its uncompressed digest and made under another name first; the index is replaced as a
whole. So what a killed load leaves belongs to no image, and the next change removes it. `write.lock` is held by who
changes something, `use.lock` by who removes layers (alone) or mounts them (with others).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, cast

from netsim.agent.images.archive import BROKEN, Source, open_source, read_document, read_manifests
from netsim.agent.images.compression import open_plain
from netsim.agent.images.layers import unpack
from netsim.agent.images.oci import Blob, ImageError, Manifest, parse_config
from netsim.agent.images.stored import StoredImage, find_image, image_names, load_stored, merge_images, without_name
from netsim.host.trees import remove_tree

NAME_LENGTH = 32
"""Hexadecimal digits of a digest in a layer's path: an overlay's options must fit into one page."""
MAX_OPTIONS = 3500
PULL, STALE_SECONDS = "pull-", 3600.0
"""What a pull's directory is called, which is made without the lock, and after how long it is a killed one's."""


class ImageStore:
    """The images below one directory, which is made with the first of them. Functions block."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._read: tuple[tuple[int, int], list[StoredImage]] | None = None

    # reading

    def images(self) -> list[StoredImage]:
        """All images, read again only when the index has changed."""
        try:
            found = os.stat(self._index)
        except FileNotFoundError:
            return []
        stamp = (found.st_mtime_ns, found.st_ino)
        if self._read is None or self._read[0] != stamp:
            with open(self._index, encoding="utf-8") as file:
                self._read = (stamp, [load_stored(entry) for entry in json.load(file)["images"]])
        return self._read[1]

    def find(self, reference: str) -> StoredImage | None:
        """The image of a reference: by digest where it has one, else by name and tag ("latest" without)."""
        return find_image(self.images(), reference)

    def layer(self, digest: str) -> str:
        """The directory of a layer."""
        return f"{self.directory}/layers/{_hex(digest)[:NAME_LENGTH]}/fs"

    def lowers(self, image: StoredImage) -> list[str]:
        """The layers' directories as an overlay wants them, the uppermost first."""
        return [self.layer(digest) for digest in reversed(image.layers)]

    @contextmanager
    def using(self) -> Iterator[None]:
        """No layer goes away meanwhile."""
        with self._locked("use.lock", fcntl.LOCK_SH):
            yield

    # changing

    def load(self, path: str, architecture: str, name: str = "") -> list[StoredImage]:
        """Take in all images of a layout or tarball, or none. `name` is for an image that has none of its own.

        Raises ImageError (with the path), OSError.
        """
        with self._changing():
            try:
                with open_source(path, self.directory) as source:
                    found = [self._take(source, manifest, name) for manifest in read_manifests(source, architecture)]
            except ImageError as error:
                text = str(error)
                raise ImageError(text if text.startswith(path) else f"{path}: {text}") from error
            except BROKEN as error:
                raise ImageError(f"{path}: broken: {error}") from error
            self._write(merge_images(self.images(), found))
            return [image for image in self.images() if image.id in {f.id for f in found}]

    def remove(self, reference: str, users: Callable[[StoredImage], Sequence[str]]) -> StoredImage:
        """Take away an image's name and, with its last one, the image. ImageError when it is missing or in use.

        `users` names the containers that lie on its layers.
        """
        with self._changing(), self._locked("use.lock", fcntl.LOCK_EX):
            image = self.find(reference) or self._by_id(reference)
            if image is None:
                raise ImageError(f"there is no image {reference!r}; `netsim image ls` lists them")
            rest = without_name(image, reference)
            used = users(image) if not rest.names else ()
            if used:
                raise ImageError(f"image {reference!r} is in use by {', '.join(used)}; delete what uses it first")
            self._write([i for i in self.images() if i.id != image.id] + ([rest] if rest.names else []))
            self._sweep()
            return image

    def prune(self, users: Callable[[StoredImage], Sequence[str]]) -> list[StoredImage]:
        """Take away every image that nothing uses; those that went."""
        with self._changing(), self._locked("use.lock", fcntl.LOCK_EX):
            gone = [image for image in self.images() if not users(image)]
            if gone:
                self._write([image for image in self.images() if image not in gone])
                self._sweep()
            return gone

    def _by_id(self, reference: str) -> StoredImage | None:
        found = [i for i in self.images() if len(reference) >= 4 and _hex(i.id).startswith(_hex(reference))]
        return found[0] if len(found) == 1 else None

    def _take(self, source: Source, manifest: Manifest, name: str) -> StoredImage:
        """Unpack the layers of an image that are not here yet."""
        data = read_document(source, manifest.config)
        config = parse_config(data, len(manifest.layers))
        names = image_names(manifest.names, name)
        self._check_length(config.diff_ids)
        for blob, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
            if not os.path.isdir(self.layer(diff_id)):
                self._unpack(source, blob, diff_id)
        size = sum(_size(self.layer(diff_id)) for diff_id in dict.fromkeys(config.diff_ids))
        ident = "sha256:" + hashlib.sha256(data).hexdigest()
        return StoredImage(ident, names, config, size, time.time(), manifest.digest)

    def _check_length(self, diff_ids: Sequence[str]) -> None:
        if sum(len(self.layer(d)) + 1 for d in diff_ids) > MAX_OPTIONS:
            raise ImageError(f"its {len(diff_ids)} layers are more than an overlay can be made of; squash the image")

    def _unpack(self, source: Source, blob: Blob, diff_id: str) -> None:
        """The digest of a layer's content is in the configuration, whose own is in the manifest: the chain is whole."""
        draft = tempfile.mkdtemp(prefix="new-", dir=self.directory)
        try:
            os.makedirs(f"{draft}/fs")
            with source.open(blob.path) as file, open_plain(file, self.directory) as stream:
                plain = Hashing(stream)
                size = unpack(cast("IO[bytes]", plain), f"{draft}/fs")
                digest = plain.finish()
            if digest != diff_id:
                raise ImageError(f"{blob.path}: the layer's digest is {digest}, not {diff_id}: the file is damaged")
            with open(f"{draft}/size", "w", encoding="ascii") as note:
                note.write(str(size))
            os.makedirs(f"{self.directory}/layers", exist_ok=True)
            os.rename(draft, os.path.dirname(self.layer(diff_id)))
        finally:
            if os.path.isdir(draft):
                remove_tree(draft)

    @property
    def _index(self) -> str:
        return f"{self.directory}/index.json"

    def _write(self, images: list[StoredImage]) -> None:
        draft = f"{self._index}.new"
        with open(draft, "w", encoding="utf-8") as file:
            json.dump({"images": [asdict(image) for image in images]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self._index)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time; what a killed one left is removed first."""
        # Layers have files that are set-user-id: nobody of the machine but root gets there.
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        with self._locked("write.lock", fcntl.LOCK_EX):
            self._sweep()
            yield

    @contextmanager
    def _locked(self, name: str, kind: int) -> Iterator[None]:
        with open(f"{self.directory}/{name}", "ab") as file:
            fcntl.flock(file, kind)
            yield

    def _sweep(self) -> None:
        """Remove every layer that no image has, and drafts."""
        kept = {os.path.dirname(self.layer(digest)) for image in self.images() for digest in image.layers}
        layers = [f"{self.directory}/layers/{name}" for name in _entries(f"{self.directory}/layers")]
        drafts = [f"{self.directory}/{n}" for n in _entries(self.directory) if n.startswith(("new-", "archive."))]
        pulls = [f"{self.directory}/{n}" for n in _entries(self.directory) if n.startswith(PULL)]
        drafts += [path for path in pulls if _age(path) > STALE_SECONDS]
        for path in [p for p in layers if p not in kept] + drafts:
            if os.path.isdir(path):
                remove_tree(path)
            else:
                os.unlink(path)


class Hashing:
    """A stream that is hashed while it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self._hash = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self._hash.update(data)
        return data

    def finish(self) -> str:
        """Read what is left (tar pads its end) and give the digest of everything."""
        while self.read(1024 * 1024):
            continue
        return "sha256:" + self._hash.hexdigest()


def _size(layer: str) -> int:
    with open(f"{os.path.dirname(layer)}/size", encoding="ascii") as note:
        return int(note.read())


def _age(path: str) -> float:
    """Seconds since something changed in a directory, 0 when it has just gone."""
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _hex(ident: str) -> str:
    return ident.removeprefix("sha256:")


def _entries(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []
