"""The image catalogue: what an image name in a manifest runs here. Names are normalised as Docker's are."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("http", "agnhost", "hostname", "tcp-echo", "udp-echo", "redis", "mysql", "command")
KEPT = "image"
"""The kind of an image that is unpacked here, which no catalogue file can say."""
PACKAGED = os.path.join(os.path.dirname(__file__), "catalogue.yaml")


@dataclass(frozen=True, slots=True)
class Image:
    """What a container's image is: one catalogue entry, or an image kept here (kind "image").

    `ports` are (number, "TCP" or "UDP"); `command` and `args` are an image's ENTRYPOINT and CMD; `netsim` images see
    netsim's own installation. `env` ("NAME=VALUE"), `cwd`, `stop_signal` and `layers` (directories, the uppermost
    first) are those of kept images, as are `id`, their imageID, and `volumes`. `user` is as in a Dockerfile's USER.
    """

    name: str
    kind: str
    ports: tuple[tuple[int, str], ...] = ()
    server: str = ""
    tag: str = ""
    command: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    netsim: bool = False
    args: tuple[str, ...] = ()
    user: str = ""
    env: tuple[str, ...] = ()
    cwd: str = ""
    stop_signal: str = ""
    layers: tuple[str, ...] = ()
    id: str = ""
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed image reference; `repository` is full ("docker.io/library/nginx"), `tag` "" when none was given."""

    repository: str
    tag: str = ""
    digest: str = ""


class UnknownImage(Exception):
    """The catalogue has no such image; the text names it, the nearest known name and the mend."""


class CatalogueError(Exception):
    """A catalogue file is wrong; the text names file, image, field and mend."""


def parse_reference(text: str) -> Reference:
    """ "nginx:1.7.9" -> docker.io/library/nginx, tag 1.7.9; a first part with a dot or colon is a registry."""
    rest, _, digest = text.partition("@")
    head, slash, tail = rest.rpartition("/")
    name, _, tag = tail.partition(":")
    path = head + slash + name
    first, slash, _ = path.partition("/")
    if not slash:
        path = "docker.io/library/" + path
    elif not ("." in first or ":" in first or first == "localhost"):
        path = "docker.io/" + path
    return Reference(path, tag, digest)


def image_id(text: str) -> str:
    """A stable made-up digest of an image reference, in the form a runtime reports as imageID."""
    reference = parse_reference(text)
    digest = (
        reference.digest or "sha256:" + hashlib.sha256(f"{reference.repository}:{reference.tag}".encode()).hexdigest()
    )
    return f"{reference.repository}@{digest}"


@dataclass(slots=True)
class Catalogue:
    """Images by full repository name; entries with a tag ("nginx:1.7.9") win over those without."""

    images: dict[str, Image] = field(default_factory=dict)

    def resolve(self, text: str) -> Image:
        """The workload of an image reference; raises UnknownImage."""
        reference = parse_reference(text)
        tagged = self.images.get(f"{reference.repository}:{reference.tag}")
        found = tagged or self.images.get(reference.repository)
        if found is None:
            raise UnknownImage(self.explain(text))
        return found

    def explain(self, text: str) -> str:
        """Why an image is not to be had, with the nearest name that is."""
        return (
            f"image {text!r} is not in netsim's image catalogue; {self.nearest(text)}. "
            "Use a name from the catalogue, load the image (`netsim image load FILE`), or add the name to the catalogue"
            " (`netsim image load FILE.yaml` with images: {NAME: {kind: http, ports: [80]}})"
        )

    def nearest(self, text: str) -> str:
        """The name in the catalogue that is most like an image's, in words."""
        known = {_short(name): name for name in self.images}
        near = difflib.get_close_matches(_short(parse_reference(text).repository), known, 1, 0.5)
        if not near:
            return "no name in the catalogue is like it"
        return f"the nearest name in the catalogue is {near[0]!r}"


def _short(name: str) -> str:
    return name.removeprefix("docker.io/").removeprefix("library/")


def parse_catalogue(document: Any, source: str) -> dict[str, Image]:
    """Entries of a catalogue document (`{images: {NAME: {kind, ports, server, …}}}`) by full name."""
    images = document.get("images") if isinstance(document, Mapping) else None
    if not isinstance(images, Mapping):
        raise CatalogueError(f"{source}: expected a mapping `images:` from image names to workloads")
    entries = (_parse_entry(str(name), entry, source) for name, entry in images.items())
    return {_key(image.name): image for image in entries}


def _key(name: str) -> str:
    reference = parse_reference(name)
    return reference.repository + (f":{reference.tag}" if reference.tag else "")


def _parse_entry(name: str, entry: Any, source: str) -> Image:
    where = f"{source}: images: {name}"
    if not isinstance(entry, Mapping):
        raise CatalogueError(f"{where}: expected a mapping such as {{kind: http, ports: [80]}}")
    unknown = set(entry) - {"kind", "ports", "server", "tag", "command", "args", "programs", "netsim", "user"}
    if unknown:
        raise CatalogueError(f"{where}: unknown field {sorted(unknown)[0]!r}")
    kind = entry.get("kind")
    if kind not in KINDS:
        raise CatalogueError(f"{where}: kind: {kind!r} is none of {', '.join(KINDS)}")
    if kind == "command" and not (entry.get("command") or entry.get("args")):
        raise CatalogueError(f"{where}: command: a list such as [sh, -c, …], or args, is required with kind command")
    return Image(
        name,
        kind,
        tuple(_parse_port(p, where) for p in entry.get("ports") or ()),
        str(entry.get("server") or ""),
        str(entry.get("tag") or ""),
        tuple(str(word) for word in entry.get("command") or ()),
        tuple(str(word) for word in entry.get("programs") or ()),
        bool(entry.get("netsim")),
        tuple(str(word) for word in entry.get("args") or ()),
        str(entry.get("user") or ""),
    )


def _parse_port(port: Any, where: str) -> tuple[int, str]:
    number, _, protocol = str(port).partition("/")
    if not number.isdigit() or not 0 < int(number) < 65536 or protocol.upper() not in ("", "TCP", "UDP"):
        raise CatalogueError(f"{where}: ports: {port!r} is no port (1-65535, with /udp for UDP)")
    return int(number), protocol.upper() or "TCP"


def load_catalogue(paths: Iterable[str] = ()) -> Catalogue:
    """The packaged catalogue, extended by YAML files (later ones win). Raises CatalogueError, OSError."""
    import yaml

    images: dict[str, Image] = {}
    for path in (PACKAGED, *paths):
        with open(path, encoding="utf-8") as file:
            try:
                document = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            except yaml.YAMLError as error:
                raise CatalogueError(f"{path}: not YAML: {error}") from error
        images |= parse_catalogue(document, path)
    return Catalogue(images)


def is_in_process(image: Image, command: list[str] | None) -> bool:
    """Whether a container runs in the workload host: its image is a workload, and so is its command, if it has one."""
    if image.kind in ("command", KEPT):
        return False
    return not command or command[0] in image.programs or os.path.basename(command[0]) in image.programs


def server_header(image: Image, reference: str) -> str:
    """The Server header for a container of this image: its tag's version where the entry asks for it."""
    tag = parse_reference(reference).tag
    version = tag.split("-")[0] if tag[:1].isdigit() else image.tag
    return image.server.replace("{tag}", version)


def version_of(image: Image, reference: str) -> str:
    """The version a banner shows: the tag's when it begins with a digit, else the catalogue's."""
    tag = parse_reference(reference).tag
    return tag if tag[:1].isdigit() else image.tag
