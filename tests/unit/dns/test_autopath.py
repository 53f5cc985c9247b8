"""Search paths walked by the server, which knows from the client's address which pod asks."""

from __future__ import annotations

import asyncio

import dns.flags
import dns.message
import dns.rcode
import pytest

from netsim_dns.autopath import Autopath, AutopathConfig, parse_search
from netsim_dns.config import DnsConfig
from netsim_dns.forward.config import ForwardConfig, ForwardZone
from netsim_dns.forward.forwarder import Forwarder
from netsim_dns.index import build_index
from netsim_dns.responder import Responder
from netsim_dns.telemetry.metrics import Metrics

from .false_upstream import recorded, reply, upstream
from .test_records import namespace, service

POD = "10.244.0.7"
SOA = ". 60 IN SOA ns.test. h.test. 1 2 3 4 60"
IN_DEFAULT = ".default.svc.cluster.local."


def answer(query: dns.message.Message, proto: str) -> dns.message.Message | bytes | None:
    """Upstream there is www.example.test and nothing else."""
    asked = query.question[0].name.to_text()
    return recorded(query, proto) if asked == "www.example.test." else reply(query, rcode=3, authority=[SOA])


def pod(name: str, address: str) -> dict:
    status = {"phase": "Running", "podIP": address}
    return {"kind": "Pod", "metadata": {"namespace": "default", "name": name}, "status": status}


async def ask(
    name: str, qtype: str = "A", client: str = POD, config: AutopathConfig | None = None, **edns: object
) -> dns.message.Message:
    svc1 = {**service("svc1", {"clusterIPs": ["10.96.1.1"]}), "metadata": {"namespace": "testns", "name": "svc1"}}
    index = build_index([namespace("default"), namespace("testns"), svc1, pod("p", POD)], 7)
    async with upstream(answer) as server:
        forwarder = Forwarder(ForwardConfig((ForwardZone(upstreams=(server.address,)),)))
        responder = Responder(index, DnsConfig(pods="verified"), forwarder=forwarder)
        metrics = Metrics()
        config = config or AutopathConfig((".",), ("search.test",))
        autopath = Autopath(config, responder, responder, metrics, "dns://:53")
        query = dns.message.make_query(name, qtype, **edns)
        answers = [autopath(query.to_wire(), client, False) for _ in range(2)]
        made = [await each if isinstance(each, asyncio.Future) else each for each in answers]
        forwarder.close()
    assert made[1] is not None
    message = dns.message.from_wire(made[1])
    assert query.is_response(message) and message.question[0].to_text() == query.question[0].to_text()
    found = any(rrset.rdtype == 5 for rrset in message.answer)
    assert (metrics.values["autopath_success_total"] == {("dns://:53",): 2.0}) >= found
    return message


def shown(message: dns.message.Message) -> list[str]:
    return [rrset.to_text() for rrset in (*message.answer, *message.authority)]


async def test_a_later_domain_of_the_path_answers_with_an_alias() -> None:
    message = await ask(f"SVC1.testns{IN_DEFAULT}", use_edns=0)
    assert shown(message) == [
        f"SVC1.testns{IN_DEFAULT} 30 IN CNAME SVC1.testns.svc.cluster.local.",
        "SVC1.testns.svc.cluster.local. 30 IN A 10.96.1.1",
    ]
    assert dns.flags.to_text(message.flags) == "QR AA RD" and message.edns == 0


async def test_the_name_itself_is_tried_last_and_upstreams_answer_it() -> None:
    message = await ask(f"www.example.test{IN_DEFAULT}")
    name, target = f"www.example.test{IN_DEFAULT}", "www.example.test."
    assert shown(message) == [f"{name} 30 IN CNAME {target}", f"{target} 30 IN A 203.0.113.1"]
    assert "RA" in dns.flags.to_text(message.flags), "the upstream's flags"


async def test_a_denied_type_ends_the_search_as_it_does_the_clients() -> None:
    message = await ask(f"svc1.testns{IN_DEFAULT}", "AAAA")
    assert message.rcode() == dns.rcode.NOERROR and not message.answer
    assert shown(message)[0].startswith("cluster.local. 30 IN SOA")


@pytest.mark.parametrize(
    ("name", "client"),
    [
        ("nx.example.test" + IN_DEFAULT, POD),
        ("svc1.testns" + IN_DEFAULT, "10.244.0.8"),
        ("svc1.testns.testns.svc.cluster.local.", POD),
        ("svc1.testns.svc.svc.cluster.local.", POD),
        ("8.0.244.10.in-addr.arpa.", POD),
    ],
)
async def test_the_first_denial_stays_where_there_is_nothing_or_no_path(name: str, client: str) -> None:
    """Nothing found; no pod; not the first domain of the path; no name of the cluster."""
    message = await ask(name, client=client)
    assert message.rcode() == dns.rcode.NXDOMAIN and not message.answer
    assert message.authority[0].name.to_text() == ("." if "arpa" in name else "cluster.local.")


async def test_a_path_of_a_file_is_for_all_clients_but_not_for_all_zones() -> None:
    path = parse_search("search a.test\nnameserver 192.0.2.1\nsearch default.svc.cluster.local svc.cluster.local\n")
    assert path == ("default.svc.cluster.local", "svc.cluster.local") and parse_search("") == ()
    for zone, answers in (("cluster.local", 2), ("other.test", 0)):
        message = await ask(f"svc1.testns{IN_DEFAULT}", client="192.0.2.9", config=AutopathConfig((zone,), path, False))
        assert len(message.answer) == answers
