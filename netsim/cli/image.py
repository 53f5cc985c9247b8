"""`netsim image`: the images of a lab that containers can be started from."""

from __future__ import annotations

import glob
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsim.cli.fault import Fault
from netsim.cli.ls import short_age
from netsim.cli.options import Json, Lab, lab_paths, make_app, need_root, want_json
from netsim.lab.paths import LabPaths

if TYPE_CHECKING:
    from netsim.agent.images.store import ImageStore
    from netsim.agent.images.stored import StoredImage

app = make_app()


@app.callback(epilog="Example: netsim image load shop.tar (made by: docker save shop:1 -o shop.tar)")
def image() -> None:
    """The images that a lab has, beside the workloads of its catalogue (docs/images.md)."""


@app.command("ls", epilog="Example: netsim image ls -o json")
def list_images(
    catalogue: Annotated[bool, typer.Option("--catalogue", help="The names in the catalogue instead.")] = False,
    output: Json = "",
    lab: Lab = "default",
) -> None:
    """List the images of a lab, with what uses them."""
    need_root("image ls")
    as_json = want_json(output)
    paths = _existing(lab)
    rows = _catalogue_rows(paths) if catalogue else [_describe(i, paths) for i in _store(paths).images()]
    if as_json:
        print(json.dumps(rows))
    elif catalogue:
        _print_catalogue(rows)
    else:
        _print_images(rows)


@app.command(epilog="Example: netsim image load shop.tar")
def load(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Tarball, OCI layout, or catalogue (.yaml).")],
    name: Annotated[str, typer.Option(metavar="NAME:TAG", help="For an image that has no name.")] = "",
    lab: Lab = "default",
) -> None:
    """Take images into a lab, for all of its nodes: from `docker save`, an OCI layout, or a catalogue file.

    A file is taken whole or not at all. `netsim down` removes them with the lab.
    """
    from netsim.agent.images.oci import ImageError, machine_architecture

    need_root("image load")
    paths = _existing(lab)
    for file in files:
        if file.endswith((".yaml", ".yml")):
            _load_catalogue(file, paths)
            continue
        try:
            found = _store(paths).load(os.path.abspath(file), machine_architecture(), name)
        except ImageError as error:
            raise Fault(str(error)) from None
        except OSError as error:
            raise Fault(f"{error.filename or file}: {error.strerror}") from None
        for one in found:
            print(f"Loaded image: {', '.join(one.names) or one.id}")


@app.command(epilog="Example: netsim image pull docker.io/library/busybox:1.36")
def pull(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="As in a manifest.")],
    lab: Lab = "default",
) -> None:
    """Pull images into a lab with skopeo, through this machine's network."""
    from netsim.agent.images import skopeo
    from netsim.agent.images.oci import ImageError, machine_architecture
    from netsim.agent.images.policy import is_reference

    need_root("image pull")
    paths = _existing(lab)
    for reference in images:
        if not is_reference(reference):
            raise Fault(f"{reference!r} is no image's name; give one such as busybox:1.36")
        try:
            skopeo.pull(_store(paths), reference, machine_architecture())
        except (ImageError, OSError) as error:
            raise Fault(f"{reference}: {error}") from None
        print(f"Pulled image: {reference}")


@app.command("rm", epilog="Example: netsim image rm shop:1")
def remove(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Name, digest or id.")],
    lab: Lab = "default",
) -> None:
    """Remove images that no container uses."""
    from netsim.agent.images.oci import ImageError

    need_root("image rm")
    paths = _existing(lab)
    for reference in images:
        try:
            gone = _store(paths).remove(reference, lambda found: _users(found, paths))
        except ImageError as error:
            raise Fault(str(error)) from None
        print(f"Removed image: {reference} ({gone.id})")


@app.command(epilog="Example: netsim image prune")
def prune(lab: Lab = "default") -> None:
    """Remove all images that no container and no volume uses."""
    need_root("image prune")
    paths = _existing(lab)
    gone = _store(paths).prune(lambda found: _users(found, paths))
    for image in gone:
        print(f"Removed image: {', '.join(image.names) or image.id}")
    print(f"{_megabytes(sum(image.size for image in gone))} in {len(gone)} images; layers of others stay.")


