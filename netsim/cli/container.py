"""`netsim container diff`: what a container changed in its files."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from netsim.cli.ask import list_objects
from netsim.cli.fault import Fault
from netsim.cli.options import Json, Lab, make_app, need_root, running_lab, want_json
from netsim.lab.paths import LabPaths
from netsim.lab.places import NoSuchPlace, Obj, choose_pod

app = make_app()


@app.callback(epilog="Example: netsim container diff toolbox")
def container() -> None:
    """Look into containers from outside."""


@app.command(epilog="Example: netsim container diff shop/web -c nginx")
def diff(
    pod: Annotated[str, typer.Argument(metavar="POD", help="NAMESPACE/POD for other namespaces.")],
    name: Annotated[str, typer.Option("-c", "--container", metavar="NAME", help="Default: the first.")] = "",
    output: Json = "",
    lab: Lab = "default",
) -> None:
    """List the files that a container added (A), changed (C) and deleted (D) in its root, like `docker diff`.

    They are in a layer of its own, which goes with the container.
    """
    from netsim.agent.runtime.diff import find_changes

    need_root("container diff")
    as_json = want_json(output)
    spec, paths = running_lab(lab)
    found = _find_pod(pod, paths, [node.name for node in spec.nodes])
    upper, lowers, hidden = _layers(found, _status(found, name), paths)
    changes = find_changes(upper, lowers, hidden) if upper else []
    if as_json:
        print(json.dumps([{"kind": change.kind, "path": change.path} for change in changes]))
        return
    for change in changes:
        print(change.kind, change.path)


def _find_pod(target: str, paths: LabPaths, nodes: list[str]) -> Obj:
    from netsim.api.kinds import PODS

    [pods] = list_objects(paths, PODS)
    try:
        return choose_pod(target, pods, nodes)
    except NoSuchPlace as error:
        raise Fault(str(error)) from None


def _status(pod: Obj, name: str) -> Obj:
    """The status of the container meant; Fault with the names there are, or when it has not run yet."""
    meta, statuses = pod["metadata"], _statuses(pod)
    where = f"pod {meta['namespace']}/{meta['name']}"
    wanted = name or pod["spec"]["containers"][0]["name"]
    found = next((s for s in statuses if s["name"] == wanted), None)
    if found is None and wanted not in [c["name"] for c in pod["spec"]["containers"]]:
        known = ", ".join(c["name"] for c in pod["spec"]["containers"])
        raise Fault(f"{where} has no container {wanted!r}; it has {known}")
    if found is None or not found.get("containerID"):
        raise Fault(f"container {wanted!r} of {where} has not run yet")
    return found


def _statuses(pod: Obj) -> list[Obj]:
    fields = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    return [status for field in fields for status in (pod.get("status") or {}).get(field) or []]


def _layers(pod: Obj, status: Obj, paths: LabPaths) -> tuple[str, list[str], list[str]]:
    """The upper layer ("" when the container's files are gone, or it has none), the lower ones, the mount points."""
    from netsim.agent.runtime.launch import helper_id

    node = pod["spec"].get("nodeName", "")
    if not os.path.isdir(paths.node_run(node)):
        raise Fault(f"node {node} is on another machine; run the command there")
    # Commands in an in-process workload have a root of their own.
    helper = helper_id(pod["metadata"]["uid"], status["name"], int(status["restartCount"]))
    for ident in (status["containerID"].rpartition("/")[2], helper):
        bundle = f"{paths.node_run(node)}/containers/{ident}"
        for upper in (f"{paths.node_state(node)}/containers/{ident}/upper", f"{bundle}/upper"):
            if os.path.isdir(upper):
                return upper, _lowers(bundle, f"{paths.node_run(node)}/base"), _mount_points(bundle)
    return "", [], []


def _lowers(bundle: str, base: str) -> list[str]:
    note = _read(f"{bundle}/image.json")
    return [str(layer) for layer in note["layers"]] if note else [base]


def _mount_points(bundle: str) -> list[str]:
    return [mount["destination"].rstrip("/") for mount in (_read(f"{bundle}/config.json") or {}).get("mounts", [])]


def _read(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
