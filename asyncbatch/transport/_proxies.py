"""Proxies that the environment names. httpx looks for them only where the transport is its own."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.request import getproxies

import httpx

if TYPE_CHECKING:
    import ssl

__all__ = ["proxy_mounts"]


def proxy_mounts(
    limits: httpx.Limits, *, verify: ssl.SSLContext | bool = True
) -> dict[str, httpx.AsyncBaseTransport | None]:
    """Return mounts for `httpx.AsyncClient` that send through the environment's proxies.

    ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` count, and what macOS and Windows set.
    What is not to pass through a proxy is left to the client's ``transport``.

    Args:
        limits: For each of them: how many connections there may be.
        verify: Whether to verify certificates, or how, as httpx takes it.

    Raises:
        ValueError, ImportError: as httpx does for a proxy that it cannot use.
    """
    return {
        pattern: None
        if proxy is None
        else httpx.AsyncHTTPTransport(proxy=proxy, limits=limits, verify=verify)
        for pattern, proxy in environment_proxies().items()
    }


def environment_proxies() -> dict[str, str | None]:
    """Return the proxy for each pattern of URLs, None where there is to be none."""
    found = getproxies()
    exempt = [host.strip() for host in found.get("no", "").split(",")]
    if "*" in exempt:
        return {}
    proxies: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        if url := found.get(scheme):
            proxies[f"{scheme}://"] = url if "://" in url else f"http://{url}"
    return proxies | {_pattern(host): None for host in exempt if host}


def _pattern(host: str) -> str:
    """Return httpx's pattern for what ``NO_PROXY`` names: a host, and the hosts below it."""
    if "://" in host:
        return host
    try:
        version = ip_address(host.partition("/")[0]).version
    except ValueError:
        return f"all://{host}" if host.lower() == "localhost" else f"all://*{host}"
    return f"all://{host}" if version == 4 else f"all://[{host}]"
