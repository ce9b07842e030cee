"""GetBatch: many objects in one archive, streamed alone or behind metadata.

A batch is never held: its archive is made while it is sent, and the metadata, which comes first, from the
sizes alone. The archive ends where AIStore ends it when something is missing or wrong; it is cut, so that
nobody takes it for whole, where an object changes while it is read.
"""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from anyio.to_thread import run_sync
from starlette.responses import Response

from ..codecs import TarEncoder, ZipEncoder
from ..codecs._gzip import GzipCompressor
from ..codecs._lz4 import Lz4Compressor
from ._ahead import Ahead, nothing
from ._alteration import alteration_of
from ._encode import compressed, encode_member
from ._errors import ApiError, as_api_error
from ._getbatch import RangeError, parse_batch
from ._objects import open_source
from ._redirect import PROXY_ID, Tickets, is_redirected, redirect
from ._store import MissingError, NoSuchBucketError, NoSuchObjectError, StoreError, UpstreamError
from ._stream import CHUNK_SIZE, Body, CutError, StreamResponse, read_body, watching
from ._target import bucket_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from ..codecs._compress import Compressor
    from ..codecs._events import Buffer
    from ._alteration import Facts
    from ._getbatch import Batch, Entry
    from ._shards import Shards
    from ._source import Source
    from ._store import Store

__all__ = ["Batches", "expired"]

_MAX_REQUEST: Final = 64 << 20
_MISSING: Final = "__404__/"
_CONTENT_TYPES: Final = {
    ".tar": "application/x-tar",
    ".tgz": "application/gzip",
    ".tar.lz4": "application/x-lz4",
    ".zip": "application/zip",
}
_COMPRESSORS: Final[Mapping[str, Callable[[], Compressor]]] = {
    ".tgz": lambda: GzipCompressor(level=1),
    ".tar.lz4": Lz4Compressor,
}
_SURVEYED_PER_HOP: Final = 512

_logger: Final = logging.getLogger("asyncbatch.server")

if TYPE_CHECKING:
    Outcome: TypeAlias = int | str
    """Of an entry: its size, or why it is missing."""


