"""What the server says of itself: a cluster of one proxy and one target that share an address."""

from __future__ import annotations

import re
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from ._errors import ApiError
from ._json import answer_json
from ._redirect import PROXY_ID, TARGET_ID, base_url

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Cluster"]

# AIStore's clients place objects by the xxhash64 (seed 1103515245) of the nodes' names.
_DIGESTS: Final = {PROXY_ID: 2926066873404537938, TARGET_ID: 1199444287679439263}
_HOST: Final = re.compile(r"https?://(.*?)(?::(\d+))?")


class Cluster:
    """The handlers for health and the cluster map."""

    def __init__(self) -> None:
        self._started = time.monotonic_ns()
        self._created = datetime.now(UTC)
        self._uuid = secrets.token_urlsafe(7)

    async def health(self, _request: Request) -> Response:
        """Answer that the server is up, and for how many nanoseconds."""
        uptime = str(time.monotonic_ns() - self._started)
        return Response(headers={"Ais-Cluster-Uptime": uptime, "Ais-Node-Uptime": uptime})

    async def daemon(self, request: Request) -> Response:
        """Answer with the cluster map."""
        what = request.query_params.get("what", "")
        if what != "smap":
            raise ApiError(501, f'what="{what}" is not supported by this server; "smap" is')
        url = base_url(request)
        proxy = _node(url, "proxy", PROXY_ID)
        return answer_json(
            {
                "pmap": {PROXY_ID: proxy},
                "proxy_si": proxy,
                "tmap": {TARGET_ID: _node(url, "target", TARGET_ID)},
                "uuid": self._uuid,
                "creation_time": f"{self._created:%Y-%m-%d %H:%M:%S}",
                "version": "1",
            }
        )


def _node(url: str, kind: str, name: str) -> dict[str, Any]:
    match = _HOST.fullmatch(url)
    host, port = match.groups("") if match else ("", "")
    net = {"node_ip_addr": host.strip("[]"), "daemon_port": port, "direct_url": url}
    return {
        "public_net": net,
        "intra_data_net": net,
        "intra_control_net": net,
        "daemon_type": kind,
        "daemon_id": name,
        "flags": 0,
        "id_digest": _DIGESTS[name],
    }
