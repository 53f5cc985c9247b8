"""Images that are kept, and their names. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

from netsim.agent.images.oci import ImageConfig, ImageError
from netsim.agent.runtime.catalogue import parse_reference


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that is whole. `names` are full ("docker.io/library/nginx:1.7.9", or with "@sha256:…" for the tag).

    `id` is the digest of its configuration, `digest` of its manifest ("" for archives that have none).
    """

    id: str
    names: tuple[str, ...]
    config: ImageConfig
    size: int
    created: float
    digest: str = ""

    @property
    def layers(self) -> tuple[str, ...]:
        """The digests of its uncompressed layers, the lowest first."""
        return self.config.diff_ids

    @property
    def reported_id(self) -> str:
        """imageID as a container runtime reports it."""
        named = [name for name in self.names if "@" in name]
        named += [f"{parse_reference(name).repository}@{self.digest}" for name in self.names if self.digest]
        return named[0] if named else self.id


def full_name(text: str) -> str:
    """ "nginx" -> "docker.io/library/nginx:latest"; where there is a digest, a tag beside it says nothing."""
    reference = parse_reference(text)
    if reference.digest:
        return f"{reference.repository}@{reference.digest}"
    return f"{reference.repository}:{reference.tag or 'latest'}"


def find_image(images: Sequence[StoredImage], text: str) -> StoredImage | None:
    """The image that a reference means."""
    digest = parse_reference(text).digest
    if digest and (found := next((i for i in images if digest in (i.digest, i.id)), None)):
        return found
    return next((i for i in images if full_name(text) in i.names), None)  # also one pulled by its index's digest


def image_names(own: Sequence[str], given: str) -> tuple[str, ...]:
    """Full names of an image: those it has itself, else the given one; a mere tag belongs to the given name."""
    names = [name for name in own if ":" in name or "/" in name]
    if names and not given:
        return tuple(dict.fromkeys(full_name(name) for name in names))
    if not given:
        raise ImageError("the image in it has no name; give one with --name NAME:TAG")
    tags = [name for name in own if name not in names]
    tagged = f"{given}:{tags[0]}" if tags and not parse_reference(given).tag else given
    return (full_name(tagged),)


def merge_images(old: Sequence[StoredImage], new: Sequence[StoredImage]) -> list[StoredImage]:
    """Both, where a new image takes its names from old ones, and adds to those of the same image."""
    merged: dict[str, StoredImage] = {}
    for image in [*old, *new]:
        same = merged.get(image.id)
        merged = {k: replace(v, names=tuple(n for n in v.names if n not in image.names)) for k, v in merged.items()}
        names = (*(n for n in same.names if n not in image.names), *image.names) if same else image.names
        digest = image.digest or (same.digest if same else "")
        merged[image.id] = replace(image, names=names, digest=digest)
    return list(merged.values())


def without_name(image: StoredImage, reference: str) -> StoredImage:
    """The image without the name that a reference gives; without any when it is called by its digest or id."""
    name = full_name(reference)
    return replace(image, names=tuple(n for n in image.names if n != name) if name in image.names else ())


def load_stored(entry: dict[str, object]) -> StoredImage:
    """The inverse of dataclasses.asdict, after JSON; fields of other versions of netsim are left out."""
    config = ImageConfig(**_known(ImageConfig, cast("dict[str, object]", entry["config"])))  # type: ignore[arg-type]
    return StoredImage(**(_known(StoredImage, entry) | {"config": config}))  # type: ignore[arg-type]


def _known(kind: type[ImageConfig | StoredImage], entry: dict[str, object]) -> dict[str, object]:
    names = {field.name for field in fields(kind)}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items() if k in names}
