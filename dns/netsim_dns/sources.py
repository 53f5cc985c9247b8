"""What of the cluster an answer is made from, told by the question alone."""

from __future__ import annotations

from . import names
from .context import Context
from .index import Touched
from .kept import VOLATILE


def made_from(context: Context) -> Touched | None:
    """What must stay as it is for the answer (but for the SOA's serial) to stay true; None: nothing can alter it."""
    index = context.index
    match context.subject:
        case bytes() as address:
            return VOLATILE if context.config.namespace_labels else (None, address)
        case names.ServiceName(namespace, owner):
            service = index.services.get((namespace, owner))
            return VOLATILE if service and service.external is not None else (namespace, owner)
        case names.PodName(namespace, pod):
            return namespace, names.pod_address_text(pod)
        case names.NamespaceName(_, namespace):
            return namespace, b""
        case names.NsHost() | names.Apex():
            return VOLATILE
    return None
