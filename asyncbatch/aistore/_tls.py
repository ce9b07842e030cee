"""What the environment says about TLS, by the names that the official SDK has for it."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Final

import httpx

from ..errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ssl_context_of"]

_logger: Final = logging.getLogger("asyncbatch.aistore")

_TRUE: Final = frozenset({"1", "t", "true", "y", "yes", "on"})


def ssl_context_of(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    """Make the TLS settings that environment variables ask for; None if they ask for nothing.

    ``AIS_CLIENT_CA`` is a file or folder of certificates to trust, in place of the usual ones; ``AIS_CRT``
    and ``AIS_CRT_KEY`` are files of the client's own certificate and its key; ``AIS_SKIP_VERIFY_CRT=true``
    trusts whoever answers, as its older name ``AIS_SKIP_VERIFY`` does where it is not set.

    Raises:
        UsageError: if a file cannot be read, or is not what it should be.
    """
    authorities, certificate = environment.get("AIS_CLIENT_CA"), environment.get("AIS_CRT")
    skip = environment.get("AIS_SKIP_VERIFY_CRT", environment.get("AIS_SKIP_VERIFY", ""))
    skip_verify = skip.strip().lower() in _TRUE
    if not (authorities or certificate or skip_verify):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if authorities else httpx.create_ssl_context()
    what = f"AIS_CLIENT_CA={authorities}"
    try:
        if authorities:
            _trust(context, authorities)
        if certificate:
            key = environment.get("AIS_CRT_KEY") or None
            what = f"AIS_CRT={certificate}, AIS_CRT_KEY={key}"
            context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"{what}: {error}") from error
    if skip_verify:
        _logger.warning("AIS_SKIP_VERIFY_CRT: no certificate is verified, and whoever answers is trusted")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust(context: ssl.SSLContext, authorities: str) -> None:
    """Trust the certificates of a file, or of a folder as OpenSSL has them."""
    try:
        context.load_verify_locations(cafile=authorities)
    except IsADirectoryError:
        context.load_verify_locations(capath=authorities)
