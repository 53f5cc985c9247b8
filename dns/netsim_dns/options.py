"""The settings that flags and the configuration file know, by one name in both. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from .config import ConfigError, Listen
from .telemetry.registry import LOG_CLASSES, LOG_FORMATS

Words = dict[str, list[str]]
"""What was given: option name → its values as texts."""


def parse_listen(text: str) -> Listen:
    """(address, port) of `ADDRESS:PORT`, `[IPV6]:PORT` or an address alone (port 53)."""
    bracketed = re.fullmatch(r"\[([^]]*)\](?::(\w+))?", text)
    address, _, port = text.partition(":") if text.count(":") == 1 else (text, "", "")
    if bracketed:
        address, port = bracketed[1], bracketed[2] or ""
    if not is_address(address) or (port and not (port.isascii() and port.isdigit())) or int(port or 53) > 65535:
        raise ConfigError(f"{text!r} is not ADDRESS:PORT, such as 127.0.0.1:5353 or [::1]:5353")
    return address, int(port or 53)


def is_address(text: str) -> bool:
    """Is it an IPv4 or IPv6 address, without a port?"""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ConfigError(f"{text!r} is not a whole number such as 30")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise ConfigError(f"{text!r} is not a number of seconds such as 5 (0 to 86400)")
    return value


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ConfigError(f"{text!r} is unknown, use {', '.join(choices)}")
        return text

    return parse


def _rewrite(text: str) -> Any:
    from .rewrites import parse_rewrite

    return parse_rewrite(text)


def _switch(text: str) -> bool:
    return _one_of(*_SWITCH)(text.lower()) == "true"


def _stub_domain(text: str) -> tuple[str, tuple[str, ...]]:
    zone, _, upstreams = text.partition("=")
    if not zone or not upstreams:
        raise ConfigError(f"{text!r} is not ZONE=ADDRESS[,ADDRESS], such as corp.example=192.0.2.53")
    return zone, tuple(upstreams.split(","))


_SWITCH = ("true", "false")


class Option(NamedTuple):
    """One setting; `many` may be given again; `fixed` is read at the start only, all others also when reloaded."""

    name: str
    metavar: str
    help: str
    parse: Callable[[str], Any]
    many: bool = False
    fixed: bool = False


_PLACE = "ADDRESS:PORT"
_POLICIES = ("random", "round_robin", "sequential")
PODS = ("disabled", "insecure", "verified")
OPTIONS = (
    Option("listen", _PLACE, "answer there by UDP and TCP; again for more (0.0.0.0:53)", parse_listen, True),
    Option("zone", "DOMAIN", "the cluster's domain (cluster.local)", str),
    Option("more-zones", "DOMAIN", "further domains of the cluster; again for more (none)", str, True),
    Option("reverse-zones", "ZONE|CIDR", "of addresses; again for more (in-addr.arpa, ip6.arpa)", str, True),
    Option("ttl", "SECONDS", "of every record, 0 to 3600 (30)", _whole),
    Option("pods", "|".join(PODS), "answer names made of an address, A-B-C-D.NAMESPACE.pod (insecure)",
           _one_of(*PODS)),
    Option("cluster-cidr", "CIDR", "range whose reverse names are the cluster's; again for more", str, True),
    Option("fallthrough", "|".join(_SWITCH), "ask upstreams for reverse names unknown here (true)", _switch),
    Option("catch-all", "|".join(_SWITCH), "SERVFAIL for names of nobody, not REFUSED (true)", _switch),
    Option("namespaces", "NAMESPACE", "answer for this one only; again for more (all)", str, True),
    Option("namespace-labels", "SELECTOR", "answer for namespaces that it fits (all)", str),
    Option("labels", "SELECTOR", "answer from Services, slices and pods that it fits (all)", str),
    Option("endpoints", "|".join(_SWITCH), "answer from EndpointSlices: headless Services (true)", _switch),
    Option("endpoint-pod-names", "|".join(_SWITCH), "name endpoints as their pods (false)", _switch),
    Option("ignore-empty", "|".join(_SWITCH), "deny Services without a ready endpoint (false)", _switch),
    Option("forward", "ADDRESS[:PORT]|FILE", "upstream for other names, or a resolv.conf; again for more (none)",
           str, True),
    Option("forward-policy", "|".join(_POLICIES), "order in which upstreams are asked (random)", _one_of(*_POLICIES)),
    Option("stub-domain", "ZONE=ADDRESS,…", "upstreams for one zone; again for more", _stub_domain, True),
    Option("hosts", "\"ADDRESS NAME…\"|FILE", "a line of a hosts table that is answered first, or a file of them"
           " (a path with /); again for more (none)", str, True),
    Option("rewrite", "\"FROM TO\"", "answer for one name as for another; with dots before them, for what names end in;"
           " again for more (none)", _rewrite, True),
    Option("cache", "SECONDS", "most that an answer's TTL and its time in the cache may be, 0: no cache (30)", _whole),
    Option("log", "|".join(LOG_CLASSES), "write a line for each query of a class; again for more (none)",
           _one_of(*LOG_CLASSES), True),
    Option("log-format", "|".join(LOG_FORMATS), "of these lines (text: CoreDNS's)", _one_of(*LOG_FORMATS)),
    Option("autopath", "|".join(_SWITCH), "walk the search paths of pods for them (false)", _switch),
    Option("bufsize", "BYTES", "most that a client's UDP size counts for, 512 to 4096 (as it says)", _whole),
    Option("any", "|".join(_SWITCH), "answer queries for ANY with HINFO, as RFC 8482 has it (false)", _switch),
    Option("udp-max", "BYTES", "largest answer by UDP, 512 to 65507 (4096)", _whole),
    Option("workers", "NUMBER", "processes that answer, 1 to 64 (1)", _whole, fixed=True),
    Option("health", _PLACE, "serve /health there (nowhere)", parse_listen),
    Option("ready", _PLACE, "serve /ready there (nowhere)", parse_listen),
    Option("metrics", _PLACE, "serve /metrics there (nowhere)", parse_listen),
    Option("lameduck", "SECONDS", "of service after SIGTERM (5)", _seconds),
    Option("startup-timeout", "SECONDS", "to wait for the API before answering without it (5)", _seconds, fixed=True),
    Option("reload", "SECONDS", "between looks at changed files, 0: never (2)", _seconds, fixed=True),
)  # fmt: skip
BY_NAME = {option.name: option for option in OPTIONS}


def parse_document(document: object) -> Words:
    """The settings of a configuration file (YAML, read): a mapping of options' names. Raises ConfigError."""
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise ConfigError("it must be a mapping of settings, such as `ttl: 30`")
    return {_known(key): list(_texts(str(key), value)) for key, value in document.items()}


