"""One command of a runtime: the CNI_… variables and the configuration (specification, section 2; pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from netsim_cni import fields
from netsim_cni.config import VERSIONS, Config, check_version, parse_config
from netsim_cni.errors import INCOMPATIBLE_VERSION, INVALID_ENVIRONMENT, CniError

COMMANDS = {"ADD": "0.3.1", "DEL": "0.3.1", "CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0", "VERSION": "0.3.1"}
ATTACHED = ("ADD", "DEL", "CHECK")
# A field that is not known must not keep an attachment from being removed.
STRICT = ("ADD", "CHECK", "STATUS")

_CONTAINER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
# What configurations say besides in CNI_ARGS.
ARGS_READ = ("IP", "ip", "GATEWAY", "MAC")
MAX_KEPT = 64


class Request(NamedTuple):
    """One command; `args` are the CNI_ARGS. `document` and `env` are as they came, for a plugin delegated to."""

    command: str
    container_id: str
    netns: str
    ifname: str
    args: dict[str, str]
    config: Config
    document: Mapping[str, Any] = MappingProxyType({})
    env: Mapping[str, str] = MappingProxyType({})

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the attachment within the network."""
        return self.container_id, self.ifname


def parse_request(command: str, document: Mapping[str, Any], env: Mapping[str, str]) -> Request:
    """A whole request; every variable that the command needs is checked, before the configuration is."""
    least = COMMANDS.get(command)
    if least is None:
        raise CniError(INVALID_ENVIRONMENT, f"CNI_COMMAND {command!r}: expected one of {', '.join(COMMANDS)}")
    version = check_version(document)
    if VERSIONS.index(version) < VERSIONS.index(least):
        raise CniError(INCOMPATIBLE_VERSION, f"{command} needs cniVersion {least} or later, not {version}")
    if command in ATTACHED:
        _check_attachment(command, env)
    args = parse_args(env.get("CNI_ARGS", ""))
    config = _config(document, args, command in STRICT)
    container, ifname = env.get("CNI_CONTAINERID", ""), env.get("CNI_IFNAME", "")
    return Request(command, container, env.get("CNI_NETNS", ""), ifname, args, config, document, env)


_kept: dict[tuple[object, ...], Config] = {}


def _config(document: Mapping[str, Any], args: dict[str, str], strict: bool) -> Config:
    """The parsed configuration. All pods of a node have the same, which is read once, but for each one's prevResult."""
    common, previous = document, None
    if "prevResult" in document:
        common = {name: value for name, value in document.items() if name != "prevResult"}
        previous = fields.mapping(document, "prevResult")
    key = (repr(common), strict, *[args.get(name) for name in ARGS_READ])
    found = _kept.get(key)
    if found is None:
        found = parse_config(common, args, strict=strict)
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        _kept[key] = found
    return replace(found, prev_result=previous) if previous else found


def _check_attachment(command: str, env: Mapping[str, str]) -> None:
    """Every variable that is wrong is named, not only the first."""
    container, ifname, wrong = env.get("CNI_CONTAINERID", ""), env.get("CNI_IFNAME", ""), []
    if not _CONTAINER_ID.fullmatch(container):
        wrong.append(f"CNI_CONTAINERID {container!r}: expected letters, digits, '.', '_', '-'")
    if not fields.interface_name(ifname):
        wrong.append(f"CNI_IFNAME {ifname!r}: expected {fields.INTERFACE_NAME}")
    if command != "DEL" and not env.get("CNI_NETNS"):
        wrong.append("CNI_NETNS is missing: expected the path of the pod's network namespace")
    if wrong:
        raise CniError(INVALID_ENVIRONMENT, "; ".join(wrong))


def parse_args(text: str) -> dict[str, str]:
    """CNI_ARGS "K=V;K=V" as a dict; CniError for a part without "="."""
    args = {}
    for part in filter(None, text.split(";")):
        key, equals, value = part.partition("=")
        if not equals:
            raise CniError(INVALID_ENVIRONMENT, f"CNI_ARGS part {part!r}: expected KEY=VALUE")
        args[key] = value
    return args
