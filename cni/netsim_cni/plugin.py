"""The plugin's commands (CNI specification 1.1.0): `invoke` in process, `main` by the exec protocol."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

from netsim_cni import errors
from netsim_cni.config import VERSIONS, Request, parse_request
from netsim_cni.errors import CniError
from netsim_cni.ipam import Leases, leases_at
from netsim_cni.plan import link_name, plan_add, render_result
from netsim_cni.ranges import Lease

Result = dict[str, Any] | None


def invoke(command: str, config: dict[str, Any], env: Mapping[str, str]) -> Result:
    """Do one CNI command in the calling thread's network namespace, which is the node's.

    `config` is the network configuration (one plugin's, as the runtime would write it to stdin), `env` holds
    CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME and CNI_ARGS. The result object for ADD and VERSION, None for the rest.
    Raises CniError, after which nothing of an ADD is left.
    """
    if command == "VERSION":
        return {"cniVersion": config.get("cniVersion") or VERSIONS[-1], "supportedVersions": list(VERSIONS)}
    request = parse_request(command, config, env)
    return _COMMANDS[command](request, leases_at(request.config.data_dir, request.config.name))


def _add(request: Request, store: Leases) -> Result:
    from netsim_cni.perform import ensure_forwarding, wire

    config = request.config
    leases = store.allocate(config.range_sets, request.key, link_name(request), config.ips)
    wired = False
    try:
        ensure_forwarding(leases)
        host_mac = wire(plan_add(request, leases), request.netns)
        wired = True
        if config.ip_masq:
            _masquerade(request, leases)
    except BaseException:
        if wired:
            _undo(request, leases, link_name(request))
        store.release(request.key)
        raise
    return render_result(request, leases, host_mac)


def _masquerade(request: Request, leases: list[Lease]) -> None:
    from netsim.host.exec import CommandFailed, CommandMissing
    from netsim_cni.masquerade import add_masquerade

    try:
        add_masquerade(request, leases)
    except (CommandFailed, CommandMissing) as error:
        raise CniError(errors.WIRING_FAILED, "cannot set up ipMasq", str(error)) from error


def _undo(request: Request, leases: list[Lease], link: str) -> None:
    from netsim_cni.perform import unwire

    unwire(link)
    if request.config.ip_masq:
        from netsim_cni.masquerade import remove_masquerade

        remove_masquerade(request, leases)


def _del(request: Request, store: Leases) -> Result:
    """The address is given back last: nobody may get it while a route to it is left."""
    link = store.link_of(request.key) or link_name(request)
    _undo(request, store.of(request.key, request.config.range_sets), link)
    store.release(request.key)
    return None


def _check(request: Request, store: Leases) -> Result:
    from netsim_cni.check import find_faults, prev_result_faults
    from netsim_cni.perform import observe

    config = request.config
    if config.prev_result is None:
        raise CniError(errors.INVALID_CONFIG, "prevResult is missing: CHECK needs the result of ADD")
    leases = store.of(request.key, config.range_sets)
    if not leases:
        raise CniError(errors.CHECK_FAILED, f"no address is leased to {request.container_id} {request.ifname}")
    families: set[int] = {socket.AF_INET if lease.ip.version == 4 else socket.AF_INET6 for lease in leases}
    host = observe(None, store.link_of(request.key) or link_name(request), families)
    try:
        pod = observe(request.netns, request.ifname, families)
    except OSError as error:
        raise CniError(errors.UNKNOWN_CONTAINER, f"cannot enter {request.netns}", str(error)) from error
    faults = prev_result_faults(config.prev_result, leases)
    faults += find_faults(request, leases, host, pod, _bridge_index(request, families))
    faults += _masquerade_faults(request, leases)
    if faults:
        raise CniError(errors.CHECK_FAILED, "; ".join(faults))
    return None


def _bridge_index(request: Request, families: set[int]) -> int:
    from netsim_cni.perform import observe

    if request.config.mode == "routed":
        return 0
    bridge = observe(None, request.config.bridge, families).link
    return bridge.index if bridge else 0


def _masquerade_faults(request: Request, leases: list[Lease]) -> list[str]:
    if not request.config.ip_masq:
        return []
    from netsim_cni.masquerade import has_masquerade

    return [f"masquerade rule of {lease.ip} is missing" for lease in leases if not has_masquerade(request, lease)]


def _status(request: Request, store: Leases) -> Result:
    if store.is_full(request.config.range_sets):
        raise CniError(errors.NOT_AVAILABLE, f"network {request.config.name} has no address left")
    return None


def _gc(request: Request, store: Leases) -> Result:
    """Remove every attachment that the runtime does not name as valid; goes on after a failure, which it reports."""
    valid = request.config.valid_attachments
    if valid is None:
        raise CniError(errors.INVALID_CONFIG, "cni.dev/valid-attachments is missing: GC would remove every pod")
    failed = []
    for holder in store.holders():
        if (holder.container_id, holder.ifname) in valid:
            continue
        gone = Request("DEL", holder.container_id, "", holder.ifname, {}, request.config)
        try:
            _del(gone, store)
        except CniError as error:
            failed.append(f"{holder.container_id} {holder.ifname}: {error}")
    if failed:
        raise CniError(errors.WIRING_FAILED, "GC could not remove everything", "; ".join(failed))
    return None


_COMMANDS: dict[str, Callable[[Request, Leases], Result]] = {
    "ADD": _add,
    "DEL": _del,
    "CHECK": _check,
    "STATUS": _status,
    "GC": _gc,
}


def run(stdin: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any] | None]:
    """One command of the exec protocol: exit status, and the object to print on stdout if there is one."""
    import json

    command, version = env.get("CNI_COMMAND", ""), VERSIONS[-1]
    try:
        config = json.loads(stdin) if stdin.strip() or command != "VERSION" else {}
        if not isinstance(config, dict):
            raise CniError(errors.DECODING_FAILURE, "the configuration on stdin is not a JSON object")
        version = str(config.get("cniVersion") or version)
        return 0, invoke(command, config, env)
    except json.JSONDecodeError as error:
        failure = CniError(errors.DECODING_FAILURE, "the configuration on stdin is not JSON", str(error))
    except CniError as error:
        failure = error
    except OSError as error:
        failure = CniError(errors.IO_FAILURE, f"{command} failed", str(error))
    return 1, failure.document(version if version in VERSIONS else VERSIONS[-1])


def main() -> None:
    """Entry point `netsim-cni`: configuration on stdin, variables in the environment, result on stdout."""
    import json

    status, document = run(sys.stdin.read(), os.environ)
    if document is not None:
        print(json.dumps(document, indent=2))
    sys.exit(status)


if __name__ == "__main__":
    main()
