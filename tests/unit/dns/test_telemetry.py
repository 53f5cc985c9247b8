"""Metrics and query log: what is counted and written for real queries and answers."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.client.transport import BearerTransport, InProcessTransport
from netsim.http.client import HttpClient
from netsim.http.types import Peer, Request, Response
from netsim_dns.config import DnsConfig
from netsim_dns.forward.config import ForwardConfig, ForwardZone
from netsim_dns.forward.forwarder import Forwarder
from netsim_dns.index import build_index
from netsim_dns.records import Slice
from netsim_dns.responder import Responder
from netsim_dns.seams import Exchange
from netsim_dns.settings import Block, Settings
from netsim_dns.shapes import Shape
from netsim_dns.telemetry import links as links_module
from netsim_dns.telemetry.api import ApiMetrics, MeasuredTransport
from netsim_dns.telemetry.links import Links, Report, answer_link
from netsim_dns.telemetry.metrics import METRICS, PREFIX, Metrics, merged
from netsim_dns.telemetry.observer import Observer
from netsim_dns.telemetry.query_log import QueryLog, Wanted, classify, render_lines, uncompressed_size
from netsim_dns.telemetry.tally import KEYS_MAX, WAITING_MAX, Tally, server_label
from netsim_dns.zones import ZoneTable

from .conftest import fixture_index
from .false_upstream import reply as upstream_reply
from .false_upstream import upstream
from .test_records import namespace, service

SVC1 = "svc1.testns.svc.cluster.local."
V4, V6 = ("10.244.0.5", 43210), ("fd00::5", 43210, 0, 0)


@pytest.fixture(scope="module")
def responder() -> Responder:
    return Responder(fixture_index(), DnsConfig())


def exchange(responder: Responder, name: str, qtype: str = "A", client: tuple = V4, **edns: object) -> Exchange:
    query = dns.message.make_query(name, qtype, **edns)
    query.id = 1234
    data = query.to_wire()
    answer = responder.udp(data)
    assert isinstance(answer, bytes)
    return Exchange(data, answer, client)


def lines_of(*classes: str, bufsize: int = 0) -> ZoneTable[Wanted]:
    return ZoneTable({".": Wanted(frozenset(classes), bufsize)})


def value(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's rows with these labels."""
    rows = re.findall(rf"^{PREFIX}{name}(?:{{(.*)}})? (\S+)$", text, re.M)
    return sum(float(v) for listed, v in rows if all(f'{k}="{w}"' in listed for k, w in labels.items()))


def counted(*exchanges: Exchange, proto: str = "udp") -> str:
    metrics = Metrics()
    tally = Tally(metrics, (("0.0.0.0", 53),))
    for each in exchanges:
        tally(proto, [each], 0.001)
    tally.flush()
    return metrics.render()


def test_queries_are_counted_as_coredns_counts_them(responder: Responder) -> None:
    text = counted(
        exchange(responder, SVC1),
        exchange(responder, SVC1),
        exchange(responder, SVC1, "AAAA", V6),
        exchange(responder, SVC1, "LOC"),
        exchange(responder, "nosuch.testns.svc.cluster.local."),
        exchange(responder, SVC1, want_dnssec=True),
    )
    row = 'coredns_dns_requests_total{family="1",proto="udp",server="dns://:53",type="A",view="",zone="."} 4\n'
    assert row in text
    assert value(text, "dns_requests_total", family="2", type="AAAA") == 1
    assert value(text, "dns_requests_total", type="other") == 1
    assert value(text, "dns_responses_total", rcode="NXDOMAIN", plugin="loadbalance", zone=".") == 1
    assert value(text, "dns_responses_total", rcode="NOERROR") == 5
    assert value(text, "dns_do_requests_total") == 1
    assert value(text, "dns_request_duration_seconds_count") == 6
    assert value(text, "dns_request_duration_seconds_bucket", le="0.001") == 6
    assert value(text, "dns_request_duration_seconds_bucket", le="0.0005") == 0
    assert value(text, "dns_request_size_bytes_bucket", le="100", proto="udp") == 6
    assert value(text, "dns_response_size_bytes_count", proto="udp") == 6