class Batches:
    """The handlers for ``/v1/ml/moss``.

    Args:
        store: Where the objects are.
        shards: Opens files in them.
        redirects: Whether a request must have been redirected.
        max_soft_errors: How many missing entries a batch may have, or None for any number.
    """

    def __init__(self, store: Store, shards: Shards, *, redirects: bool, max_soft_errors: int | None) -> None:
        self._store = store
        self._shards = shards
        self._redirects = redirects
        self._max_soft_errors = max_soft_errors
        self._ahead = Ahead(store.read_ahead)
        self._tickets = Tickets()

    async def ask(self, request: Request) -> ASGIApp:
        """Check a request as a proxy does, and say where to send it."""
        bucket = bucket_of(request) if "bucket" in request.path_params else None
        batch = await run_sync(self._check, await read_body(request, _MAX_REQUEST), bucket)
        job, work = f"gbt-{secrets.token_urlsafe(7)[:9]}", f"{PROXY_ID[:7]}-{secrets.token_urlsafe(4)[:5]}"
        if not self._redirects:
            return await self._serve(request, batch, job, f"ais://{bucket or ''}")
        ticket = f"{bucket or batch.entries[0].bucket}/{job}/{work}/1"
        self._tickets.issue(ticket)
        return redirect(request, 307, f"{request.scope.get('root_path', '')}/v1/ml/moss/{quote(ticket)}")

    async def redeem(self, request: Request) -> ASGIApp:
        """Serve a request that was redirected."""
        if not is_redirected(request):
            raise ApiError(401, "direct target access denied")
        bucket = bucket_of(request)
        job, work, nat = (request.path_params[key] for key in ("job", "work", "nat"))
        if not self._tickets.redeem(f"{bucket}/{job}/{work}/{nat}"):
            raise expired(bucket, job, work)
        batch = await run_sync(parse_batch, await read_body(request, _MAX_REQUEST), bucket)
        return await self._serve(request, batch, job, f"ais://{bucket}")

    def _check(self, body: bytes, bucket: str | None) -> Batch:
        """Parse in a thread: for a million entries that takes seconds, which nobody else is to wait for."""
        batch = parse_batch(body, bucket)
        if bucket is not None:
            self._store.check_bucket(bucket)
        return batch

    async def _serve(self, request: Request, batch: Batch, job: str, where: str) -> ASGIApp:
        alteration = alteration_of(request.scope)
        batch = replace(batch, entries=alteration.entries(batch.entries))
        if batch.streaming:
            pieces = self._encode(replace(batch, entries=alteration.sent(batch.entries)))
            return StreamResponse(
                Body(_compress(pieces, batch.format)), headers={"Content-Type": _CONTENT_TYPES[batch.format]}
            )
        survey = self._survey(batch, f"x-get-batch[{job}]-{where}")
        promised: list[tuple[Entry, Outcome]] = []
        async with watching(request.receive) as gone:
            while some := await run_sync(list, islice(survey, _SURVEYED_PER_HOP)):
                promised += some
                if gone.done():
                    return Response()
        boundary = secrets.token_hex(30)
        metadata = _metadata(job, alteration.told(_facts(entry, outcome) for entry, outcome in promised))
        archive = _compress(self._encode_promised(batch, alteration.sent(promised)), batch.format)
        return StreamResponse(
            Body(_in_parts(boundary, job, metadata, archive)),
            headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
        )

    def _open(self, entry: Entry) -> Source:
        """Open what is asked for, to read it."""
        if entry.start == 0 and entry.length < 0:
            return self._open_part(entry, None)
        return self._open_part(entry, (entry.start, CHUNK_SIZE if entry.length < 0 else entry.length))

    def _look_at(self, entry: Entry) -> Source:
        """Open what is asked for, to know its size."""
        return self._open_part(entry, (0, 0))

    def _open_part(self, entry: Entry, part: tuple[int, int] | None) -> Source:
        if entry.provider != "ais":
            raise NoSuchBucketError(entry.bucket, entry.provider)
        if entry.missing:
            raise NoSuchObjectError(entry.bucket, entry.name, entry.archpath)
        return open_source(self._store, self._shards, entry.bucket, entry.name, entry.archpath, part=part)

    def _encode(self, batch: Batch) -> Generator[Buffer]:
        """Yield an archive that ends early, but well, where AIStore's would."""
        encoder = _open_encoder(batch)
        allowed = self._allowed(batch)
        with closing(self._ahead.open(self._open, batch.entries, _part)) as opening:
            for entry, opened in opening:
                try:
                    source = opened()
                except MissingError as error:
                    if allowed <= 0 and not _is_marked_anyhow(batch, entry):
                        _logger.info("%s: batch ends early: %s", entry.member, error)
                        break
                    allowed -= 1
                    yield encoder.encode(_MISSING + entry.member, b"")
                    continue
                except UpstreamError as error:
                    # Nothing is wrong with what was asked for: who asks again may be luckier.
                    raise CutError(str(error)) from error
                except (StoreError, OSError) as error:
                    _logger.warning("%s: batch ends early: %s", entry.member, error)
                    break
                with source:
                    try:
                        start, length = entry.cut(source.size)
                    except RangeError as error:
                        _logger.info("%s: batch ends early: %s", entry.member, error)
                        break
                    yield from encode_member(encoder, entry.member, source, start, length)
        yield encoder.finish()

    def _survey(self, batch: Batch, job: str) -> Generator[tuple[Entry, Outcome]]:
        """Yield each entry, and what will come of it.

        Raises:
            ApiError: if there is to be no archive at all.
        """
        allowed = self._allowed(batch)
        for entry, opened in self._ahead.open(self._look_at, batch.entries, nothing):
            try:
                with opened() as source:
                    _, length = entry.cut(source.size)
            except RangeError as error:
                raise ApiError(400, str(error), code="ErrRangeNotSatisfiable") from None
            except (StoreError, OSError) as error:
                answer = as_api_error(error)
                marked = _is_marked_anyhow(batch, entry)
                if not isinstance(error, MissingError) or not (batch.continue_on_error or marked):
                    raise answer from None
                if allowed <= 0 and not marked:
                    limit = self._max_soft_errors or 0
                    raise ApiError(
                        400, f"{job}: exceeded soft-errors limit: {limit + 1} (max: {limit})"
                    ) from None
                allowed -= 1
                yield entry, answer.message
            else:
                yield entry, length  # with nothing open: nobody closes a generator that a thread may be in

    def _encode_promised(self, batch: Batch, promised: list[tuple[Entry, Outcome]]) -> Generator[Buffer]:
        """Yield the archive that the metadata announced, or none."""
        encoder = _open_encoder(batch)
        found = (entry for entry, outcome in promised if isinstance(outcome, int))
        with closing(self._ahead.open(self._open, found, _part)) as opening:
            for entry, outcome in promised:
                if isinstance(outcome, str):
                    yield encoder.encode(_MISSING + entry.member, b"")
                    continue
                _, opened = next(opening)
                try:
                    source = opened()
                except (StoreError, OSError) as error:
                    raise CutError(f"what was there is no longer: {error}") from error
                with source:
                    start, length = entry.cut(source.size) if source.size >= entry.start else (0, -1)
                    if length != outcome:
                        raise CutError(f"{entry.member} changed its size")
                    yield from encode_member(encoder, entry.member, source, start, length)
        yield encoder.finish()

    def _allowed(self, batch: Batch) -> float:
        """Return how many entries may be missing."""
        if not batch.continue_on_error:
            return 0
        return float("inf") if self._max_soft_errors is None else self._max_soft_errors


