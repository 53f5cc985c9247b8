"""What a question is answered with: a pure function of question, index and settings.

Behaviour follows the Kubernetes DNS specification 1.1.0 and, where that is silent, CoreDNS's kubernetes plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import names
from .candidates import Candidate, candidates, has_endpoints, name_servers, relative
from .config import TTL_MAX, DnsConfig
from .context import Context
from .denials import denied, empty, parent, soa, soa_ttl
from .names import Labels, ServiceName
from .records import NO_PORT, Key
from .types import (
    AAAA,
    AXFR,
    CNAME,
    HINFO,
    IXFR,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    REFUSED,
    SERVFAIL,
    SOA,
    SRV,
    TXT,
    A,
    Answer,
    Question,
    Record,
)
from .zones import find_zone, in_cluster, overlap

SCHEMA_VERSION = b"1.1.0"
SCHEMA_TTL = 28800
OBSOLETE_TTL = 8482
CNAME_CHAIN_MAX = 11
LEFT = Answer(SERVFAIL, authoritative=False, elsewhere=True)


def outside(config: DnsConfig) -> Answer:
    """For a name in no zone."""
    return LEFT if config.catch_all else LEFT._replace(rcode=REFUSED)


def obsolete(question: Question) -> Answer:
    """For ANY, in the words of CoreDNS's plugin: `ANY obsoleted`, `See RFC 8482` (section 4.2 there)."""
    words = (b"ANY obsoleted", b"See RFC 8482")
    record = Record(question.qname, HINFO, prefix=b"".join(bytes([len(word)]) + word for word in words))
    return Answer(NOERROR, authoritative=False, answer=(record,), ttl=OBSOLETE_TTL)


def answer_context(context: Context, local: frozenset[bytes]) -> Answer:
    """The answer to a question that fell into a zone."""
    if context.question.qtype in (AXFR, IXFR):
        return Answer(REFUSED, authoritative=False)
    found = _in_zone(context, local)
    return _fall_through(context, found) if found.rcode == NXDOMAIN else found


def _fall_through(context: Context, denial: Answer) -> Answer:
    """A denial becomes SERVFAIL where it cannot be known: before the first sync, and beyond the cluster's addresses.

    An upstream is asked for either kind of reverse name, and for others if they may fall through, as CoreDNS does.
    """
    if not context.index.synced:
        return denial._replace(rcode=SERVFAIL)
    config = context.config
    if not config.fallthrough or not overlap(context.zone, config.fallthrough_zones):
        return denial
    if find_zone(names.lower(context.question.qname), config.fallthrough_zones) is None:
        return denial
    address = names.parse_reverse(context.question.qname, context.zone)
    if address is not None and in_cluster(address, context.config.cluster_cidrs):
        return denial._replace(elsewhere=True)
    return LEFT


def _in_zone(context: Context, local: frozenset[bytes]) -> Answer:
    match context.subject:
        case bytes() as address:
            return _pointers(context, address)
        case ServiceName() as name:
            return _service(context, name, local)
        case names.PodName(namespace, pod):
            return _addressed(context, _pod(context, namespace, pod))
        case names.Apex():
            return _apex(context, local)
        case names.NsHost():
            return _ns_host(context, local)
        case name:
            return _version(context) if name == names.DNS_VERSION else parent(context, _exists(context, name))


def _exists(context: Context, name: names.Name) -> bool:
    """Has a name above Services and pods anything below it?"""
    if isinstance(name, names.NamespaceName):
        served = name.branch == b"svc" or context.config.pods != "disabled"
        return served and name.namespace in context.index.namespaces
    return isinstance(name, names.Branch)


# The zone's own names


def _apex(context: Context, local: frozenset[bytes]) -> Answer:
    if context.question.qtype == SOA:
        return Answer(NOERROR, answer=(soa(context),), ttl=soa_ttl(context, denial=False))
    if context.question.qtype == NS and _spelled_well(context):
        hosts = name_servers(context.index, local)
        if hosts:
            targets = dict.fromkeys(host.target for host in hosts)
            records = tuple(Record(context.question.qname, NS, names=(target + context.zone,)) for target in targets)
            return _positive(context, records, _addresses(context.zone, hosts))
    return parent(context, True)


def _spelled_well(context: Context) -> bool:
    return context.spelled == context.zone or not context.config.quirks.ns_needs_lower_case


def _ns_host(context: Context, local: frozenset[bytes]) -> Answer:
    if context.question.qtype in (TXT, PTR) or not _spelled_well(context):
        return denied(context)
    hosts = name_servers(context.index, local) if context.question.qtype != SRV else []
    return _addressed(context, hosts) if hosts else empty(context)


def _version(context: Context) -> Answer:
    if context.question.qtype != TXT:
        return denied(context)
    text = bytes([len(SCHEMA_VERSION)]) + SCHEMA_VERSION
    ttl = context.config.through_cache(min(SCHEMA_TTL, TTL_MAX)) if context.config.cache_ttl else SCHEMA_TTL
    return Answer(NOERROR, answer=(Record(context.question.qname, TXT, prefix=text),), ttl=ttl)


