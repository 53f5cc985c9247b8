"""The plugin's commands (CNI specification 1.1.0): `invoke` in process, `main` by the exec protocol."""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from netsim_cni import errors, reaper
from netsim_cni.addressing import Addressing
from netsim_cni.config import VERSIONS, Config
from netsim_cni.errors import CniError
from netsim_cni.extras import BANDWIDTH, add_extras, remove_extras, remove_stale, wanted_extras
from netsim_cni.ipam import Holder, Leases, LinkTaken, leases_at
from netsim_cni.ipam_config import NONE
from netsim_cni.obtain import check_available, give_back, obtain, undo
from netsim_cni.perform import ensure_forwarding, observe, unwire, wire
from netsim_cni.plan import link_name, settle_addressing
from netsim_cni.request import Request, parse_request
from netsim_cni.result import (
    Interface,
    convert,
    find_interface,
    host_interface,
    join_results,
    read_result,
    render_result,
)

Result = dict[str, Any] | None
NAMES_TRIED, CONFIGS = 20, 64


def invoke(command: str, config: dict[str, Any], env: Mapping[str, str]) -> Result:
    """Do one CNI command in the calling thread's network namespace, which is the node's.

    `config` is the network configuration (one plugin's, as the runtime would write it to stdin), `env` holds
    CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS and CNI_PATH. The result object for ADD and VERSION, None for the
    rest. Raises CniError, after which nothing of an ADD is left.
    """
    if command == "VERSION":
        return {"cniVersion": config.get("cniVersion") or VERSIONS[-1], "supportedVersions": list(VERSIONS)}
    request = parse_request(command, config, env)
    try:
        return _COMMANDS[command](request, leases_at(request.config.data_dir, request.config.name))
    except sqlite3.OperationalError as error:
        code = errors.TRY_AGAIN if "locked" in str(error) else errors.IO_FAILURE
        raise CniError(code, f"the leases of network {request.config.name} cannot be changed", str(error)) from error
    except sqlite3.Error as error:
        text = f"the leases of network {request.config.name} are damaged"
        raise CniError(errors.IO_FAILURE, text, f"{error}; remove their file in {request.config.data_dir}") from error


def _add(request: Request, store: Leases) -> Result:
    previous = request.config.prev_result
    if request.config.mode == "routed" and request.config.ipam.kind == NONE:
        if previous is not None and find_interface(previous, request.ifname) is not None:
            return _adjust(request, store, previous)
        text = 'give ipam.ranges, such as [[{"subnet": "10.244.1.0/24"}]]; only a bridged pod goes without addresses'
        raise CniError(errors.INVALID_CONFIG, "ipam has no range", text)
    return join_results(previous, _attach(request, store))


def _attach(request: Request, store: Leases) -> dict[str, Any]:
    """Make the interface."""
    config = request.config
    extras = _extras_of(config)
    link, obtained = _obtain_named(request, store, extras)
    addressing = settle_addressing(config, obtained)
    wired = None
    try:
        if config.mode == "routed" or config.bridge.is_gateway:
            ensure_forwarding(addressing.families)
        wired = wire(request, addressing, link)
        if extras:
            add_extras(request, addressing, link)
    except BaseException as error:
        if wired is not None:
            undo(error, lambda: _take_down(request, Holder(*request.key, link, extras)))
        undo(error, lambda: give_back(request, store))
        raise
    pod = Interface(request.ifname, wired.pod_mac, wired.mtu, request.netns)
    interfaces = [*([wired.bridge] if wired.bridge else []), Interface(link, wired.host_mac, wired.mtu), pod]
    return render_result(config.version, interfaces, addressing, config.dns, config.mode == "routed")


@lru_cache(maxsize=CONFIGS)
def _extras_of(config: Config) -> tuple[str, ...]:
    """The same for all pods of a configuration."""
    return wanted_extras(config, config.ipam.families)


def _obtain_named(request: Request, store: Leases, extras: tuple[str, ...]) -> tuple[str, Addressing]:
    """A name for the host-side interface that no other attachment has, and addresses."""
    for attempt in range(NAMES_TRIED):
        link = link_name(request, attempt)
        try:
            return link, _obtain(request, store, link, extras)
        except LinkTaken:
            continue
    raise CniError(errors.TRY_AGAIN, f"no name is free for the interface of {request.container_id}")


def _obtain(request: Request, store: Leases, link: str, extras: tuple[str, ...]) -> Addressing:
    """Addresses; where those, or the interface's name, are still being given back, that is done first."""
    try:
        return obtain(request, store, link, extras)
    except LinkTaken:
        if not store.retired(link):
            raise
    except CniError as error:
        if error.code not in (errors.NO_ADDRESS, errors.ADDRESS_TAKEN):
            raise
    # Again even if nothing was left to give back: another may have done that since.
    reaper.reap(store)
    return obtain(request, store, link, extras)


def _adjust(request: Request, store: Leases, previous: dict[str, Any]) -> dict[str, Any]:
    """A later plugin of a chain: what the interface of an earlier one has besides; its result is passed on."""
    addressing = read_result(previous, request.ifname)
    extras = wanted_extras(request.config, addressing.families)
    store.enter(request.key, "", (), extras)
    try:
        add_extras(request, addressing, host_interface(previous))
    except BaseException as error:
        undo(error, lambda: _take_down(request, Holder(*request.key, "", extras)))
        store.release(request.key)
        raise
    return convert(previous, request.config.version)


def _take_down(request: Request, holder: Holder) -> None:
    if holder.link:
        unwire(holder.link)
    _remove_extras(request, holder)