def _known(key: object) -> str:
    if key not in BY_NAME:
        import difflib

        near = difflib.get_close_matches(str(key), BY_NAME, 1)
        mend = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(BY_NAME)}"
        raise ConfigError(f"unknown setting `{key}`; {mend}")
    return str(key)


def _texts(key: str, value: object) -> Iterator[str]:
    """Values as on the command line; stub domains may also be a mapping, as in kube-dns's ConfigMap."""
    if isinstance(value, Mapping) and key == "stub-domain":
        for zone, upstreams in value.items():
            yield f"{zone}={','.join(_texts(key, upstreams))}"
    elif isinstance(value, list):
        for each in value:
            yield from _texts(key, each)
    elif isinstance(value, str | int | float):
        yield str(value).lower() if isinstance(value, bool) else str(value)
    else:
        raise ConfigError(f"{key}: {value!r} is not a value; give a text, a number or a list of them")


def parse_words(words: Words, where: Callable[[str], str]) -> dict[str, Any]:
    """Values of options: a list for those that may be given again. `where(name)` begins the message of an error."""
    found: dict[str, Any] = {}
    for name, texts in words.items():
        option = BY_NAME[name]
        if len(texts) != 1 and not option.many:
            raise ConfigError(f"{where(name)}: give one value")
        try:
            values = [option.parse(text) for text in texts]
        except ConfigError as failure:
            raise ConfigError(f"{where(name)}: {failure}") from None
        found[name] = values if option.many else values[0]
    return found