def test_what_no_plugin_has_seen_is_dropped(responder: Responder) -> None:
    broken = dns.message.make_query(SVC1, "A").to_wire()[:20]
    notimp = bytearray(dns.message.make_query(SVC1, "A").to_wire())
    notimp[2] |= 2 << 3
    bad_version = exchange(responder, SVC1, use_edns=1)
    answers = [Exchange(data, responder.udp(data), V4) for data in (broken, bytes(notimp))]  # type: ignore[arg-type]
    text = counted(*answers, bad_version, Exchange(b"short", None, V4), proto="tcp")
    assert value(text, "dns_responses_total", zone="dropped", plugin="", rcode="FORMERR") == 1
    assert value(text, "dns_responses_total", zone="dropped", rcode="NOTIMP") == 1
    assert value(text, "dns_responses_total", zone="dropped", plugin="", rcode="BADVERS") == 1
    assert value(text, "dns_requests_total", zone="dropped", proto="tcp") == 4, "one was not answered"


@pytest.mark.parametrize(
    ("blocks", "zone", "plugin"),
    [
        ([Block()], ".", ""),
        ([Block(zones=("cluster.local.",)), Block(zones=("test.",), cached=False)], "test.", ""),
        ([Block(zones=("a.",))], "dropped", ""),
    ],
)
def test_what_a_plugin_has_failed_at_is_the_servers_and_zones_are_blocks(
    responder: Responder, blocks: list[Block], zone: str, plugin: str
) -> None:
    metrics = Metrics()
    tally = Tally(metrics, (("0.0.0.0", 53),), blocks)
    for name, qtype in (("www.EXAMPLE.test.", "A"), ("www.example.test.", "AXFR"), (SVC1, "A")):
        tally("udp", [exchange(responder, name, qtype)], 0.001)
    tally.flush()
    text = metrics.render()
    assert value(text, "dns_responses_total", rcode="SERVFAIL", zone=zone, plugin=plugin) >= 1
    assert value(text, "dns_responses_total", rcode="SERVFAIL", plugin="loadbalance") == 0
    assert value(text, "dns_responses_total", rcode="NOERROR") == 1
    assert value(text, "dns_request_duration_seconds_count") == 3


@pytest.mark.parametrize(
    ("plugins", "cached", "seen"),
    [
        (None, True, "loadbalance"),
        ({"cache", "loadbalance"}, True, "loadbalance"),
        ({"cache", "kubernetes"}, True, "cache"),
        ({"kubernetes"}, False, "kubernetes"),
    ],
)
def test_answers_are_counted_by_the_plugin_that_has_them_last(
    responder: Responder, plugins: set[str] | None, cached: bool, seen: str
) -> None:
    metrics = Metrics()
    block = Block(plugins=frozenset(plugins) if plugins else None, cached=cached)
    tally = Tally(metrics, (("0.0.0.0", 53),), [block])
    tally("udp", [exchange(responder, SVC1)], 0.001)
    tally.flush()
    assert value(metrics.render(), "dns_responses_total", plugin=seen) == 1
    assert block.outermost[0] == ("forward" if seen == "kubernetes" else seen)


def test_a_corefiles_plugins_are_those_that_are_enabled() -> None:
    named = frozenset({"errors", "kubernetes", "health", "ready", "bind", "reload", "prometheus"})
    metrics = Metrics()
    Observer(Settings(plugins=named, others=(Block(zones=("a.test.",), plugins=frozenset({"hosts"})),)), metrics)
    rows = sorted((labels[1], labels[3]) for labels in metrics.values["plugin_enabled"])
    assert rows == [(".", "errors"), (".", "kubernetes"), (".", "prometheus"), ("a.test.", "hosts")]


