"""What an OCI image layout and a `docker save` archive say about the images in them (image-spec 1.1). Pure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX = re.compile(r"[0-9a-f]{64}")
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's names of architectures, by the kernel's."""
MAX_LAYERS = 127
"""As many as Docker takes."""


class ImageError(Exception):
    """An image cannot be read, kept or had; the text names it, what is wrong and the mend."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image's configuration says of the containers made from it, and its layers' uncompressed digests."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    stop_signal: str = ""
    ports: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a layout or archive; `digest` is what its bytes must have, "" when nothing says."""

    path: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image of a layout or archive. `digest` is the manifest's own, "" in archives that have none."""

    config: Blob
    layers: tuple[Blob, ...]
    names: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A manifest named by an index: its digest, whether it is an index itself, its platform and its names."""

    digest: str
    is_index: bool
    platform: str = ""
    names: tuple[str, ...] = field(default=())


def machine_architecture() -> str:
    """This machine's architecture as images call it."""
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


def parse_json(data: bytes, what: str) -> Any:
    """The JSON value of a file; ImageError names the file."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{what} is not JSON: {error}") from None


def _object(value: Any, what: str) -> Mapping[str, Any]:
    """A JSON object; null is an empty one."""
    found = {} if value is None else value
    if not isinstance(found, Mapping):
        raise ImageError(f"{what}: {value!r} is no object")
    return found


def _list(value: Any, what: str) -> Sequence[Any]:
    """A JSON list; null is an empty one."""
    found = [] if value is None else value
    if not isinstance(found, list):
        raise ImageError(f"{what}: {value!r} is no list")
    return found


def blob(digest: object, what: str) -> Blob:
    """Where a layout keeps the content of a digest. Anything but sha256 is refused, so that no digest is a path."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ImageError(f"{what}: {digest!r} is no sha256 digest")
    return Blob(f"blobs/sha256/{digest.removeprefix('sha256:')}", digest)


def parse_index(document: Any, what: str) -> list[Descriptor]:
    """The manifests of an index.json or image index."""
    manifests = document.get("manifests") if isinstance(document, Mapping) else None
    if not isinstance(manifests, list):
        raise ImageError(f"{what}: no list of manifests; is this an image?")
    return [_descriptor(entry, what) for entry in manifests]


def _descriptor(entry: Any, what: str) -> Descriptor:
    if not isinstance(entry, Mapping):
        raise ImageError(f"{what}: manifests: {entry!r} is no descriptor")
    platform, notes = _object(entry.get("platform"), what), _object(entry.get("annotations"), what)
    shown = f"{platform.get('os')}/{platform.get('architecture')}" if platform else ""
    names = tuple(str(notes[key]) for key in NAME_ANNOTATIONS if notes.get(key))
    found = blob(entry.get("digest"), what)
    return Descriptor(found.digest, entry.get("mediaType") in INDEXES, shown, names[:1])


def choose_platform(found: Sequence[Descriptor], architecture: str, what: str) -> list[Descriptor]:
    """Those of an index's manifests that this machine can run; attestations ("unknown") are none.

    `architecture` is Go's name ("amd64"). Raises ImageError with the platforms that are there.
    """
    real = [d for d in found if not d.platform.startswith("unknown/")]
    fitting = [d for d in real if d.platform in ("", f"linux/{architecture}")]
    if not fitting:
        there = ", ".join(sorted({d.platform for d in real})) or "none"
        raise ImageError(f"{what}: no image for linux/{architecture}; platforms in it: {there}")
    return fitting


def parse_manifest(document: Any, descriptor: Descriptor) -> Manifest:
    """An image manifest (application/vnd.oci.image.manifest.v1+json or Docker's schema 2)."""
    what = f"manifest {descriptor.digest}"
    layers = document.get("layers") if isinstance(document, Mapping) else None
    if not isinstance(layers, list) or not isinstance(document.get("config"), Mapping):
        raise ImageError(f"{what}: no config and layers; is this an image?")
    blobs = tuple(blob(layer.get("digest") if isinstance(layer, Mapping) else layer, what) for layer in layers)
    return Manifest(blob(document["config"].get("digest"), what), blobs, descriptor.names, descriptor.digest)


def parse_docker_manifest(document: Any) -> list[Manifest]:
    """`manifest.json` of `docker save`: paths of its own (HEX.json, HEX/layer.tar) or, since Docker 25, of a layout."""
    if not isinstance(document, list) or not document:
        raise ImageError("manifest.json: expected a list of images")
    return [_docker_entry(entry) for entry in document]


def _docker_entry(entry: Any) -> Manifest:
    config = entry.get("Config") if isinstance(entry, Mapping) else None
    layers = entry.get("Layers") if isinstance(entry, Mapping) else None
    if not isinstance(config, str) or not isinstance(layers, list) or not all(isinstance(p, str) for p in layers):
        raise ImageError("manifest.json: expected Config and Layers in each image")
    name = config.rpartition("/")[2].removesuffix(".json")
    digest = f"sha256:{name}" if _HEX.fullmatch(name) else ""
    names = tuple(map(str, _list(entry.get("RepoTags"), "manifest.json: RepoTags")))
    return Manifest(Blob(config, digest), tuple(Blob(p) for p in layers), names)


def parse_config(data: bytes, layers: int) -> ImageConfig:
    """An image's configuration (application/vnd.oci.image.config.v1+json); `layers` is how many the manifest has."""
    document = _object(parse_json(data, "the image's configuration"), "the image's configuration")
    diff_ids = _list(_object(document.get("rootfs"), "rootfs").get("diff_ids"), "rootfs.diff_ids")
    if len(diff_ids) != layers or layers > MAX_LAYERS:
        text = f"the image's configuration has {len(diff_ids)} layers (rootfs.diff_ids), its manifest {layers}"
        raise ImageError(text)
    config = _object(document.get("config"), "config")
    return ImageConfig(
        _words(config, "Entrypoint"),
        _words(config, "Cmd"),
        _words(config, "Env"),
        str(config.get("WorkingDir") or ""),
        str(config.get("User") or ""),
        str(config.get("StopSignal") or ""),
        tuple(sorted(_object(config.get("ExposedPorts"), "ExposedPorts"))),
        tuple(blob(d, "rootfs.diff_ids").digest for d in diff_ids),
        tuple(sorted(_object(config.get("Volumes"), "Volumes"))),
    )


def _words(config: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(str(word) for word in _list(config.get(name), name))
