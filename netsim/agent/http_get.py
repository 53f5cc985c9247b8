"""The one request that httpGet probes and hooks make."""

from __future__ import annotations

import asyncio
import ssl

from netsim.agent.model import Obj
from netsim.agent.probes import http_request, http_verdict


async def ask(fields: Obj, host: str, port: int) -> tuple[bool, str]:
    """Make the request of an HTTPGetAction: whether it succeeded, and what to tell if not. Raises OSError."""
    reader, writer = await asyncio.open_connection(host, port, ssl=_tls(fields))
    try:
        writer.write(http_request(fields, host, port))
        return http_verdict(await reader.readline())
    finally:
        writer.close()


def _tls(fields: Obj) -> ssl.SSLContext | None:
    """As in kubelet, certificates are not verified."""
    if str(fields.get("scheme") or "HTTP").upper() != "HTTPS":
        return None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
