"""Pages of object names, as JSON and as msgpack."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from ._errors import ApiError
from ._json import answer_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._store import ObjectInfo, Page, Store

__all__ = ["Listing", "answer_listing", "parse_listing"]

_MAX_PAGE: Final = 10_000
_IN_CLUSTER: Final = 1 << 6  # AIStore's flag of an entry that is here, and not in the cloud only
_FLAGS: Final = re.compile(r"[0-9]{0,20}")  # of 64 bits
# Flags of a request that change nothing where all objects are local, by their bit: cached, missing, deleted,
# name-only, name-size, bucket-present, don't-head-remote, don't-add-remote, no-dirs.
_HARMLESS: Final = sum(1 << bit for bit in (0, 1, 2, 4, 5, 6, 7, 8, 13))


@dataclass(frozen=True, slots=True)
class Listing:
    """A request for a page.

    Attributes:
        prefix: What the names begin with.
        after: The name behind which the page begins.
        limit: Of objects in it.
        props: Names of the properties that are asked for.
        uuid: Of the listing that the page belongs to.
    """

    prefix: str
    after: str
    limit: int
    props: frozenset[str]
    uuid: str

    def read(self, store: Store, bucket: str) -> Page:
        """Return the page. Blocks."""
        return store.list_objects(bucket, prefix=self.prefix, after=self.after, limit=self.limit)


def parse_listing(value: Mapping[str, Any]) -> Listing:
    """Parse the value of a `list` action.

    Raises:
        ApiError: 400 if it is none; 501 if it asks for what is not supported.
    """
    strings = {}
    for key in ("prefix", "continuation_token", "start_after", "props", "uuid", "flags"):
        strings[key] = value.get(key) or ""
        if not isinstance(strings[key], str):
            raise ApiError(400, f'"{key}" of a listing is a string')
    size = value.get("pagesize") or 0
    if type(size) is not int or size < 0:
        raise ApiError(400, '"pagesize" of a listing is a number')
    if _FLAGS.fullmatch(strings["flags"]) is None:
        raise ApiError(400, '"flags" of a listing is a number in a string')
    if unknown := int(strings["flags"] or "0") & ~_HARMLESS:
        raise ApiError(501, f"listing with flags {unknown} is not supported by this server")
    return Listing(
        prefix=strings["prefix"],
        after=strings["continuation_token"] or strings["start_after"],
        limit=min(size or _MAX_PAGE, _MAX_PAGE),
        props=frozenset(strings["props"].split(",")),
        # It is said back, and JSON can spell what UTF-8, and thus msgpack, cannot.
        uuid=strings["uuid"].encode(errors="ignore").decode() or secrets.token_urlsafe(7)[:9],
    )


def answer_listing(listing: Listing, page: Page, *, packed: bool) -> Response:
    """Return the answer with a page, as msgpack if `packed`."""
    # The token is the last name of the page: good for as long as anybody wants, and after any change.
    token = page.objects[-1].name if page.more else ""
    if packed:
        import msgpack  # noqa: PLC0415 - of the official SDK alone

        body = {
            "UUID": listing.uuid,
            "ContinuationToken": token,
            "Entries": [_packed_entry(info, listing.props) for info in page.objects],
            "Flags": 0,
        }
        return Response(msgpack.packb(body), media_type="application/msgpack")
    answer = {
        "uuid": listing.uuid,
        "continuation_token": token,
        "entries": [_entry(info, listing.props) for info in page.objects],
        "flags": 0,
    }
    return answer_json(answer)


def _entry(info: ObjectInfo, props: frozenset[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": info.name}
    if "atime" in props and info.atime is not None:
        entry["atime"] = _atime(info.atime)
    if info.size:  # Go's omitempty
        entry["size"] = str(info.size)
    return entry | {"flags": _IN_CLUSTER}


def _packed_entry(info: ObjectInfo, props: frozenset[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"n": info.name}
    if "atime" in props and info.atime is not None:
        entry["a"] = _atime(info.atime)
    if info.size:
        entry["s"] = info.size
    return entry | {"f": _IN_CLUSTER}


def _atime(seconds: float) -> str:
    """Return a time as Go's RFC 822."""
    return time.strftime("%d %b %y %H:%M UTC", time.gmtime(seconds))
