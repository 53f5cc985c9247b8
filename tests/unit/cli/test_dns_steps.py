"""Which names a resolver tries, which step answers, and how it is told."""

from __future__ import annotations

import pytest

from netsim.cli.dns_steps import (
    Answer,
    Asked,
    BadName,
    Step,
    asks_next,
    asks_the_nodes_servers,
    conclude,
    document,
    explain_order,
    folded,
    hosts_entry,
    plan_names,
    read_ndots,
    render_steps,
    reverse_name,
)

SEARCH = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")


@pytest.mark.parametrize(
    ("name", "ndots", "expected"),
    [
        ("web", 5, ["web.default.svc.cluster.local.", "web.svc.cluster.local.", "web.cluster.local.", "web."]),
        ("a.b", 1, ["a.b.", "a.b.default.svc.cluster.local.", "a.b.svc.cluster.local.", "a.b.cluster.local."]),
        ("web.", 5, ["web."]),
        (".", 5, ["."]),
    ],
)
def test_names_in_the_order_of_glibc(name: str, ndots: int, expected: list[str]) -> None:
    assert plan_names(name, SEARCH, ndots) == expected


def test_no_name_is_tried_twice_or_too_long() -> None:
    assert plan_names("web", (".", "x.example."), 1) == ["web.", "web.x.example."]
    assert plan_names("web", (), 5) == ["web."]
    long = ".".join(["a" * 60] * 4)
    assert plan_names(long, SEARCH, 5) == [f"{long}."]


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, ".a", "ü" * 32, ".".join(["a" * 60] * 5), "a." * 128])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        plan_names(name, SEARCH, 5)


@pytest.mark.parametrize(("text", "ndots"), [("5", 5), ("0", 0), ("99", 15), ("", 1), ("many", 1)])
def test_ndots(text: str, ndots: int) -> None:
    assert read_ndots({"ndots": text}) == ndots
    assert read_ndots({}) == 1


def test_addresses_become_reverse_names() -> None:
    assert reverse_name("10.96.0.1") == "1.0.96.10.in-addr.arpa."
    assert reverse_name("fd00::1").endswith("0.0.d.f.ip6.arpa.")
    assert reverse_name("web") == reverse_name("1.2.3") == ""


def test_hosts_are_looked_at_first() -> None:
    text = "# c\n1.2.3.4\ta b # d\nfd00::1\tB\n"
    both = ("A", "AAAA")
    assert hosts_entry(text, "b", both) == ["1.2.3.4", "fd00::1"]
    assert hosts_entry(text, "A", ["A"]) == ["1.2.3.4"]
    assert hosts_entry(text, "A", ["AAAA"]) == hosts_entry(text, "A", ["SRV"]) == hosts_entry(text, "A.", both) == []
    assert hosts_entry(text, "d", both) == hosts_entry(text, "1.2.3.4", both) == []


@pytest.mark.parametrize(
    ("rcode", "goes_on"), [("NOERROR", False), ("NXDOMAIN", False), ("SERVFAIL", True), ("TIMEOUT", True)]
)
def test_another_server_is_asked_after_a_failure_but_not_after_a_denial(rcode: str, goes_on: bool) -> None:
    assert asks_next(rcode) == goes_on


def step(name: str, *outcomes: str) -> Step:
    """A step with questions for A, AAAA: an address stands for an answer."""
    asked = []
    for kind, outcome in zip(("A", "AAAA"), outcomes, strict=False):
        answers = (Answer(name, 30, kind, outcome),) if outcome[0].isdigit() else ()
        rcode = "NOERROR" if answers or outcome == "NODATA" else outcome
        asked.append(Asked(kind, "10.96.0.10", "udp", rcode, answers, 0.5))
    return Step(name, tuple(asked))


@pytest.mark.parametrize(
    ("outcomes", "found", "ends"),
    [
        (("10.0.0.1", "NODATA"), True, True),
        (("NXDOMAIN", "NXDOMAIN"), False, False),
        (("NODATA", "NODATA"), False, False),
        (("SERVFAIL", "SERVFAIL"), False, False),
        (("TIMEOUT", "TIMEOUT"), False, True),
        (("REFUSED", "REFUSED"), False, True),
    ],
)
def test_what_ends_the_search(outcomes: tuple[str, ...], found: bool, ends: bool) -> None:
    assert (step("a.", *outcomes).found, step("a.", *outcomes).ends) == (found, ends)


def test_an_alias_alone_is_no_answer() -> None:
    alias = Asked("A", "10.96.0.10", "udp", "NOERROR", (Answer("a.", 30, "CNAME", "b."),))
    assert not Step("a.", (alias,)).found and alias.outcome == "NOERROR"


def test_steps_are_told() -> None:
    steps = [step("a.x.", "NODATA", "NXDOMAIN"), step("a.", "10.0.0.1", "NODATA")]
    lines = list(render_steps(steps))
    assert lines[0] == " 1  a.x." and lines[3] == " 2  a.   <- answers"
    assert lines[1] == "      A     NODATA         0.5 ms  10.96.0.10"
    assert lines[5] == "            A 10.0.0.1  (ttl 30)"
    said = list(conclude(steps))
    assert said[0] == "2 steps, 4 queries: found as a."
    assert said[-1] == "musl's resolver (Alpine) would have stopped at step 1"
    assert [each["won"] for each in document(steps)] == [False, True]
    assert document(steps)[0]["queries"][0]["outcome"] == "NODATA"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("NXDOMAIN", "1 step, 1 query: nothing found"),
        ("SERVFAIL", "SERVFAIL denies nothing"),
        ("TIMEOUT", "1 step, 1 query: no answer came, so the resolver gives up"),
        ("UNREACHABLE", "no server there, or no way to it, so the resolver gives up"),
        ("REFUSED", "1 step, 1 query: REFUSED, so the resolver gives up"),
    ],
)
def test_nothing_found_is_told_apart(outcome: str, words: str) -> None:
    lines = list(conclude([step("a.", outcome)]))
    assert any(words in line for line in lines) and max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("name", "searches", "words"),
    [
        ("web", SEARCH, "`web` has 0 dots, fewer than ndots 5: the search path comes first"),
        ("a.b.c.d.e.f", SEARCH, "5 dots, not fewer than ndots 5: it is asked for as it is first"),
        ("web.", SEARCH, "ends in a dot"),
        ("web", (), "no search path"),
    ],
)
def test_the_order_is_explained(name: str, searches: tuple[str, ...], words: str) -> None:
    assert words in explain_order(name, 5, searches)


def test_pods_in_the_nodes_network_are_warned_of() -> None:
    assert asks_the_nodes_servers({"spec": {"hostNetwork": True, "dnsPolicy": "ClusterFirst"}})
    assert not asks_the_nodes_servers({"spec": {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}})
    assert not asks_the_nodes_servers({"spec": {}})


def test_long_lines_are_folded_between_names() -> None:
    search = "  search " + " ".join(f"domain-{n}.example.test" for n in range(9))
    lines = folded(search, indent="    ").splitlines()
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines)
    assert " ".join(lines).split() == search.split() and lines[1].startswith("    domain-")
    assert folded("  options ndots:5") == "  options ndots:5"
    assert folded("x" * 90) == "x" * 90
