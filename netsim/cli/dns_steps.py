"""The steps that a C library's resolver takes along its search path, and how they are told. Pure.

As glibc (res_nsearch): a name with fewer dots than `ndots` is tried under each search domain first, any other as it
is first; NXDOMAIN, no data and SERVFAIL lead to the next step, silence ends it. musl stops at no data and SERVFAIL too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

NDOTS_DEFAULT, NDOTS_MAX, NAME_MAX = 1, 15, 253
NO_ANSWER, UNREACHABLE = "TIMEOUT", "UNREACHABLE"
WIDTH = 80
SILENT = (NO_ANSWER, UNREACHABLE)
_GAVE_UP = {NO_ANSWER: "no answer came", UNREACHABLE: "no server there, or no way to it"}
_GOES_ON = ("NOERROR", "NXDOMAIN", "SERVFAIL")


class BadName(ValueError):
    """What is no name; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A record of an answer."""

    name: str
    ttl: int
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One question and what came of it: `rcode` is TIMEOUT without answer, UNREACHABLE if it could not be asked."""

    type: str
    server: str
    transport: str
    rcode: str
    answers: tuple[Answer, ...] = ()
    milliseconds: float = 0.0

    @property
    def found(self) -> bool:
        return any(answer.type == self.type for answer in self.answers)

    @property
    def outcome(self) -> str:
        """The rcode; NODATA where the name exists without such records."""
        return "NODATA" if self.rcode == "NOERROR" and not self.answers else self.rcode


@dataclass(frozen=True, slots=True)
class Step:
    """One name that was tried, with a question for each type."""

    name: str
    asked: tuple[Asked, ...]

    @property
    def found(self) -> bool:
        return any(each.found for each in self.asked)

    @property
    def ends(self) -> bool:
        """Whether no further name is tried: something was found, or nobody answered."""
        return self.found or any(each.rcode not in _GOES_ON for each in self.asked)


def plan_names(name: str, searches: Sequence[str], ndots: int) -> list[str]:
    """The names a resolver tries, in order, each with its last dot. Raises BadName."""
    bare = name.removesuffix(".")
    if not bare and name != ".":
        raise BadName("an empty name; give one such as kubernetes.default")
    for label in bare.split(".") if bare else []:
        if not 0 < len(label.encode()) < 64:
            raise BadName(f"`{name}` has a label of {len(label.encode())} bytes; a label has 1 to 63")
    if len(bare.encode()) > NAME_MAX:
        raise BadName(f"`{name}` has {len(bare.encode())} bytes; a name has at most {NAME_MAX}")
    if name.endswith("."):
        return [name]
    under = [f"{name}.{domain.strip('.')}." if domain.strip(".") else f"{name}." for domain in searches]
    order = [f"{name}.", *under] if name.count(".") >= ndots else [*under, f"{name}."]
    return [each for each in dict.fromkeys(order) if len(each.encode()) <= NAME_MAX + 1]


def read_ndots(options: Mapping[str, str]) -> int:
    """`ndots` of a resolv.conf; glibc reads no number as none, and at most 15."""
    text = options.get("ndots", "")
    return min(int(text), NDOTS_MAX) if text.isascii() and text.isdigit() else NDOTS_DEFAULT


def reverse_name(text: str) -> str:
    """`4.3.2.1.in-addr.arpa.` for the address 1.2.3.4, "" for what is no address."""
    try:
        return ip_address(text).reverse_pointer + "."
    except ValueError:
        return ""


def hosts_entry(text: str, name: str, types: Sequence[str]) -> list[str]:
    """The addresses of these types that an /etc/hosts gives a name, which libraries look at before they ask anybody.

    They compare the name as it is given, so that one with a dot at its end is not found.
    """
    found = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if name.lower() in (word.lower() for word in words[1:]) and ("AAAA" if ":" in words[0] else "A") in types:
            found.append(words[0])
    return found


def asks_next(rcode: str) -> bool:
    """Whether a resolver takes no such answer while there is another nameserver to ask."""
    return rcode in (*SILENT, "SERVFAIL", "NOTIMP", "REFUSED")


def asks_the_nodes_servers(pod: Mapping[str, Any]) -> bool:
    """A pod in its node's network that seems to ask the cluster's DNS, and does not."""
    spec = pod["spec"]
    return bool(spec.get("hostNetwork")) and spec.get("dnsPolicy", "ClusterFirst") == "ClusterFirst"


def document(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps for `-o json`."""

    def query(each: Asked) -> dict[str, Any]:
        return {**asdict(each), "outcome": each.outcome}

    return [{"name": step.name, "won": step.found, "queries": [query(each) for each in step.asked]} for step in steps]


def explain_order(name: str, ndots: int, searches: Sequence[str]) -> str:
    """Why the search path comes first, or the name itself."""
    if name.endswith("."):
        return f"`{name}` ends in a dot: it is asked for as it is, and nothing else"
    dots = name.count(".")
    if not searches:
        return f"no search path: `{name}` is asked for as it is"
    has = f"`{name}` has {dots} dot{'' if dots == 1 else 's'}"
    if dots < ndots:
        return f"{has}, fewer than ndots {ndots}: the search path comes first"
    return f"{has}, not fewer than ndots {ndots}: it is asked for as it is first"


def folded(line: str, indent: str = "  ") -> str:
    """A line in as many of 80 columns as it takes; names stay whole."""
    return textwrap.fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def render_steps(steps: Sequence[Step]) -> Iterator[str]:
    """A paragraph for each step."""
    for number, step in enumerate(steps, 1):
        yield f"{number:>2}  {step.name}{'   <- answers' if step.found else ''}"
        for each in step.asked:
            extra = "  by TCP" if each.transport == "tcp" else ""
            yield f"      {each.type:<5} {each.outcome:<11} {each.milliseconds:6.1f} ms  {each.server}{extra}"
            for answer in each.answers:
                owner = "" if answer.name == step.name else f"{answer.name}  "
                yield f"            {owner}{answer.type} {answer.data}  (ttl {answer.ttl})"


def conclude(steps: Sequence[Step]) -> Iterator[str]:
    """What the steps came to, and how there would have been fewer."""
    queries = sum(len(step.asked) for step in steps)
    last = steps[-1]
    count = f"{len(steps)} step{'' if len(steps) == 1 else 's'}, {queries} quer{'y' if queries == 1 else 'ies'}"
    if last.found:
        yield f"{count}: found as {last.name}"
        if len(steps) > 1:
            yield "given with its dot at the end, it would have been one step"
    elif last.ends:
        yield f"{count}: {_GAVE_UP.get(last.asked[-1].rcode, last.asked[-1].rcode)}, so the resolver gives up"
    elif "SERVFAIL" in (each.rcode for each in last.asked):
        yield f"{count}: nothing found"
        yield "SERVFAIL denies nothing: the server has no upstream that could tell"
    else:
        yield f"{count}: nothing found"
    stops = next((n for n, step in enumerate(steps, 1) if _stops_musl(step) and n < len(steps)), 0)
    if stops:
        yield f"musl's resolver (Alpine) would have stopped at step {stops}"


def _stops_musl(step: Step) -> bool:
    return not step.found and any(each.outcome in ("NODATA", "SERVFAIL") for each in step.asked)
