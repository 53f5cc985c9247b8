"""The plugins `cache` and `forward` of a Corefile. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..config import Listen
from ..forward.config import (
    POLICIES,
    CacheConfig,
    ForwardZone,
    Tls,
    parse_resolv_conf,
    parse_upstream,
    zone_label,
    zone_labels,
)
from ..names import Labels, under
from ..telemetry.registry import RCODES
from .server import INSTEAD, Server
from .syntax import Directive
from .values import seconds, whole

ReadFile = Callable[[str], str]
CACHE_MOST, DENIAL_MOST = 3600, 1800
SHARDS, SHARD_LEAST = 256, 4


def forwarded_zones(server: Server) -> list[ForwardZone]:
    """The zones that a block forwards, no wider than its own. For each name its `forward`s are asked in their order in
    the file, a later one for what the first excludes or goes on after."""
    cache = server.cache or CacheConfig(success_ttl=0, denial_ttl=0, servfail_ttl=0)
    common: dict[str, Any] = {"cache": cache, "consolidated": server.consolidated}
    names = dict.fromkeys(zone for each in server.forwards for zone in _narrowed(each, server))
    asked = {name: _asked(zone_labels(name), server.forwards) for name in names}
    found = []
    for name, forwards in asked.items():
        if any(other != name and _is_under(name, other) and asked[other] == forwards for other in names):
            continue  # it is asked for as a wider zone is
        block, chain = zone_label(_narrowest(name, server.zones)), None
        for each in reversed(forwards):
            chain = replace(each, zone=name, then=chain, block=block, **common)
        found += [chain] if chain else []
    return found


def _asked(name: Labels, forwards: Sequence[ForwardZone]) -> list[ForwardZone]:
    """Those that a name may be asked of, in order: up to the first that leaves nothing."""
    fitting = [each for each in forwards if under(name, each.labels)]
    end = next((index for index, each in enumerate(fitting, 1) if _is_last(each)), len(fitting))
    return fitting[:end]


def _is_under(name: str, zone: str) -> bool:
    return under(zone_labels(name), zone_labels(zone))


def _is_last(forward: ForwardZone) -> bool:
    return not forward.excluded and not forward.next_rcodes


def _narrowed(forward: ForwardZone, server: Server) -> list[str]:
    return server.zones if forward.zone == "." else [forward.zone]


def _narrowest(name: str, zones: Sequence[str]) -> str:
    """The longest of the zones that a name is in, or the name."""
    around = [zone for zone in zones if _is_under(name, zone)]
    return max(around, key=lambda zone: len(zone_labels(zone)), default=name)


def read_cache(directive: Directive, server: Server) -> None:
    words = directive.arguments
    number = words[:1] if words and words[0].isdigit() else []
    for zone in words[len(number) :]:
        if zone.rstrip(".") not in {each.rstrip(".") for each in server.zones}:
            raise directive.error(f"{zone}: a cache is for all that its server block forwards; {INSTEAD}")
    most = _time(directive, number[0]) if number else 0
    server.cache = CacheConfig(success_ttl=most or CACHE_MOST, denial_ttl=most or DENIAL_MOST)
    for line in directive.body:
        server.cache = replace(server.cache, **_cache_option(line, server.cache))


def _cache_option(line: Directive, cache: CacheConfig) -> dict[str, Any]:
    match line.name, line.arguments:
        case (("success" | "denial" as kind), [capacity, *times]):
            found: dict[str, Any] = {f"{kind}_capacity": _capacity(whole(line, capacity))}
            found |= {f"{kind}_ttl": _time(line, times[0])} if times else {}
            found |= {f"{kind}_ttl_min": whole(line, times[1])} if times[1:] else {}
        case "prefetch", [amount, *rest]:
            found = {"prefetch": whole(line, amount)}
            found |= {"prefetch_window": seconds(line, rest[0])} if rest else {}
            found |= {"prefetch_percent": _percent(line, rest[1])} if rest[1:] else {}
        case "serve_stale", rest if rest[1:] in ([], ["immediate"], ["verify"]):
            found = {"serve_stale": seconds(line, rest[0] if rest else "1h"), "stale_verify": rest[1:] == ["verify"]}
        case "servfail", [time]:
            found = {"servfail_ttl": seconds(line, time)}
        case "disable", ["success" | "denial" as kind, *zones]:
            found = {f"no_{kind}": tuple(zone.removesuffix(".") or "." for zone in zones or ("."))}
        case "keepttl", []:
            found = {"keep_ttl": True}
        case _:
            options = "success, denial, prefetch, serve_stale, servfail, disable, keepttl"
            raise line.error(f"not served as it is written; cache has {options}: {INSTEAD}")
    return found


def _capacity(asked: int) -> int:
    """As many entries as CoreDNS makes room for: in 256 parts of the same size, of 4 at least."""
    return SHARDS * max(asked // SHARDS, SHARD_LEAST)


def _time(line: Directive, text: str) -> int:
    seconds_kept = whole(line, text)
    if not seconds_kept:
        raise line.error("0 seconds: give at least 1, or leave the cache out")
    return seconds_kept


def _percent(line: Directive, text: str) -> int:
    if not text.endswith("%"):
        raise line.error(f"{text!r} is no percentage such as 10%")
    return whole(line, text[:-1])


def read_forward(directive: Directive, read_file: ReadFile) -> ForwardZone:
    if len(directive.arguments) < 2:
        raise directive.error("give a zone and its upstreams, such as `forward . /etc/resolv.conf`")
    zone, *targets = directive.arguments
    upstreams = tuple(dict.fromkeys(up for text in targets for up in _upstreams(directive, text, read_file)))
    by_tls = {text.startswith("tls://") for text in targets}
    if len(by_tls) > 1:
        raise directive.error("upstreams with tls:// and without; give them a `forward` of their own each")
    found = ForwardZone(
        zone.removesuffix(".") or ".", upstreams, max_concurrent=0, tls=Tls() if True in by_tls else None
    )
    for line in directive.body:
        found = replace(found, **(_tls_option(line, found.tls) or _forward_option(line)))
    return found


def _tls_option(line: Directive, tls: Tls | None) -> dict[str, Any]:
    """What the body says of TLS; it counts for upstreams with `tls://` only."""
    match line.name, line.arguments:
        case "tls_servername", [name]:
            option: dict[str, Any] = {"server_name": name}
        case "tls", [] | [_] | [_, _] | [_, _, _] as files:
            option = {"ca_file": files[-1]} if len(files) % 2 else {}
            option |= {"certificate": (files[0], files[1])} if files[1:] else {}
        case _:
            return {}
    return {"tls": tls and replace(tls, **option)}


def _upstreams(directive: Directive, text: str, read_file: ReadFile) -> Sequence[Listen]:
    if text.startswith(("https://", "quic://", "grpc://")):
        raise directive.error(f"{text}: upstreams are asked by UDP, TCP and TLS only; {INSTEAD}")
    if text.startswith("/"):
        return parse_resolv_conf(read_file(text))
    return (parse_upstream(text),)


def _forward_option(line: Directive) -> dict[str, Any]:
    found: dict[str, Any]
    match line.name, line.arguments:
        case "except", [_, *_] as zones:
            found = {"excluded": tuple(zone.removesuffix(".") for zone in zones)}
        case (("force_tcp" | "prefer_udp" as name), []):
            found = {name: True}
        case "policy", [policy] if policy in POLICIES:
            found = {"policy": policy}
        case (("max_fails" | "max_concurrent" as name), [number]):
            found = {name: whole(line, number)}
        case "expire", [time]:
            found = {"expire": seconds(line, time)}
        case "health_check", [time, *rest] if not set(rest[:1]) - {"no_rec", "domain"} and rest[-1:] != ["domain"]:
            found = {"health_interval": seconds(line, time), "health_recursion": "no_rec" not in rest}
            found |= {"health_domain": rest[rest.index("domain") + 1]} if rest[-2:-1] == ["domain"] else {}
        case "failfast_all_unhealthy_upstreams", []:
            found = {"failfast": True}
        case "failover", [_, *_] as codes:
            numbers = {name: number for number, name in RCODES.items()}
            found = {"failover": tuple(_rcode(line, code, numbers) for code in codes)}
        case "next", [_, *_] as codes:
            numbers = {name: number for number, name in RCODES.items()}
            found = {"next_rcodes": tuple(_rcode(line, code, numbers) for code in codes)}
        case _:
            options = (
                "except, force_tcp, prefer_udp, policy, max_fails, max_concurrent, expire, health_check, failover, next"
            )
            raise line.error(f"not served as it is written; forward has {options}: {INSTEAD}")
    return found


def _rcode(line: Directive, code: str, numbers: Mapping[str, int]) -> int:
    if code.upper() not in numbers:
        raise line.error(f"{code!r} is not an rcode such as SERVFAIL")
    return numbers[code.upper()]
