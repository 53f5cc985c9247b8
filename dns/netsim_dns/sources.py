"""What of the cluster an answer is made from, told by the question alone."""

from __future__ import annotations

from . import names
from .index import Index, Touched
from .kept import VOLATILE
from .names import IN_ADDR_ARPA, IP6_ARPA, Labels
from .types import NS, Question


def made_from(question: Question, zone: Labels | None, index: Index) -> Touched | None:
    """What must stay as it is for the answer (but for the SOA's serial) to stay true; None: nothing can alter it.

    `question` is in lower case, and `zone` the zone it is in.
    """
    if zone is None:
        return None
    if zone in (IN_ADDR_ARPA, IP6_ARPA):
        address = names.parse_reverse(question.qname, zone)
        return (None, address) if address else VOLATILE if question.qtype == NS else None
    return _by_name(names.parse_name(question.qname, zone), question.qtype, index)


def _by_name(name: names.Name, qtype: int, index: Index) -> Touched | None:
    match name:
        case names.ServiceName(namespace, owner):
            service = index.services.get((namespace, owner))
            return VOLATILE if service and service.external is not None else (namespace, owner)
        case names.PodName(namespace, pod):
            return namespace, names.pod_address_text(pod)
        case names.NamespaceName(_, namespace):
            return namespace, b""
        case names.NsHost():
            return VOLATILE
        case names.Apex():
            return VOLATILE if qtype == NS else None
    return None