# Services, endpoints, pods


def _pod(context: Context, namespace: bytes, pod: bytes) -> list[Candidate]:
    if context.config.pods == "disabled" or namespace not in context.index.namespaces:
        return []
    if context.config.pods == "verified" and (namespace, names.pod_address_text(pod)) not in context.index.by_pod_ip:
        return []
    address = names.parse_pod_address(pod)
    return [Candidate((pod, namespace, b"pod"), address, 0)] if address is not None else []


def _service(context: Context, name: ServiceName, local: frozenset[bytes]) -> Answer:
    key, index = (name.namespace, name.service), context.index
    service = index.services.get(key)
    if service is None or name.namespace not in index.namespaces:
        return denied(context)
    if service.external is not None:
        return _external(context, service.external, local) if name.bare else denied(context)
    if context.config.ignore_empty and not service.headless and not has_endpoints(index, key):
        return denied(context)
    return _addressed(context, candidates(index, service, name))


def _addressed(context: Context, found: Sequence[Candidate]) -> Answer:
    """Answer for a name that stands for addresses; which it has decides the type, whether it has any the existence."""
    if not found:
        return denied(context)
    qname, qtype = context.question.qname, context.question.qtype
    if qtype in (A, AAAA):
        size = 4 if qtype == A else 16
        unique = dict.fromkeys(c.address for c in found if len(c.address) == size)
        records = tuple(Record(qname, qtype, prefix=address) for address in unique)
        return _positive(context, records) if records else empty(context)
    return _srv(context, found) if qtype == SRV else empty(context)


def _srv(context: Context, found: Sequence[Candidate]) -> Answer:
    """One record per (target, port), RFC 2782; the weight counts candidates before they are made unique."""
    weight = max(1, 100 // len(found))
    with_port = [c for c in found if c.port != NO_PORT.number]
    unique = dict.fromkeys((c.target, c.port) for c in with_port)
    records = tuple(
        Record(
            context.question.qname,
            SRV,
            prefix=b"\0\0" + weight.to_bytes(2, "big") + port.to_bytes(2, "big"),
            names=(target + context.spelled,),
            compress=False,
        )
        for target, port in unique
    )
    return _positive(context, records, _addresses(context.spelled, with_port)) if records else empty(context)


def _addresses(zone: Labels, found: Iterable[Candidate]) -> tuple[Record, ...]:
    unique = dict.fromkeys((c.target, c.address) for c in found)
    return tuple(Record(target + zone, A if len(address) == 4 else AAAA, prefix=address) for target, address in unique)


def _positive(context: Context, records: tuple[Record, ...], additional: tuple[Record, ...] = ()) -> Answer:
    return Answer(NOERROR, answer=records, additional=additional, ttl=context.config.effective_ttl)


# Aliases and pointers


def _external(context: Context, target: Labels, local: frozenset[bytes]) -> Answer:
    """CNAME of an ExternalName Service, with the target's addresses if the target is in the zone and has some."""
    question = context.question
    alias = Record(question.qname, CNAME, names=(target,))
    if question.qtype == CNAME:
        return _positive(context, (alias,))
    if question.qtype not in (A, AAAA):
        return empty(context)
    chain, current = [alias], target
    while names.under(names.lower(current), context.zone):
        inner = context.for_name(current)
        following = _alias_of(inner)
        if following is None:
            found = _in_zone(inner, local)
            return _positive(context, (*chain, *found.answer)) if found.answer else empty(context)
        if len(chain) >= CNAME_CHAIN_MAX:
            return empty(context)
        chain.append(Record(current, CNAME, names=(following,)))
        current = following
    return _positive(context, tuple(chain))._replace(follow=current)


def _alias_of(context: Context) -> Labels | None:
    name = context.subject
    if not isinstance(name, ServiceName) or not name.bare or name.namespace not in context.index.namespaces:
        return None
    service = context.index.services.get((name.namespace, name.service))
    return service.external if service else None


def _shown(context: Context, key: Key) -> bool:
    """Is what is in this namespace told of by its address? Whether there is such a namespace makes no difference."""
    return not context.config.namespace_labels or key[0] in context.index.namespaces


def _pointers(context: Context, address: bytes) -> Answer:
    """PTR of a cluster IP (one), else of every endpoint that has the address."""
    index = context.index
    services = [key for key in index.by_cluster_ip.get(address, ()) if _shown(context, key)]
    if services:
        targets: list[Labels] = [relative(services[0])]
    else:
        owners = dict.fromkeys(index.by_endpoint_ip.get(address, ()))
        targets = [(endpoint, *relative(key)) for key, endpoint in owners if _shown(context, key)]
    if not targets:
        return denied(context)
    zone = names.lower(names.labels_of(context.config.zone))
    return _positive(context, tuple(Record(context.question.qname, PTR, names=(t + zone,)) for t in targets))