def test_blocks_have_their_own_lines_and_are_counted_where_they_say_so(responder: Responder) -> None:
    metrics, lines = Metrics(), list[str]()
    blocks = [Block(zones=(".",), counted=False), Block(zones=("cluster.local.",))]
    tally = Tally(metrics, (("0.0.0.0", 53),), blocks)
    log = QueryLog(
        {".": Wanted(frozenset(["error"])), "cluster.local.": Wanted(frozenset(["denial"]))}, "text", lines.append
    )
    for name in ("www.example.test.", SVC1, "nosuch.testns.svc.cluster.local."):
        for told in (tally, log):
            told("udp", [exchange(responder, name)], 0.001)
    tally.flush()
    text = metrics.render()
    assert [value(text, "dns_requests_total", zone=zone) for zone in (".", "cluster.local.")] == [0, 2]
    found = [re.search(r"IN (\S+) ", line) for line in lines]
    assert [each and each[1] for each in found] == ["www.example.test.", "nosuch.testns.svc.cluster.local."]


def test_a_cache_is_asked_for_all_names_and_misses_those_of_the_cluster(responder: Responder) -> None:
    metrics = Metrics()
    tally = Tally(metrics, (("0.0.0.0", 53),))
    tally("udp", [exchange(responder, SVC1)] * 5, 0.001)
    metrics.add("cache_hits_total", "dns://:53", "denial", ".", "", amount=2)
    text = ""
    for _ in range(2):
        tally.flush()
        text = metrics.render()
    assert 'coredns_cache_requests_total{server="dns://:53",view="",zones="."} 5\n' in text
    assert 'coredns_cache_misses_total{server="dns://:53",view="",zones="."} 3\n' in text


