"""Tiny images made in a test: layers, layouts and `docker save` archives, by Python's tar alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netsim.agent.images.oci import machine_architecture

Entry = bytes | str | tarfile.TarInfo
ARCHITECTURE = machine_architecture()


def layer(entries: Mapping[str, Entry | None] | Sequence[tuple[str, Entry | None]]) -> bytes:
    """A layer's tar: bytes are a file (executable), text a symbolic link, None a directory, TarInfo what it says."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, value in entries.items() if isinstance(entries, Mapping) else entries:
            info = value if isinstance(value, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            if isinstance(value, bytes):
                info.size, info.mode = len(value), 0o755
            elif isinstance(value, str):
                info.type, info.linkname = tarfile.SYMTYPE, value
            elif value is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info, io.BytesIO(value) if isinstance(value, bytes) else None)
    return out.getvalue()


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(layers: Sequence[bytes], **fields: Any) -> bytes:
    """An image's configuration; `fields` are those of `config` ("Cmd", "Env" …)."""
    rootfs = {"type": "layers", "diff_ids": [sha(data) for data in layers]}
    return json.dumps({"architecture": ARCHITECTURE, "os": "linux", "config": fields, "rootfs": rootfs}).encode()


def write_docker(path: Path, name: str | None, layers: Sequence[bytes], *, blobs: bool = False, **fields: Any) -> Path:
    """A `docker save` archive in the old form (HEX/layer.tar) or, with `blobs`, in that of Docker 25."""
    data = config(layers, **fields)
    ident = sha(data).removeprefix("sha256:")
    places = [f"blobs/sha256/{sha(d)[7:]}" if blobs else f"{i}/layer.tar" for i, d in enumerate(layers)]
    place = f"blobs/sha256/{ident}" if blobs else f"{ident}.json"
    manifest = [
        {"Config": place, "RepoTags": [name if ":" in name else f"{name}:latest"] if name else None, "Layers": places}
    ]
    files = {place: data, **dict(zip(places, layers, strict=True)), "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(layer(files))
    return path


def write_layout(
    directory: Path,
    name: str | None,
    layers: Sequence[bytes],
    *,
    compress: Callable[[bytes], bytes] = gzip.compress,
    architecture: str = "",
    **fields: Any,
) -> Path:
    """An OCI layout; with `architecture` the name leads to an index of platforms."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        (blobs / sha(data)[7:]).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": sha(data), "size": len(data)}

    packed = [put(compress(data), "layer.v1.tar+gzip") for data in layers]
    made = {"schemaVersion": 2, "config": put(config(layers, **fields), "config.v1+json"), "layers": packed}
    top = put(json.dumps(made).encode(), "manifest.v1+json")
    if architecture:
        attested = {**top, "platform": {"os": "unknown", "architecture": "unknown"}}
        inner = [attested, {**top, "platform": {"os": "linux", "architecture": architecture}}]
        top = put(json.dumps({"schemaVersion": 2, "manifests": inner}).encode(), "index.v1+json")
    if name:
        top["annotations"] = {"org.opencontainers.image.ref.name": name}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory
