"""A question on its way to an answer: all that decides it."""

from __future__ import annotations

from dataclasses import dataclass

from . import names
from .config import DnsConfig
from .index import Index
from .names import Labels
from .types import PTR, Question


@dataclass(slots=True)
class Context:
    """One question on its way: the zone it fell into, as configured and as the client spelled it; what its name means
    there: an address for PTR of a reverse name."""

    question: Question
    index: Index
    config: DnsConfig
    zone: Labels
    spelled: Labels
    subject: names.Name | bytes

    def for_name(self, qname: Labels) -> Context:
        """The same question for another name under the same zone."""
        return make_context(self.question._replace(qname=qname), self.index, self.config, self.zone)


def make_context(question: Question, index: Index, config: DnsConfig, zone: Labels) -> Context:
    """A question that fell into `zone`."""
    qname = question.qname
    address = names.parse_reverse(qname, zone) if question.qtype == PTR else None
    subject = names.parse_name(qname, zone) if address is None else address
    return Context(question, index, config, zone, qname[len(qname) - len(zone) :], subject)
