"""`netsim exec`: the host's own tools inside a node's, a pod's or the outside client's network."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from netsim.cli.ask import list_objects
from netsim.cli.fault import Fault
from netsim.cli.options import Lab, make_app, need_root, running_lab
from netsim.lab.paths import LabPaths
from netsim.lab.places import NoSuchPlace, Obj, Place, choose_pod, machine_place
from netsim.lab.topology import LabSpec

app = make_app()
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127  # the exit statuses that shells give


@app.command(
    "exec",
    epilog="Example: netsim exec toolbox -- dig +search test-service",
    context_settings={"allow_interspersed_args": False, "help_option_names": ["-h", "--help"]},
)
def run_inside(
    place: Annotated[str, typer.Argument(metavar="NODE|POD|client", help="Where; NAMESPACE/POD for other namespaces.")],
    command: Annotated[list[str] | None, typer.Argument(metavar="[-- CMD…]", help="What (default: a shell).")] = None,
    lab: Lab = "default",
) -> None:
    """Run a command of this machine inside a place's network: its interfaces, routes, rules and names.

    Files and processes stay the machine's, so ping, curl, dig and tcpdump work where the image has none;
    `netsim kubectl exec` runs a command inside the container instead.
    """
    need_root("exec")
    spec, paths = running_lab(lab)
    found = find_place(place, spec, paths)
    _enter(found, spec, paths)
    argv = [*(command or [])][(command or [""])[0] == "--" :] or [os.environ.get("SHELL", "/bin/sh")]
    try:
        os.execvpe(argv[0], argv, {**os.environ, "NETSIM_LAB": paths.lab, "NETSIM_PLACE": found.name})
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        text = f"{argv[0]}: {error.strerror}; give the name of a program of this machine"
        raise Fault(text, _NOT_FOUND if missing else _NOT_EXECUTABLE) from None


def find_place(target: str, spec: LabSpec, paths: LabPaths) -> Place:
    """The place meant by a name; Fault with what there is if there is none."""
    machine = machine_place(target, spec, paths)
    if machine is not None:
        return machine
    from netsim.api.kinds import PODS

    [pods] = list_objects(paths, PODS)
    try:
        pod = choose_pod(target, pods, [node.name for node in spec.nodes])
    except NoSuchPlace as error:
        raise Fault(str(error)) from None
    return pod_place(pod, spec, paths)


def pod_place(pod: Obj, spec: LabSpec, paths: LabPaths) -> Place:
    """A pod's own namespace, or its node's for a pod with hostNetwork."""
    meta = pod["metadata"]
    name = f"{meta['namespace']}/{meta['name']}"
    node = pod["spec"].get("nodeName", "")
    netns = paths.netns(node if pod["spec"].get("hostNetwork") else f"pod-{meta['uid']}")
    if not os.path.exists(netns):
        raise Fault(f"pod {name} has no network yet (phase {pod['status'].get('phase')}); wait until it runs")
    return Place(name, netns, pod)


def _enter(place: Place, spec: LabSpec, paths: LabPaths) -> None:
    from netsim.host import netns, private

    files = _resolver_files(place.pod, spec, paths) if place.pod is not None else {}
    netns.enter(place.netns)
    private.own_mounts()
    for path, text in files.items():
        private.replace_file(path, text)


def _resolver_files(pod: Obj, spec: LabSpec, paths: LabPaths) -> dict[str, str]:
    from netsim.cli.pod_resolver import HOST_HOSTS, HOST_RESOLV, pod_hosts_file, pod_resolv_conf

    return {HOST_RESOLV: pod_resolv_conf(pod, spec, paths), HOST_HOSTS: pod_hosts_file(pod, spec, paths)}
