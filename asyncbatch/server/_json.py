"""JSON as Go's encoder writes it: no spaces, UTF-8, a newline at the end."""

from __future__ import annotations

import json

from starlette.responses import Response

__all__ = ["answer_json", "dump_json"]


def dump_json(value: object) -> bytes:
    """Return `value` as JSON; what is no UTF-8 in it becomes question marks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def answer_json(value: object) -> Response:
    """Return the answer that is `value`."""
    return Response(dump_json(value), media_type="application/json; charset=utf-8")
