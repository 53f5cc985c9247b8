"""What the plugins of a Corefile say, as the values of options and as forwarded zones. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..config import ConfigError, Listen
from ..forward.config import POLICIES, CacheConfig, ForwardConfig, ForwardZone, parse_resolv_conf, parse_upstream
from ..hosts import HOSTS_TTL, HostsConfig
from ..rewrites import parse_rewrite
from ..telemetry.registry import LOG_CLASSES, RCODES
from ..zones import reverse_zones
from .syntax import Block, Directive, parse_corefile
from .values import REVERSE, is_reverse, only, place, seconds, split_key, whole

ReadFile = Callable[[str], str]
CACHE_MOST, DENIAL_MOST = 3600, 1800
_INSTEAD = "leave it out, or run CoreDNS itself (dns/README.md)"


@dataclass(slots=True)
class _Server:
    """What one block comes to. `cache` is None without a cache."""

    zones: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    forwards: list[ForwardZone] = field(default_factory=list)
    cache: CacheConfig | None = None
    binds: list[str] = field(default_factory=list)


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
    zones = [zone for server in servers for zone in _forwarded(server)]
    found = {"reload": 0.0, **main[0].values, "listen": [(address, *ports) for address in binds]}
    # a forwarder anywhere makes CoreDNS take every class; outside all blocks it answers nobody
    found |= {"class-ignored": bool(zones), "catch-all": any("." in server.zones for server in servers)}
    return {**found, "forward-config": ForwardConfig(tuple(zones)), "cache": _most(main[0].cache)}


def _read_block(block: Block, read_file: ReadFile) -> _Server:
    server = _Server([split_key(key)[0] for key in block.keys])
    for directive in block.plugins:
        if directive.name == "forward":
            server.forwards.append(_forward(directive, read_file))
        elif directive.name in PLUGINS:
            PLUGINS[directive.name](directive, server)
        else:
            raise directive.error(f"this plugin is not served; {_INSTEAD}")
    return server


def _forwarded(server: _Server) -> list[ForwardZone]:
    """The zones that a block forwards: those of each `forward`, no wider than its own; equal ones in a chain."""
    cache = server.cache or CacheConfig(success_ttl=0, denial_ttl=0, servfail_ttl=0)
    found: dict[str, ForwardZone] = {}
    for forward in reversed(server.forwards):
        for zone in server.zones if forward.zone == "." else [forward.zone]:
            found[zone] = replace(forward, zone=zone, cache=cache, then=found.get(zone))
    return list(found.values())


def _most(cache: CacheConfig | None) -> int:
    return max(cache.success_ttl, cache.denial_ttl) if cache else 0


# plugins of the server as a whole


def _nothing(directive: Directive, server: _Server) -> None:
    """errors, loop, loadbalance: done in any case."""


def _log(directive: Directive, server: _Server) -> None:
    if directive.arguments not in ([], ["."]):
        raise directive.error("names and formats are not served; write `log`, or `log { class denial error }`")
    classes = [word for line in directive.body if line.name == "class" for word in line.arguments]
    for word in classes:
        if word not in LOG_CLASSES:
            raise directive.error(f"class {word!r} is unknown, use {', '.join(LOG_CLASSES)}")
    server.values["log"] = classes or ["all"]


def _health(directive: Directive, server: _Server) -> None:
    server.values |= {"health": place(directive, ":8080"), "lameduck": 0.0}
    for line in directive.body:
        if line.name != "lameduck":
            raise line.error("unknown; health has lameduck")
        server.values["lameduck"] = seconds(line, only(line, 1, 1)[0])


def _ready(directive: Directive, server: _Server) -> None:
    server.values["ready"] = place(directive, ":8181")


def _prometheus(directive: Directive, server: _Server) -> None:
    server.values["metrics"] = place(directive, "localhost:9153")


def _reload(directive: Directive, server: _Server) -> None:
    """Files are looked at as often as is asked for, but at least each two seconds: no restart is needed, nor jitter."""
    interval = seconds(directive, (only(directive, 0, 2) or ["2s"])[0])
    server.values["reload"] = min(interval, 2.0)


def _hosts(directive: Directive, server: _Server) -> None:
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


def _rewrite(directive: Directive, server: _Server) -> None:
    words = [word for word in directive.arguments if word not in ("stop", "continue")]
    match words:
        case ["name", ("exact" | "suffix" as kind), source, target, *answer]:
            dot = "." if kind == "suffix" else ""
        case ["name", source, target, *answer] if source not in ("prefix", "substring", "regex"):
            dot = ""
        case _:
            raise directive.error(f"only `rewrite name [exact|suffix] FROM TO [answer auto]` is served; {_INSTEAD}")
    if answer not in ([], ["answer", "auto"]) or directive.body:
        raise directive.error(f"of `answer` only `answer auto` is served; {_INSTEAD}")
    rule = parse_rewrite(f"{dot}{source.removeprefix('.')} {dot}{target.removeprefix('.')}")
    server.values.setdefault("rewrite", []).append(rule)


def _bind(directive: Directive, server: _Server) -> None:
    server.binds += directive.arguments


def _bufsize(directive: Directive, server: _Server) -> None:
    server.values["bufsize"] = whole(directive, (only(directive, 0, 1) or ["1232"])[0])


# kubernetes


def _kubernetes(directive: Directive, server: _Server) -> None:
    zones = [zone.removesuffix(".") for zone in directive.arguments or server.zones]
    own = [zone for zone in zones if zone and not is_reverse(zone)]
    if not own:
        raise directive.error("0 zones that are not reverse; give the cluster's, such as cluster.local")
    ranges = [zone for zone in zones if "/" in zone]
    reverse = [name for zone in zones if is_reverse(zone) for name in (reverse_zones(zone) if "/" in zone else (zone,))]
    server.values |= {"zone": own[0], "ttl": 5, "pods": "disabled", "fallthrough": False}
    server.values |= {"more-zones": own[1:], "reverse-zones": reverse}
    server.values |= {"cluster-cidr": ranges} if ranges else {}
    for line in directive.body:
        option = _KUBERNETES.get(line.name)
        if option is None:
            raise line.error(f"not served; kubernetes has {', '.join(_KUBERNETES)}: {_INSTEAD}")
        option(line, server)


def _pods(line: Directive, server: _Server) -> None:
    server.values["pods"] = only(line, 1, 1)[0]


def _ttl(line: Directive, server: _Server) -> None:
    server.values["ttl"] = whole(line, only(line, 1, 1)[0])


def _fallthrough(line: Directive, server: _Server) -> None:
    others = [zone for zone in line.arguments if zone.removesuffix(".") not in REVERSE]
    if others or not line.arguments:
        raise line.error("only `fallthrough in-addr.arpa ip6.arpa` is served: the cluster's own names are denied here")
    server.values["fallthrough"] = True


def _startup_timeout(line: Directive, server: _Server) -> None:
    server.values["startup-timeout"] = seconds(line, only(line, 1, 1)[0])


def _namespaces(line: Directive, server: _Server) -> None:
    server.values["namespaces"] = line.arguments


def _labels(line: Directive, server: _Server) -> None:
    server.values["labels"] = " ".join(line.arguments)


def _noendpoints(line: Directive, server: _Server) -> None:
    only(line, 0, 0)
    server.values["endpoints"] = False


def _endpoint_pod_names(line: Directive, server: _Server) -> None:
    only(line, 0, 0)
    server.values["endpoint-pod-names"] = True


def _ignore(line: Directive, server: _Server) -> None:
    if only(line, 1, 1) != ["empty_service"]:
        raise line.error("unknown; it is `ignore empty_service`")
    server.values["ignore-empty"] = True


_Plugin = Callable[[Directive, _Server], None]
_KUBERNETES: dict[str, _Plugin] = {
    "pods": _pods, "ttl": _ttl, "fallthrough": _fallthrough, "startup_timeout": _startup_timeout,
    "namespaces": _namespaces, "labels": _labels, "noendpoints": _noendpoints,
    "endpoint_pod_names": _endpoint_pod_names, "ignore": _ignore,
}  # fmt: skip


# cache


def _cache(directive: Directive, server: _Server) -> None:
    words = directive.arguments
    number = words[:1] if words and words[0].isdigit() else []
    for zone in words[len(number) :]:
        if zone.rstrip(".") not in {each.rstrip(".") for each in server.zones}:
            raise directive.error(f"{zone}: a cache is for all that its server block forwards; {_INSTEAD}")
    most = whole(directive, number[0]) if number else 0
    server.cache = CacheConfig(success_ttl=most or CACHE_MOST, denial_ttl=most or DENIAL_MOST)
    for line in directive.body:
        server.cache = replace(server.cache, **_cache_option(line, server.cache))


def _cache_option(line: Directive, cache: CacheConfig) -> dict[str, Any]:
    match line.name, line.arguments:
        case (("success" | "denial" as kind), [capacity, *times]):
            found: dict[str, Any] = {f"{kind}_capacity": whole(line, capacity)}
            found |= {f"{kind}_ttl": whole(line, times[0])} if times else {}
            found |= {"ttl_min": whole(line, times[1])} if times[1:] else {}
        case "prefetch", [amount, *rest]:
            found = {"prefetch": whole(line, amount)}
            found |= {"prefetch_window": seconds(line, rest[0])} if rest else {}
            found |= {"prefetch_percent": whole(line, rest[1].removesuffix("%"))} if rest[1:] else {}
        case "serve_stale", rest:
            found = {"serve_stale": seconds(line, rest[0] if rest else "1h"), "stale_verify": rest[1:] == ["verify"]}
        case "servfail", [time]:
            found = {"servfail_ttl": seconds(line, time)}
        case "disable", ["success" | "denial" as kind, *zones]:
            found = {f"no_{kind}": tuple(zone.removesuffix(".") or "." for zone in zones or ("."))}
        case "keepttl", []:
            found = {"keep_ttl": True}
        case _:
            options = "success, denial, prefetch, serve_stale, servfail, disable, keepttl"
            raise line.error(f"not served as it is written; cache has {options}: {_INSTEAD}")
    return found


# forward


def _forward(directive: Directive, read_file: ReadFile) -> ForwardZone:
    if len(directive.arguments) < 2:
        raise directive.error("give a zone and its upstreams, such as `forward . /etc/resolv.conf`")
    zone, *targets = directive.arguments
    upstreams = tuple(dict.fromkeys(up for text in targets for up in _upstreams(directive, text, read_file)))
    found = ForwardZone(zone.removesuffix(".") or ".", upstreams, max_concurrent=0)
    for line in directive.body:
        found = replace(found, **_forward_option(line))
    return found


def _upstreams(directive: Directive, text: str, read_file: ReadFile) -> Sequence[Listen]:
    if text.startswith(("tls://", "https://", "quic://", "grpc://")):
        raise directive.error(f"{text}: upstreams are asked by UDP and TCP only; {_INSTEAD}")
    if text.startswith("/"):
        return parse_resolv_conf(read_file(text))
    return (parse_upstream(text),)


def _forward_option(line: Directive) -> dict[str, Any]:
    found: dict[str, Any]
    match line.name, line.arguments:
        case "except", zones:
            found = {"excluded": tuple(zone.removesuffix(".") for zone in zones)}
        case (("force_tcp" | "prefer_udp" as name), []):
            found = {name: True}
        case "policy", [policy] if policy in POLICIES:
            found = {"policy": policy}
        case (("max_fails" | "max_concurrent" as name), [number]):
            found = {name: whole(line, number)}
        case "expire", [time]:
            found = {"expire": seconds(line, time)}
        case "health_check", [time, *rest] if not set(rest[:1]) - {"no_rec", "domain"}:
            found = {"health_interval": seconds(line, time), "health_recursion": "no_rec" not in rest}
            found |= {"health_domain": rest[rest.index("domain") + 1]} if rest[-2:-1] == ["domain"] else {}
        case "failfast_all_unhealthy_upstreams", []:
            found = {"failfast": True}
        case "failover", codes:
            numbers = {name: number for number, name in RCODES.items()}
            found = {"failover": tuple(_rcode(line, code, numbers) for code in codes)}
        case "next", codes:
            numbers = {name: number for number, name in RCODES.items()}
            found = {"next_rcodes": tuple(_rcode(line, code, numbers) for code in codes)}
        case _:
            options = (
                "except, force_tcp, prefer_udp, policy, max_fails, max_concurrent, expire, health_check, failover, next"
            )
            raise line.error(f"not served as it is written; forward has {options}: {_INSTEAD}")
    return found


def _rcode(line: Directive, code: str, numbers: Mapping[str, int]) -> int:
    if code.upper() not in numbers:
        raise line.error(f"{code!r} is not an rcode such as SERVFAIL")
    return numbers[code.upper()]


PLUGINS: dict[str, _Plugin] = {
    "errors": _nothing, "loop": _nothing, "loadbalance": _nothing, "log": _log, "health": _health, "ready": _ready,
    "prometheus": _prometheus, "reload": _reload, "bind": _bind, "bufsize": _bufsize, "kubernetes": _kubernetes,
    "cache": _cache, "hosts": _hosts, "rewrite": _rewrite,
}  # fmt: skip
