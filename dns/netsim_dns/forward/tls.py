"""TLS to upstreams (RFC 7858)."""

from __future__ import annotations

import ssl

from ..config import ConfigError
from .config import Tls


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A client's context that checks certificates; raises ConfigError naming the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.certificate:
            context.load_cert_chain(*tls.certificate)
    except OSError as failure:
        files = " ".join(filter(None, (tls.ca_file, *(tls.certificate or ()))))
        raise ConfigError(f"dns forward tls: {files}: {failure}; give readable PEM files") from failure
    return context
