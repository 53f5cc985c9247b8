"""The plugins of a Corefile, as the values of options and as forwarded zones. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..config import ConfigError
from ..forward.config import CacheConfig, Consolidated, ForwardConfig, zone_label
from ..hosts import HOSTS_TTL, HostsConfig
from ..options import is_address
from ..rewrites import Rewrite, parse_rewrite
from ..telemetry.registry import LOG_CLASSES
from .forwarding import ReadFile, forwarded_zones, read_cache, read_forward
from .kubernetes import read_kubernetes
from .server import INSTEAD, Plugin, Server
from .syntax import Block, Directive, LineError, ReadAll, parse_corefile
from .values import at_least_one, duration_text, only, place, seconds, split_key, whole


def read_corefile(
    text: str, environment: Mapping[str, str], read_file: ReadFile, read_all: ReadAll = lambda _: None
) -> dict[str, Any]:
    """Values of options, with `forward-config` for all that is forwarded. `read_file` gives the text of a resolv.conf,
    `read_all` the texts of the files that an `import` names.

    One block has the `kubernetes` plugin, or none. The values are its, or the first one's; those of the others are in
    `others`. Raises ConfigError, OSError.
    """
    blocks = parse_corefile(text, environment, read_all)
    keys = [split_key(key) for block in blocks for key in block.keys]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"server block {key[0]}:{key[1]} is there twice; write both as one")
    ports = {port for _, port in keys}
    if len(ports) != 1:
        raise ConfigError(f"the server blocks have {len(ports)} different ports; give one, such as `.:53 {{`")
    servers = [_read_block(block, read_file) for block in blocks]
    with_cluster = [server for server in servers if "zone" in server.values]
    if len(with_cluster) > 1:
        raise ConfigError(f"{len(with_cluster)} server blocks have the kubernetes plugin; give it to one of them")
    binds = {frozenset(server.binds) for server in servers}
    if len(binds) > 1:
        raise ConfigError("the server blocks `bind` different addresses; give all of them the same")
    main = (with_cluster or servers)[0]
    listen = [(address, *ports) for address in main.binds or ["0.0.0.0"]]
    others = [_of_block(server) for server in servers if server is not main]
    return {"reload": 0.0, **_of_all(blocks, servers), **_of_block(main), "others": others, "listen": listen}


def _of_block(server: Server) -> dict[str, Any]:
    """The values of a block; without the kubernetes plugin it has no zone of the cluster."""
    own = {"zone": "", "more-zones": [], "reverse-zones": [], "fallthrough": False} | server.values
    own |= {"block": [zone_label(zone) for zone in server.zones], "counted": "metrics" in own, "plugins": server.names}
    forward = ForwardConfig(tuple(forwarded_zones(server)), first=False)
    return {**own, "forward-config": forward, **_cache(server.cache)}


def _of_all(blocks: Sequence[Block], servers: Sequence[Server]) -> dict[str, Any]:
    """What one block says for all of them. Raises ConfigError if others say otherwise."""
    found: dict[str, Any] = {}
    for block, server in zip(blocks, servers, strict=True):
        for directive in block.plugins:
            for option in ONE_FOR_ALL.get(directive.name, ()):
                value = server.values.get(option)
                if found.setdefault(option, value) != value:
                    raise directive.error("another block does not say the same; it is one for all of them")
    return found


def _read_block(block: Block, read_file: ReadFile) -> Server:
    server = Server([split_key(key)[0] for key in block.keys], frozenset(plugin.name for plugin in block.plugins))
    seen: set[str] = set()
    for directive in block.plugins:
        if directive.name in seen - AGAIN:
            raise directive.error("its block has one before; write both as one")
        seen.add(directive.name)
        try:
            _read_plugin(directive, server, read_file)
        except LineError:
            raise
        except ConfigError as failure:
            raise directive.error(str(failure)) from None
    return server


def _read_plugin(directive: Directive, server: Server, read_file: ReadFile) -> None:
    if directive.name == "forward":
        server.forwards.append(read_forward(directive, read_file))
    elif directive.name not in PLUGINS:
        raise directive.error(f"this plugin is not served; {INSTEAD}")
    elif directive.body and directive.name not in WITH_BODY:
        raise directive.body[0].error(f"not served; {directive.name} has nothing in braces: {INSTEAD}")
    else:
        PLUGINS[directive.name](directive, server)


def _cache(cache: CacheConfig | None) -> dict[str, Any]:
    """The caps of TTLs; equal ones are those of one option, which a flag may say otherwise."""
    if cache is None:
        return {"cache": 0}
    apart = {"denial-ttl": cache.denial_ttl} if cache.denial_ttl != cache.success_ttl else {}
    floors = {"ttl-floor": cache.success_ttl_min, "denial-floor": cache.denial_ttl_min}
    return {"cache": cache.success_ttl, **apart, **floors}


def _loop(directive: Directive, server: Server) -> None:
    only(directive, 0, 0)  # done in any case


def _errors(directive: Directive, server: Server) -> None:
    if directive.arguments not in ([], ["stdout"]):
        raise directive.error(f"{' '.join(directive.arguments)}: lines go to stdout")
    for line in directive.body:
        match line.name, line.arguments:
            case "stacktrace", []:
                pass  # the log of a crash always has one
            case "consolidate", [period, pattern, *rest] if not set(rest) - {*LEVELS, "show_first"} and len(rest) < 3:
                level = next((word for word in rest if word in LEVELS), "error")
                one = Consolidated(
                    seconds(line, period), duration_text(seconds(line, period)), _pattern(line, pattern), level,
                    "show_first" in rest,
                )  # fmt: skip
                server.consolidated += (one,)
            case _:
                raise line.error("errors has `consolidate DURATION REGEXP [LEVEL] [show_first]` and `stacktrace`")


def _pattern(line: Directive, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as failure:
        raise line.error(f"{text!r} is no regular expression: {failure}") from None


def _any(directive: Directive, server: Server) -> None:
    only(directive, 0, 0)
    server.values["any"] = True


def _autopath(directive: Directive, server: Server) -> None:
    if not directive.arguments:
        raise directive.error("give `@kubernetes` or a resolv.conf, after the zones if it is not for all of the block")
    *zones, source = directive.arguments
    if source.startswith("@") and source != "@kubernetes":
        raise directive.error(f"{source}: only @kubernetes knows the search paths of its clients; {INSTEAD}")
    zones = [zone.removesuffix(".") or "." for zone in zones or server.zones]
    server.values["autopath"] = (tuple(zones), "" if source == "@kubernetes" else source)


def _loadbalance(directive: Directive, server: Server) -> None:
    if directive.arguments not in ([], ["round_robin"]):
        raise directive.error(f"addresses come in random order (round_robin); {INSTEAD}")


def _log(directive: Directive, server: Server) -> None:
    if directive.arguments not in ([], ["."]):
        raise directive.error("names and formats are not served; write `log`, or `log { class denial error }`")
    for line in directive.body:
        if line.name != "class" or not line.arguments:
            raise line.error(f"log has `class` with {', '.join(LOG_CLASSES)}")
        for word in set(line.arguments) - set(LOG_CLASSES):
            raise line.error(f"{word!r} is unknown, use {', '.join(LOG_CLASSES)}")
    classes = [word for line in directive.body for word in line.arguments]
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
    if interval < RELOAD_LEAST:
        raise directive.error(f"{directive.arguments[0]}: give at least 2s")
    server.values["reload"] = RELOAD_LEAST


def _hosts(directive: Directive, server: Server) -> None:
    file, *zones = directive.arguments or ["/etc/hosts"]
    if not file.startswith("/"):
        raise directive.error(f"{file!r} is no file's whole path; give it before the zones, such as `hosts /etc/hosts`")
    lines: list[str] = []
    through: tuple[str, ...] = ()
    ttl, reverse = HOSTS_TTL, True
    for line in directive.body:
        match line.name, line.arguments:
            case "fallthrough", of:
                through = tuple(zone.removesuffix(".") or "." for zone in of or ["."])
            case "ttl", of:
                ttl = whole(line, only(line, 1, 1)[0])
                if not 0 < ttl < 65536:
                    raise line.error(f"{ttl} is out of range, use 1 to 65535 seconds")
            case "no_reverse", []:
                reverse = False
            case "reload", [time]:
                seconds(line, time)  # files are looked at as often as the configuration
            case _:
                lines.append(" ".join([line.name, *line.arguments]))
    within = tuple(zone.removesuffix(".") or "." for zone in zones or server.zones)
    server.values["hosts-config"] = HostsConfig(tuple(lines), (file,), ttl, reverse, within, through)


def _rewrite(directive: Directive, server: Server) -> None:
    words = directive.arguments[directive.arguments[:1] == ["stop"] :]
    words += [word for line in directive.body for word in (line.name, *line.arguments)]
    match words:
        case ["name", ("exact" | "suffix" | "prefix" | "substring" | "regex" as kind), source, target, *answer]:
            pass
        case ["name", source, target, *answer] if source not in ("prefix", "substring", "regex"):
            kind = "exact"
        case _:
            raise directive.error(f"only `rewrite name [KIND] FROM TO [answer …]` is served; {INSTEAD}")
    if answer not in ([], ["answer", "auto"]) and (len(answer) != 4 or answer[:2] != ["answer", "name"]):
        raise directive.error(f"of `answer` only `answer auto` and `answer name FROM TO` are served; {INSTEAD}")
    server.values.setdefault("rewrite", []).append(_rule(directive, kind, source, target))


def _rule(directive: Directive, kind: str, source: str, target: str) -> Rewrite:
    """Answers get the name that was asked for back in any case, which is all that `answer name` is written for."""
    if kind in ("exact", "suffix"):
        dot = "." if kind == "suffix" else ""
        return parse_rewrite(f"{dot}{source.removeprefix('.')} {dot}{target.removeprefix('.')}")
    if kind == "regex":
        return Rewrite((), (), pattern=_pattern(directive, source), template=target)
    start = "^" if kind == "prefix" else ""
    return Rewrite((), (), pattern=re.compile(start + re.escape(source.lower())), template=target, every=True)


def _bind(directive: Directive, server: Server) -> None:
    for word in at_least_one(directive):
        if not is_address(word):
            raise directive.error(f"{word!r} is no address; interfaces are not looked up, {INSTEAD}")
    server.binds += directive.arguments


def _bufsize(directive: Directive, server: Server) -> None:
    server.values["bufsize"] = whole(directive, (only(directive, 0, 1) or ["1232"])[0])


# what a block may have several of, what has lines in braces, and what all blocks have together
AGAIN = frozenset({"bind", "forward", "log", "rewrite"})
RELOAD_LEAST = 2.0
WITH_BODY = frozenset({"cache", "errors", "health", "hosts", "kubernetes", "log", "ready", "rewrite"})
ONE_FOR_ALL = {"prometheus": ("metrics",), "reload": ("reload",), "health": ("health", "lameduck"), "ready": ("ready",)}
LEVELS = ("debug", "info", "warning", "error")
PLUGINS: dict[str, Plugin] = {
    "any": _any, "autopath": _autopath, "bind": _bind, "bufsize": _bufsize, "cache": read_cache, "errors": _errors,
    "health": _health, "hosts": _hosts, "kubernetes": read_kubernetes, "loadbalance": _loadbalance, "log": _log,
    "loop": _loop, "prometheus": _prometheus, "ready": _ready, "reload": _reload, "rewrite": _rewrite,
}  # fmt: skip