def expired(bucket: str, job: str, work: str) -> ApiError:
    """Return the error that answers a redirect's second use, or one that comes too late."""
    message = f'x-get-batch[{job}]-ais://{bucket}: wid="{work}" (prep-rx not done?) does not exist'
    return ApiError(404, message, code="ErrNotFound")


def _is_marked_anyhow(batch: Batch, entry: Entry) -> bool:
    """Return whether an entry that is missing is marked although the batch is a strict one."""
    return entry.missing == "elsewhere" and not batch.continue_on_error


def _part(entry: Entry, size: int) -> tuple[int, int]:
    """Return what will be read of an entry, by its size: nothing where that is an error."""
    try:
        return entry.cut(size)
    except RangeError:
        return 0, 0


def _open_encoder(batch: Batch) -> TarEncoder | ZipEncoder:
    return ZipEncoder() if batch.format == ".zip" else TarEncoder()


def _compress(pieces: Generator[Buffer], archive: str) -> Generator[Buffer]:
    return compressed(pieces, _COMPRESSORS[archive]() if archive in _COMPRESSORS else None)


def _facts(entry: Entry, outcome: Outcome) -> Facts:
    """Return what the metadata say of an entry."""
    facts: Facts = {"objname": entry.name}
    if entry.archpath:
        facts["archpath"] = entry.archpath
    facts |= {"bucket": entry.bucket, "provider": entry.provider}
    if isinstance(outcome, str):
        facts["err_msg"] = outcome
    if entry.opaque:
        facts["opaque"] = entry.opaque
    facts["size"] = outcome if isinstance(outcome, int) else 0
    return facts


def _metadata(job: str, out: Iterable[Facts]) -> Iterator[bytes]:
    """Yield the JSON that says of each entry what its member is."""
    yield json.dumps({"uuid": job}, separators=(",", ":")).encode()[:-1] + b',"out":['
    before = ""
    for facts in out:
        yield (before + json.dumps(facts, ensure_ascii=False, separators=(",", ":"))).encode()
        before = ","
    yield b"]}\n"


def _in_parts(
    boundary: str, job: str, metadata: Iterator[bytes], archive: Generator[Buffer]
) -> Generator[Buffer]:
    yield f'--{boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n'.encode()
    yield from metadata
    yield (
        f"\r\n--{boundary}\r\n"
        f'Content-Disposition: form-data; name="archive"; filename="get-batch[{job}]"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    yield from archive
    yield f"\r\n--{boundary}--\r\n".encode()
