"""The plugins of a Corefile, as the values of options and as forwarded zones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import ConfigError
from ..forward.config import CacheConfig, ForwardConfig
from ..hosts import HOSTS_TTL, HostsConfig
from ..options import is_address
from ..rewrites import parse_rewrite
from ..telemetry.registry import LOG_CLASSES
from .forwarding import ReadFile, forwarded_zones, read_cache, read_forward
from .kubernetes import read_kubernetes
from .server import INSTEAD, Plugin, Server
from .syntax import Block, Directive, parse_corefile
from .values import only, place, seconds, split_key, whole


def read_corefile(text: str, environment: Mapping[str, str], read_file: ReadFile) -> dict[str, Any]:
    """Values of options, with `forward-config` for all that is forwarded. `read_file` gives the text of a resolv.conf.

    One block has the `kubernetes` plugin; the others are stub domains. Raises ConfigError, OSError.
    """
    blocks = parse_corefile(text, environment)
    keys = [split_key(key) for block in blocks for key in block.keys]
    ports = {port for _, port in keys}
    if len(ports) != 1:
        raise ConfigError(f"the server blocks have {len(ports)} different ports; give one, such as `.:53 {{`")
    servers = [_read_block(block, read_file) for block in blocks]
    main = [server for server in servers if "zone" in server.values]
    if len(main) != 1:
        raise ConfigError(f"{len(main)} server blocks have the kubernetes plugin; give it to one, such as `.:53`")
    binds = main[0].binds or ["0.0.0.0"]
    zones = [zone for server in servers for zone in forwarded_zones(server)]
    found = {"reload": 0.0, **main[0].values, "listen": [(address, *ports) for address in binds]}
    # a forwarder anywhere makes CoreDNS take every class; outside all blocks it answers nobody
    found |= {"class-ignored": bool(zones), "catch-all": any("." in server.zones for server in servers)}
    return {**found, "forward-config": ForwardConfig(tuple(zones)), "cache": _most(main[0].cache)}


def _read_block(block: Block, read_file: ReadFile) -> Server:
    server = Server([split_key(key)[0] for key in block.keys])
    for directive in block.plugins:
        if directive.name == "forward":
            server.forwards.append(read_forward(directive, read_file))
        elif directive.name in PLUGINS:
            PLUGINS[directive.name](directive, server)
        else:
            raise directive.error(f"this plugin is not served; {INSTEAD}")
    return server


def _most(cache: CacheConfig | None) -> int:
    return max(cache.success_ttl, cache.denial_ttl) if cache else 0


def _nothing(directive: Directive, server: Server) -> None:
    """errors, loop: done in any case."""


def _loadbalance(directive: Directive, server: Server) -> None:
    if directive.arguments not in ([], ["round_robin"]) or directive.body:
        raise directive.error(f"addresses come in random order (round_robin); {INSTEAD}")


def _log(directive: Directive, server: Server) -> None:
    if directive.arguments not in ([], ["."]):
        raise directive.error("names and formats are not served; write `log`, or `log { class denial error }`")
    classes = [word for line in directive.body if line.name == "class" for word in line.arguments]
    for word in classes:
        if word not in LOG_CLASSES:
            raise directive.error(f"class {word!r} is unknown, use {', '.join(LOG_CLASSES)}")
    server.values["log"] = classes or ["all"]


def _health(directive: Directive, server: Server) -> None:
    server.values |= {"health": place(directive, ":8080"), "lameduck": 0.0}
    for line in directive.body:
        if line.name != "lameduck":
            raise line.error("unknown; health has lameduck")
        server.values["lameduck"] = seconds(line, only(line, 1, 1)[0])


def _ready(directive: Directive, server: Server) -> None:
    server.values["ready"] = place(directive, ":8181")
    for line in directive.body:
        if [line.name, *line.arguments] != ["monitor", "until-ready"]:
            raise line.error("once ready is ready; ready has `monitor until-ready`")


def _prometheus(directive: Directive, server: Server) -> None:
    server.values["metrics"] = place(directive, "localhost:9153")


def _reload(directive: Directive, server: Server) -> None:
    """Files are looked at as often as is asked for, but at least each two seconds: no restart is needed, nor jitter."""
    interval = seconds(directive, (only(directive, 0, 2) or ["2s"])[0])
    server.values["reload"] = min(interval, 2.0)


def _hosts(directive: Directive, server: Server) -> None:
    files = [word for word in only(directive, 0, 1) if word.startswith("/")]
    if len(files) != len(directive.arguments):
        raise directive.error("give a file, and the addresses and names in the body")
    lines: list[str] = []
    ttl, reverse, through = HOSTS_TTL, True, False
    for line in directive.body:
        match line.name, line.arguments:
            case "fallthrough", []:
                through = True
            case "ttl", [number]:
                ttl = whole(line, number)
            case "no_reverse", []:
                reverse = False
            case "reload", [_]:
                pass  # files are looked at as often as the configuration
            case _:
                lines.append(" ".join([line.name, *line.arguments]))
    if not through:
        raise directive.error("without `fallthrough` every other name would be SERVFAIL; write it into the body")
    server.values["hosts-config"] = HostsConfig(tuple(lines), tuple(files), ttl, reverse)


def _rewrite(directive: Directive, server: Server) -> None:
    words = [word for word in directive.arguments if word not in ("stop", "continue")]
    match words:
        case ["name", ("exact" | "suffix" as kind), source, target, *answer]:
            dot = "." if kind == "suffix" else ""
        case ["name", source, target, *answer] if source not in ("prefix", "substring", "regex"):
            dot = ""
        case _:
            raise directive.error(f"only `rewrite name [exact|suffix] FROM TO [answer auto]` is served; {INSTEAD}")
    if answer not in ([], ["answer", "auto"]) or directive.body:
        raise directive.error(f"of `answer` only `answer auto` is served; {INSTEAD}")
    rule = parse_rewrite(f"{dot}{source.removeprefix('.')} {dot}{target.removeprefix('.')}")
    server.values.setdefault("rewrite", []).append(rule)


def _bind(directive: Directive, server: Server) -> None:
    for word in directive.arguments:
        if not is_address(word):
            raise directive.error(f"{word!r} is no address; interfaces are not looked up, {INSTEAD}")
    server.binds += directive.arguments


def _bufsize(directive: Directive, server: Server) -> None:
    server.values["bufsize"] = whole(directive, (only(directive, 0, 1) or ["1232"])[0])


PLUGINS: dict[str, Plugin] = {
    "errors": _nothing, "loop": _nothing, "loadbalance": _loadbalance, "log": _log, "health": _health, "ready": _ready,
    "prometheus": _prometheus, "reload": _reload, "bind": _bind, "bufsize": _bufsize, "kubernetes": read_kubernetes,
    "cache": read_cache, "hosts": _hosts, "rewrite": _rewrite,
}  # fmt: skip