def _existing(lab: str) -> LabPaths:
    """Also a node's own machine, which has no lab file, has images."""
    paths = lab_paths(lab)
    if not os.path.isdir(paths.state):
        raise Fault(f"there is no lab `{lab}`; make one with `netsim up` (`netsim ls` lists them)")
    return paths


def _store(paths: LabPaths) -> ImageStore:
    from netsim.agent.images.store import ImageStore

    return ImageStore(f"{paths.state}/images")


def _users(found: StoredImage, paths: LabPaths) -> list[str]:
    """The pods whose containers' roots or volumes lie on an image's layers, as NAMESPACE/POD."""
    layers, users, run = _store(paths).lowers(found), [], glob.escape(paths.run)
    for note in glob.glob(f"{run}/*/containers/*/image.json") + glob.glob(f"{run}/*/pods/*/images/*.json"):
        try:
            with open(note, encoding="utf-8") as file:
                document = json.load(file)
        except (FileNotFoundError, ValueError):  # it ends, or begins, at this moment
            continue
        if document["layers"] == layers:
            users.append(str(document["pod"]))
    return sorted(set(users))


def _describe(found: StoredImage, paths: LabPaths) -> dict[str, Any]:
    return {
        "names": list(found.names),
        "id": found.id,
        "digest": found.digest,
        "size": found.size,
        "layers": len(found.layers),
        "loaded": found.created,
        "usedBy": _users(found, paths),
    }


def _print_images(rows: list[dict[str, Any]]) -> None:
    if not rows:
        print("No images; load one with `netsim image load FILE`. `netsim image ls --catalogue` lists the workloads.")
        return
    table = [("IMAGE", "ID", "SIZE", "AGE", "USED BY")]
    for row in rows:
        used = ", ".join(row["usedBy"]) or "-"
        age = short_age(time.time() - row["loaded"])
        for name in row["names"] or ["<none>"]:
            table.append((name, row["id"].removeprefix("sha256:")[:12], _megabytes(row["size"]), age, used))
    widths = [max(len(line[i]) for line in table) for i in range(4)]
    for line in table:
        print("  ".join(text.ljust(width) for text, width in zip(line, [*widths, 0], strict=True)).rstrip())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _catalogue_rows(paths: LabPaths) -> list[dict[str, Any]]:
    from netsim.agent.images.provider import catalogue_files
    from netsim.agent.runtime.catalogue import CatalogueError, load_catalogue

    try:
        found = load_catalogue(catalogue_files(f"{paths.state}/images"))
    except (CatalogueError, OSError) as error:
        raise Fault(str(error)) from None
    return [
        {"name": name, "kind": entry.kind, "ports": [f"{n}/{p.lower()}" for n, p in entry.ports]}
        for name, entry in sorted(found.images.items())
    ]


def _print_catalogue(rows: list[dict[str, Any]]) -> None:
    width = max(len(row["name"]) for row in rows)
    print(f"{'NAME'.ljust(width)}  {'KIND':<8}  PORTS")
    for row in rows:
        print(f"{row['name'].ljust(width)}  {row['kind']:<8}  {', '.join(row['ports']) or '-'}")


def _load_catalogue(file: str, paths: LabPaths) -> None:
    """Check a catalogue file and give the lab a copy, which its nodes read at once."""
    from netsim.agent.runtime.catalogue import CatalogueError, load_catalogue

    directory = f"{paths.state}/images/catalogue"
    target = f"{directory}/{os.path.basename(file).removesuffix('.yml').removesuffix('.yaml')}.yaml"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        shutil.copyfile(file, f"{target}.new")
        load_catalogue([f"{target}.new"])
        os.replace(f"{target}.new", target)
    except CatalogueError as error:
        raise Fault(str(error).replace(f"{target}.new", file)) from None
    except OSError as error:
        raise Fault(f"{file}: {error.strerror}") from None
    finally:
        if os.path.exists(f"{target}.new"):
            os.unlink(f"{target}.new")
    print(f"Loaded catalogue: {file}")