def test_one_turns_exchanges_count_alike_however_many(responder: Responder) -> None:
    each = exchange(responder, SVC1)
    texts = set()
    for size in (1, 2, 64):
        metrics = Metrics()
        tally = Tally(metrics, (("0.0.0.0", 53),))
        for _ in range(64 // size):
            tally("udp", [each] * size, 0.002 * size)
        tally.flush()
        texts.add(metrics.render())
    assert len(texts) == 1


def test_a_flood_of_different_queries_takes_no_memory(responder: Responder) -> None:
    metrics = Metrics()
    tally = Tally(metrics, (("0.0.0.0", 53),))
    known = exchange(responder, SVC1)
    most = 0
    for number in range(2 * KEYS_MAX):
        tally("udp", [Exchange(known.query[:-4] + number.to_bytes(4, "big"), known.answer, V4)], 0.001)
        tally.count("udp", False, [Shape((number.to_bytes(4, "big"), 50, 0, 60))], 0.001)
        piles = [(p.exchanges, p.shapes, p.keys_seen, p.shapes_seen) for p in tally._piles.values()]
        most = max(most, sum(len(each) for pile in piles for each in pile))
    assert most <= KEYS_MAX + 2 * WAITING_MAX
    tally.flush()
    assert value(metrics.render(), "dns_requests_total") == 4 * KEYS_MAX


QUERIES = st.builds(
    lambda name, qtype, payload, do: dns.message.make_query(name, qtype, payload=payload, want_dnssec=do).to_wire(),
    st.sampled_from([SVC1, "Svc1.TestNS.svc.cluster.local.", "nosuch.testns.svc.cluster.local.", "www.example.test."])
    | st.sampled_from(["hdls.testns.svc.cluster.local.", "big.testns.svc.cluster.local.", "cluster.local."]),
    st.sampled_from(["A", "AAAA", "SRV", "ANY", "LOC"]),
    st.sampled_from([512, 1232]),
    st.booleans(),
)


@given(st.data())
def test_what_is_counted_by_shape_is_what_was_asked(data: st.DataObject) -> None:
    """Batches of queries new and kept, broken and cut: the counts are those of the exchanges one by one, and what
    dnspython reads in them."""
    listen, responder = Settings().dns.listen, Responder(fixture_index(), DnsConfig())
    ours, plain = Metrics(), Metrics()
    tally, one_by_one = Tally(ours, listen), Tally(plain, listen)
    few = data.draw(st.lists(QUERIES | st.binary(max_size=40), min_size=1, max_size=6))
    types, rcodes = Counter[str](), Counter[str]()
    for queries in data.draw(st.lists(st.lists(st.sampled_from(few), min_size=1, max_size=9), max_size=9)):
        batch = responder.udp_all([query[2:] for query in queries])
        assert len(batch.shapes) + len(batch.others) == len(queries)
        at_hand = [query[:2] + message for query, message in zip(queries, batch.messages, strict=True)]
        replies = [responder.udp(q) if slot in batch.others else at_hand[slot] for slot, q in enumerate(queries)]
        exchanges = [Exchange(query, reply, V4) for query, reply in zip(queries, replies, strict=True)]
        if batch.shapes:
            tally.count("udp", False, batch.shapes, 0.001 * len(batch.shapes))
        if batch.others:
            tally("udp", [exchanges[slot] for slot in batch.others], 0.001 * len(batch.others))
        for each in exchanges:
            one_by_one("udp", [each], 0.001)
            if each.answer:
                rcodes[dns.rcode.to_text(dns.rcode.Rcode(each.answer[3] & 15))] += 1
            if each.answer and each.answer[3] & 15 in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                types[dns.rdatatype.to_text(dns.message.from_wire(each.query).question[0].rdtype)] += 1
    tally.flush()
    one_by_one.flush()
    assert ours.values == plain.values
    for name, histograms in plain.histograms.items():
        assert {k: h.counts for k, h in ours.histograms[name].items()} == {k: h.counts for k, h in histograms.items()}
        for labels, histogram in histograms.items():
            assert ours.histograms[name][labels].sum == pytest.approx(histogram.sum)
    text = ours.render()
    assert {code: value(text, "dns_responses_total", rcode=code) for code in rcodes} == rcodes
    assert all(value(text, "dns_requests_total", type=t) >= times for t, times in types.items() if t != "LOC")


def test_every_metric_can_be_shown_and_added_up() -> None:
    metrics = Metrics()
    for name, metric in METRICS.items():
        labels = [f'a"{label}' for label in metric.labels]
        metrics.observe(name, 0.3, *labels) if metric.bounds else metrics.set(name, 1, *labels)
    total = merged([metrics, metrics])
    for name, metric in METRICS.items():
        states = {"build_info", "plugin_enabled", "reload_version_info", "hosts_entries"}
        expected = 1 if name in states or "timestamp" in name else 2
        shown = total.render()
        assert value(shown, f"{name}_count" if metric.bounds else name) == expected, name
        assert f"# TYPE coredns_{name} {metric.kind}\n" in shown
    assert metrics.histogram("dns_request_duration_seconds", "x", "y", "z").counts[-1] == 0


@pytest.mark.parametrize(
    ("listen", "label"),
    [(("0.0.0.0", 53), "dns://:53"), (("::", 53), "dns://:53"), (("127.0.0.1", 5353), "dns://127.0.0.1:5353"),
     (("fd00::1", 53), "dns://[fd00::1]:53")],
)  # fmt: skip
def test_the_servers_label(listen: tuple[str, int], label: str) -> None:
    assert server_label([listen]) == label


def test_lines_are_coredns(responder: Responder) -> None:
    asked = [exchange(responder, "Svc1.testns.svc.cluster.local."), exchange(responder, SVC1, client=V6)]
    upper, six = render_lines("udp", asked, 0.0004, lines_of("all"), "text")
    line = '[INFO] 10.244.0.5:43210 - 1234 "A IN svc1.testns.svc.cluster.local. udp 47 false 512" NOERROR qr,aa,rd 92'
    assert upper == f"{line} 0.0002s", "an uncompressed answer has 92 bytes"
    assert six.startswith("[INFO] [fd00::5]:43210 - 1234 ")


def test_lines_tell_edns_tcp_and_odd_names(responder: Responder) -> None:
    (with_do,) = render_lines(
        "udp", [exchange(responder, SVC1, want_dnssec=True, payload=1232)], 0, lines_of("all"), "text"
    )
    assert ' udp 58 true 1232" NOERROR qr,aa,rd 92 0s' in with_do, "an OPT is not counted in the answer"
    (lowered,) = render_lines("udp", [exchange(responder, SVC1, payload=1232)], 0, lines_of("all", bufsize=800), "text")
    assert ' udp 58 false 800" ' in lowered
    (stream,) = render_lines("tcp", [exchange(responder, SVC1)], 0, lines_of("all"), "text")
    assert ' tcp 47 false 65535" ' in stream
    (odd,) = render_lines(
        "udp", [exchange(responder, 'a\\"\\010\\255\\032\\$b.cluster.local.', "MAILB")], 0, lines_of("all"), "text"
    )
    assert r'"MAILB IN a\"\010\255\ $b.cluster.local. udp' in odd
    assert not list(render_lines("udp", [exchange(responder, SVC1, use_edns=1)], 0, lines_of("all"), "text"))
    (failed,) = render_lines("udp", [exchange(responder, "www.example.test.")], 0, lines_of("error"), "text")
    assert failed.endswith('"A IN www.example.test. udp 34 false 512" - - 0 0s')


async def test_what_an_external_name_leads_to_has_a_line_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    index = build_index(
        [namespace("testns"), service("ext", {"type": "ExternalName", "externalName": "www.example.test"}, "testns")], 1
    )
    settings = Settings(log=("all",), metrics_listen=("127.0.0.1", 9153))
    metrics = Metrics()
    async with upstream(lambda query, _: upstream_reply(query, "@ 60 IN A 203.0.113.1")) as server:
        forwarder = Forwarder(ForwardConfig((ForwardZone(upstreams=(server.address,)),)))
        responder = Responder(index, settings.dns, forwarder=forwarder)
        data = dns.message.make_query("ext.testns.svc.cluster.local.", "A", id=7).to_wire()
        answer = responder.udp(data)
        assert isinstance(answer, asyncio.Future)
        observer = Observer(settings, metrics)
        observer("udp", [Exchange(data, await answer, V4)], 0.0004)
        forwarder.close()
    observer.flush()
    inner, outer = capsys.readouterr().out.splitlines()
    assert inner == '[INFO] 10.244.0.5:43210 - 7 "A IN www.example.test. udp 34 false 512" NOERROR qr,rd,ra 66 0.0002s'
    assert outer.startswith(
        '[INFO] 10.244.0.5:43210 - 7 "A IN ext.testns.svc.cluster.local. udp 46 false 512" NOERROR qr,aa,rd'
    )
    assert value(metrics.render(), "dns_requests_total", type="A") == 2


def test_json_lines(responder: Responder) -> None:
    (line,) = render_lines("udp", [exchange(responder, SVC1, "SRV")], 0.5, lines_of("all"), "json")
    found = json.loads(line)
    assert (found["type"], found["class"], found["name"], found["rcode"]) == ("SRV", "IN", SVC1, "NOERROR")
    assert (found["client"], found["port"], found["seconds"]) == ("10.244.0.5", 43210, 0.5)


@pytest.mark.parametrize(
    ("name", "qtype", "kind"),
    [
        (SVC1, "A", "success"),
        (SVC1, "AAAA", "denial"),
        ("nosuch.testns.svc.cluster.local.", "A", "denial"),
        ("www.example.test.", "A", "error"),
        ("cluster.local.", "SOA", "success"),
    ],
)
def test_classes(responder: Responder, name: str, qtype: str, kind: str) -> None:
    asked = exchange(responder, name, qtype)
    assert classify(asked.answer or b"") == kind
    for wanted in ("success", "denial", "error"):
        assert bool(list(render_lines("udp", [asked], 0, lines_of(wanted), "text"))) == (wanted == kind)


def test_only_what_can_be_read_is_logged(responder: Responder) -> None:
    written: list[str] = []
    log = QueryLog({".": Wanted(frozenset(["all"]))}, "text", written.append)
    log("udp", [Exchange(b"\0" * 11, None, V4), Exchange(b"\0" * 20, b"\0" * 12, V4)], 0.1)
    assert written == []
    log("udp", [exchange(responder, SVC1)] * 2, 0.1)
    assert len(written) == 1 and written[0].count("\n") == 2


@pytest.mark.parametrize("name", ["big", "multi", "hdls", "ext", "nosuch"])
@pytest.mark.parametrize("qtype", ["A", "SRV", "SOA"])
def test_uncompressed_sizes_agree_with_dnspython(responder: Responder, name: str, qtype: str) -> None:
    answer = responder.tcp(dns.message.make_query(f"{name}.testns.svc.cluster.local.", qtype).to_wire())
    assert isinstance(answer, bytes)
    message = dns.message.from_wire(answer)
    records = [*message.answer, *message.authority, *message.additional]
    expected = 12 + sum(len(r.name.to_wire()) + 4 for r in message.question)
    expected += sum(len(rrset.name.to_wire()) + 10 + len(rdata.to_wire()) for rrset in records for rdata in rrset)
    assert uncompressed_size(answer) == expected


@given(st.binary(min_size=12, max_size=80))
def test_nothing_in_an_answer_breaks_the_log(answer: bytes) -> None:
    query = dns.message.make_query(SVC1, "A").to_wire()
    for data in (query, answer):
        lines = list(render_lines("udp", [Exchange(data, answer, V4)], 0.1, lines_of("all"), "text"))
        assert len(lines) <= 1 and "\n" not in "".join(lines)


async def test_the_first_worker_adds_up_what_the_others_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after one of them died in the middle of an answer, and without one that says nothing."""
    pairs = [socket.socketpair() for _ in range(3)]
    links = Links([first for first, _ in pairs])

    def report() -> Report:
        metrics = Metrics()
        metrics.add("panics_total")
        return Report(metrics, {"open_fds": 3})

    answering = [asyncio.create_task(answer_link(other, report)) for _, other in pairs[:2]]
    try:
        pairs[0][1].send(b"half an answer of one that died")
        pairs[2][1].close()
        found = await links.collect()
        assert len(found) == 2, "the third has gone"
        assert merged(each.metrics for each in found).values["panics_total"][()] == 2
        answering.pop().cancel()
        monkeypatch.setattr(links_module, "ANSWER_SECONDS", 0.3)
        pairs[1][1].send((1).to_bytes(8, "big") + (4).to_bytes(4, "big") + b"late")
        assert len(await links.collect()) <= 1, "a late answer to another question is none"
    finally:
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        for sock in (end for pair in pairs for end in pair):
            sock.close()


async def test_the_api_is_measured() -> None:
    async def handler(request: Request) -> Response:
        return Response(200 if request.path == "/api" else 503, [], b"{}")

    metrics = Metrics()
    transport = MeasuredTransport(InProcessTransport(handler, Peer()), metrics)
    assert BearerTransport(HttpClient("http://10.96.0.1:443"), "token").authority == "10.96.0.1:443", "the host's label"
    for path in ("/api", "/api", "/other"):
        await transport(Request("GET", path))
    assert value(metrics.render(), "kubernetes_rest_client_requests_total", code="200", method="GET") == 2
    for name in ("request", "rate_limiter"):
        assert value(metrics.render(), f"kubernetes_rest_client_{name}_duration_seconds_count", verb="GET") == 3


@pytest.mark.parametrize(
    ("service", "changed", "counted"),
    [
        ("hdls", "2999-01-01T00:00:00.123456789Z", 1),
        ("hdls", "2001-01-01T00:00:00Z", 0),
        ("svc1", "2999-01-01T00:00:00Z", 0),
        ("hdls", "yesterday", 0),
    ],
)
def test_changes_of_headless_services_are_timed(service: str, changed: str, counted: int) -> None:
    metrics = Metrics()
    view = Slice((b"testns", service.encode()), (), ())
    ApiMetrics(metrics, fixture_index()).programmed(view, changed)
    name = "kubernetes_dns_programming_duration_seconds_count"
    assert value(metrics.render(), name, service_kind="headless_with_selector") == counted
