"""A KubeProxyConfiguration file, read for `netsim proxy --config` and `netsim up --proxy-config`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from netsim.cli.fault import Fault
from netsim.cli.object_files import read_documents


def read_proxy_config(file: Path, option: str = "--proxy-config") -> dict[str, Any]:
    """The fields of ProxyConfig that a file for all nodes sets, checked."""
    from netsim_proxy.config import ProxyConfig

    fields = fields_of(read_configuration(file)[:1], f"{option} {file}")
    if "hostname_override" in fields:
        raise Fault(f"{option} {file}: hostnameOverride is one node's; leave it out of a file for all")
    try:
        ProxyConfig("node", **fields)
    except ValueError as error:
        raise Fault(f"{option} {file}: {error}") from None
    return fields


def fields_of(documents: list[Any], where: str) -> dict[str, Any]:
    """The fields of ProxyConfig in the first document; those that mean nothing here are told on stderr, in one line."""
    from netsim_proxy.flags import parse_configuration

    try:
        fields, unknown = parse_configuration(documents[0] if documents else None)
    except ValueError as error:
        raise Fault(f"{where}: {error}") from None
    if unknown:
        typer.echo(f"{where}: ignored, as it means nothing here: {', '.join(unknown)}", err=True)
    return fields


def read_configuration(file: Path) -> list[Any]:
    """The documents of a YAML or JSON file that are objects."""
    return [document for document in read_documents(file) if isinstance(document, dict)]
