"""Bundles by the names that Tigris's own SDK has for them."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, Final

from .._closing import AsyncCloseable
from ..batch import BatchStream, make_request
from ..errors import FormatError, TruncatedArchiveError, UsageError
from ._source import BundleSource, trailers_of
from .wire import (
    BUNDLE_COMPRESSION_GZIP,
    BUNDLE_COMPRESSION_NONE,
    BUNDLE_COMPRESSION_ZSTD,
    BUNDLE_FORMAT_TAR,
    BUNDLE_ON_ERROR_FAIL,
    BUNDLE_ON_ERROR_SKIP,
    MAX_BUNDLE_KEYS,
    SkippedKey,
    parse_trailers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from ..batch import BatchItem, BatchMember, ItemMetadata
    from ._bucket import Bucket
    from ._client import Client
    from ._source import BundleAnswer
    from .wire import BundleCounts, Encoding

__all__ = ["BundleResponse", "RawBundle", "bundle_objects"]

_FORMATS: Final = {
    BUNDLE_COMPRESSION_NONE: ".tar",
    BUNDLE_COMPRESSION_GZIP: ".tar.gz",
    BUNDLE_COMPRESSION_ZSTD: ".tar.zst",
}


def bundle_objects(
    client: Client,
    bucket: Bucket | str,
    keys: Iterable[str],
    *,
    on_error: str = BUNDLE_ON_ERROR_SKIP,
    compression: str = BUNDLE_COMPRESSION_NONE,
    format: str = BUNDLE_FORMAT_TAR,  # noqa: A002 - the protocol's name for it
    encoding: Encoding = "json",
    allow_split: bool = False,
) -> BundleResponse:
    """Return a bundle of objects, to be read with ``async with`` and ``async for``.

    Args:
        client: Whom to ask.
        bucket: Where the objects are, a bucket or its name.
        keys: The objects' names, in order, as many as there are: long lists take several requests.
        on_error: What is done about keys that do not exist or may not be read: `BUNDLE_ON_ERROR_SKIP`, to
            have them as missing items, or `BUNDLE_ON_ERROR_FAIL`, to have none of the others either.
        compression: On the way: `BUNDLE_COMPRESSION_NONE`, `_GZIP` or `_ZSTD`.
        format: `BUNDLE_FORMAT_TAR`.
        encoding: Of the request: ``"json"``, or ``"xml"``, which cannot say every key.
        allow_split: Whether `BUNDLE_ON_ERROR_FAIL` may be asked of a list that takes several requests. Each
            of them fails by itself then, when others have been delivered.

    Raises:
        UsageError: if that could never work; nothing is sent then.
    """
    if format != BUNDLE_FORMAT_TAR:
        raise UsageError(f"format={format!r}: it is {BUNDLE_FORMAT_TAR!r}")
    if compression not in _FORMATS:
        raise UsageError(f"compression={compression!r}: it is one of {', '.join(map(repr, _FORMATS))}")
    if on_error not in {BUNDLE_ON_ERROR_SKIP, BUNDLE_ON_ERROR_FAIL}:
        raise UsageError(f"on_error={on_error!r}: it is 'skip' or 'fail'")
    if encoding not in {"json", "xml"}:
        raise UsageError(f"encoding={encoding!r}: it is 'json' or 'xml'")
    if isinstance(keys, str):
        raise UsageError(f"pass a list of keys, not one key; ask for [{keys!r}]")
    return BundleResponse(
        client,
        client.bucket(bucket) if isinstance(bucket, str) else bucket,
        list(keys),
        on_error=on_error,
        output_format=_FORMATS[compression],
        encoding=encoding,
        allow_split=allow_split,
    )


class BundleResponse(BatchStream):
    """A bundle of objects: a `BatchStream` that also knows what the server says of it.

    Made by `bundle_objects`. In fail mode, the ``async with`` raises `BundleError` for keys that do not
    exist.
    """

    def __init__(
        self,
        client: Client,
        bucket: Bucket,
        keys: Sequence[str],
        *,
        on_error: str,
        output_format: str,
        encoding: Encoding,
        allow_split: bool,
    ) -> None:
        if not keys:
            raise UsageError("the bundle is empty: ask for at least one key")
        skips = on_error == BUNDLE_ON_ERROR_SKIP
        for index, key in enumerate(keys):
            if not isinstance(key, str):
                raise UsageError(f"a key is a str, not {type(key).__name__}", index=index)
        request = make_request(keys, bucket, {"output_format": output_format, "continue_on_err": skips})
        self._counts: list[BundleCounts] = []  # of each request that was answered to its end
        self._reasons: defaultdict[str, deque[str | None]] = defaultdict(deque)
        self._skipped: list[str] = []  # keys of items with an error
        self._is_raw = False  # whether the archive itself was asked for
        self._raw: BundleCounts | None = None  # of that, behind its end
        # ruff: noqa: SLF001 - the client's own way to make one
        self._bundles = BundleSource(
            client._connection, client._shards, on_error=on_error, encoding=encoding, record=self._record
        )
        super().__init__(
            self._bundles,
            request,
            limits=client._limits,
            retry=client._retry,
            max_resumes=client._max_resumes,
        )
        self._is_split = self._bundles.reach(request, 0) < len(keys)
        if self._is_split and not skips and not allow_split:
            raise UsageError(
                f"{len(keys)} keys take several requests, of at most {MAX_BUNDLE_KEYS} each and 5 MB, which "
                "fail one by one: pass allow_split=True if that will do"
            )

    def _record(self, skipped: Sequence[SkippedKey], counts: BundleCounts) -> None:
        self._counts.append(counts)
        for key, reason in skipped:
            self._reasons[key].append(reason)

    # -- what the server says -----------------------------------------------------------------------------

    @property
    def object_count(self) -> int | None:
        """Objects in the bundle; None before its end, and where the connection brings no trailers."""
        if self._raw is not None:
            return self._raw.objects
        return self.stats.items - len(self._skipped) if self._is_told else None

    @property
    def bundle_bytes(self) -> int | None:
        """Their data; None before the end, and where the connection brings no trailers."""
        if self._raw is not None:
            return self._raw.bytes
        return self.stats.bytes if self._is_told else None

    @property
    def skipped_count(self) -> int | None:
        """Keys that are not in it; None before its end, and where the connection brings no trailers."""
        if self._raw is not None:
            return self._raw.skipped
        return len(self._skipped) if self._is_told else None

    @property
    def _is_told(self) -> bool:
        # They were held against what came, and agree. What a request brought that broke off was counted here.
        complete = self._state == "complete"
        return complete and bool(self._counts) and all(counts.is_whole for counts in self._counts)

    @property
    def skipped(self) -> list[SkippedKey]:
        """The keys that have come as missing so far, and why: the server gives its reasons at the end.

        Where it broke off before that, the reason is None. Of the archive itself (`aiter_raw`) nothing is
        known.
        """
        reasons = {key: iter(found) for key, found in self._reasons.items()}
        return [SkippedKey(key, next(reasons.get(key, iter(())), None)) for key in self._skipped]

    # -- reading ------------------------------------------------------------------------------------------

    async def __anext__(self) -> BatchItem:
        self._check_items()
        item = await super().__anext__()
        self._note(item.metadata)
        return item

    async def _next_member(self) -> BatchMember:
        self._check_items()
        member = await super()._next_member()
        self._note(member.metadata)
        return member

    def _note(self, metadata: ItemMetadata) -> None:
        if metadata.error is not None:
            self._skipped.append(metadata.name)

    def _check_items(self) -> None:
        if self._is_raw:
            raise UsageError("the archive of this bundle was asked for itself; ask for another bundle")

    def aiter_raw(self) -> RawBundle:
        """Return the archive itself, compressed as it was asked for, as an async iterator of bytes.

        It is not looked into, and not asked for again where it breaks off; only the trailers are held against
        the list of keys.

        Raises:
            UsageError: if the list takes several requests.
        """
        if self._is_split:
            raise UsageError("these keys take several requests, and come as several archives: ask for fewer")
        return RawBundle(self)

    async def _open_raw(self) -> BundleAnswer:
        if self._is_raw or self._pairing.delivered or self._state not in {"new", "open"}:
            raise UsageError(f"this bundle is {self._state}, or was read already; ask for another one")
        self._is_raw = True
        await self.__aenter__()
        assert self._bundles.answer is not None  # noqa: S101 - for the type checker: it was just opened
        return self._bundles.answer

    def _end_raw(self, answer: BundleAnswer, *, is_empty: bool) -> None:
        """Take down what came behind the archive.

        Raises:
            TruncatedArchiveError: if that does not account for all keys, or nothing came before it.
            FormatError: if it accounts for more.
        """
        if is_empty:
            raise TruncatedArchiveError("nothing came, and no archive is empty,", codec="tigris", offset=0)
        self._raw = counts = parse_trailers(trailers_of(answer.response))
        if counts.objects is None or counts.skipped is None:
            return
        told, asked = counts.objects + counts.skipped, len(self._request)
        if told != asked:
            raise (TruncatedArchiveError if told < asked else FormatError)(
                f"{asked} keys were asked for, and the bundle's trailers account for {told},",
                codec="tigris",
                offset=0,
            )


class RawBundle(AsyncCloseable):
    """The archive of a bundle, as it arrives. Made by `BundleResponse.aiter_raw`.

    Raises (while iterating):
        BundleError: if the bundle is refused.
        RemoteError, TransportError: as the server and the network have it.
        TruncatedArchiveError, FormatError: at the end, if nothing came, or not what the trailers tell.
    """

    def __init__(self, bundle: BundleResponse) -> None:
        self._is_empty = True
        self._bundle = bundle
        self._answer: BundleAnswer | None = None
        self._state = "open"  # while a chunk is awaited "being read", and at last "closed"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._state == "being read":
            raise UsageError("this archive is being read by another task already; it has one consumer")
        if self._state == "closed":
            raise StopAsyncIteration
        self._state = "being read"
        try:
            if self._answer is None:
                self._answer = await self._bundle._open_raw()
            chunk = bytes(await self._answer.chunks.__anext__())
            self._is_empty = self._is_empty and not chunk
            return chunk  # noqa: TRY300 - the handlers are of what is awaited
        except StopAsyncIteration:
            await self.aclose()
            assert self._answer is not None  # noqa: S101 - for the type checker: it has ended
            self._bundle._end_raw(self._answer, is_empty=self._is_empty)
            raise
        except UsageError:  # of who reads the bundle otherwise, and goes on
            self._state = "closed"
            raise
        except BaseException:  # cancellation too: nobody can go on behind half an archive
            await self.aclose()
            raise
        finally:
            if self._state == "being read":
                self._state = "open"

    async def aclose(self) -> None:
        """Close the bundle."""
        self._state = "closed"
        await self._bundle.aclose()