def _remove_extras(request: Request, holder: Holder) -> None:
    link = holder.link or host_interface(request.config.prev_result or {})
    # The pair's own limits go with it.
    words = [word for word in holder.extras if word != BANDWIDTH or not holder.link]
    remove_extras(request, words, link)


def _del(request: Request, store: Leases) -> Result:
    """The address is given back last: nobody may get it while a route to it is left."""
    config, holder = request.config, store.find(request.key)
    if holder is not None and holder.link and not config.ipam.delegated and reaper.is_running():
        _remove_extras(request, holder)
        reaper.remove_later(store, request.key)
        return None
    if holder is None:
        # Nobody knows of it: a second DEL, or the leases were lost. What it would have had is removed all the same.
        link = link_name(request)
        mine = "" if store.has_link(link) else link
        holder = Holder(*request.key, mine, wanted_extras(config, config.ipam.families))
    _take_down(request, holder)
    give_back(request, store)
    return None


def _check(request: Request, store: Leases) -> Result:
    from netsim_cni.extras import extra_faults
    from netsim_cni.obtain import check_addresses

    config = request.config
    if config.prev_result is None:
        raise CniError(errors.INVALID_CONFIG, "prevResult is missing: CHECK needs the result of ADD")
    holder = store.find(request.key)
    if holder is None:
        raise CniError(errors.CHECK_FAILED, f"no address is leased to {request.container_id} {request.ifname}")
    named = read_result(config.prev_result, request.ifname)
    faults = [] if not holder.link else check_addresses(request, store, named) + _wiring_faults(request, holder, named)
    link = holder.link or host_interface(config.prev_result)
    faults = faults or extra_faults(request, named, link)
    if faults:
        raise CniError(errors.CHECK_FAILED, "; ".join(faults))
    return None


def _wiring_faults(request: Request, holder: Holder, named: Addressing) -> list[str]:
    import socket

    from netsim_cni.check import find_faults

    config = request.config
    families: set[int] = {socket.AF_INET if family == 4 else socket.AF_INET6 for family in named.families}
    host = observe(None, holder.link, families)
    try:
        pod = observe(request.netns, request.ifname, families)
    except OSError as error:
        raise CniError(errors.UNKNOWN_CONTAINER, f"cannot enter {request.netns}", str(error)) from error
    bridge = observe(None, config.bridge.name, families).link if config.mode == "bridge" else None
    routes = config.ipam.routes if not config.ipam.delegated else named.routes
    wanted = settle_addressing(config, Addressing(named.ips, routes))
    return find_faults(request, named, wanted, host, pod, bridge.index if bridge else 0)


def _status(request: Request, store: Leases) -> Result:
    try:
        check_available(request, store)
    except CniError:
        reaper.reap(store)
        check_available(request, store)
    return None


def _gc(request: Request, store: Leases) -> Result:
    """Remove every attachment that the runtime does not name as valid; goes on after a failure, which it reports."""
    from netsim_cni.delegate import delegate

    config, valid = request.config, request.config.valid_attachments
    if valid is None:
        raise CniError(errors.INVALID_CONFIG, "cni.dev/valid-attachments is missing: GC would remove every pod")
    failed = []
    for holder in store.holders():
        key = (holder.container_id, holder.ifname)
        if key in valid:
            continue
        env = {**request.env, "CNI_CONTAINERID": key[0], "CNI_IFNAME": key[1], "CNI_NETNS": ""}
        gone = request._replace(command="DEL", container_id=key[0], ifname=key[1], netns="", env=env)
        try:
            _del(gone, store)
        except CniError as error:
            failed.append(f"{key[0]} {key[1]}: {error}")
    families = config.ipam.families or (4, 6)
    steps: list[Callable[[], object]] = [lambda: remove_stale(config.name, set(valid), families)]
    if config.ipam.delegated:
        steps.append(lambda: delegate("GC", request))
    for step in steps:
        try:
            step()
        except CniError as error:
            failed.append(str(error))
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


def run(stdin: str | bytes, env: Mapping[str, str]) -> tuple[int, dict[str, Any] | None]:
    """One command of the exec protocol: exit status, and the object to print on stdout if there is one."""
    import json

    command, version = env.get("CNI_COMMAND", ""), VERSIONS[-1]
    try:
        config = json.loads(stdin) if stdin.strip() or command != "VERSION" else {}
        if not isinstance(config, dict):
            raise CniError(errors.DECODING_FAILURE, "the configuration on stdin is not a JSON object")
        version = str(config.get("cniVersion") or version)
        return 0, invoke(command, config, env)
    except CniError as error:
        failure = error
    except (ValueError, RecursionError) as error:
        failure = CniError(errors.DECODING_FAILURE, "the configuration on stdin is not JSON", str(error))
    except OSError as error:
        failure = CniError(errors.IO_FAILURE, f"{command} failed", str(error))
    except Exception as error:  # a runtime reads the object on stdout: whatever went wrong, it is told there
        traceback.print_exc()
        failure = CniError(errors.INTERNAL, f"{command} failed in the plugin itself", repr(error))
    return 1, failure.document(version if version in VERSIONS else VERSIONS[-1])


def main() -> None:
    """Entry point `netsim-cni`: configuration on stdin, variables in the environment, result on stdout."""
    import json

    status, document = run(sys.stdin.buffer.read(), os.environ)
    if document is not None:
        print(json.dumps(document, indent=2))
    sys.exit(status)


if __name__ == "__main__":
    main()
