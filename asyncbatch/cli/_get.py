"""``asyncbatch get``: names in, batches over the wire, a folder or one archive out.

The loader receives several batches at once; the sink asks for the next item, and so for the next names.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..batch import BatchRequest
from ..errors import LimitExceededError
from ..limits import Limits
from ._input import STDIN, check_transfer, read_names
from ._output import Output
from ._places import open_bucket, open_client
from ._sinks import check_file_name, write_archive, write_files
from ._tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from ..batch import BatchItem
    from ..loader import BatchLoader, LoadedBatch
    from ._places import Bucket, Client
    from ._run import Status
    from ._sinks import Item

__all__ = ["GetOptions", "get"]

# Bytes of an object up to which it is held whole; larger ones are written as they come, one at a time.
_MAX_HELD: Final = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOptions:
    """The options of the command, as they were typed."""

    url: str
    bucket: str
    names: list[str]
    names_from: str
    endpoint: str
    output: str
    archive: str
    transfer_format: str
    strict: bool
    batch_size: int
    concurrency: int
    memory: str
    as_json: bool


class _Loaded:
    """An item that is held whole, for sinks that take items in chunks as well."""

    def __init__(self, item: BatchItem) -> None:
        self.metadata, self._data = item

    async def read(self) -> bytes:
        return self._data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


async def get(options: GetOptions) -> Status:
    """Fetch what is wanted; the status tells whether all of it was there."""
    check_transfer(options, what="names")
    output = Output(as_json=options.as_json)
    tally = Tally(output)
    from_list = options.names_from or STDIN in options.names
    limits = Limits(max_item_size=_MAX_HELD)
    async with (
        open_client(options.url, options.endpoint, limits=limits) as client,
        client.batch_loader(max_concurrency=options.concurrency, max_memory=options.memory) as loader,
    ):
        bucket = open_bucket(client, options.bucket)
        total = None if from_list else len(options.names)
        with output.progress("fetching", total, status=lambda: tally.live(loader.statistics())) as advance:
            async with aclosing(_fetch(client, loader, bucket, options, tally, advance)) as items:
                if options.archive:
                    await write_archive(items, options.archive)
                else:
                    await write_files(items, options.output or ".")
    output.note(tally.summary())
    return tally.status()


async def _fetch(
    client: Client,
    loader: BatchLoader,
    bucket: Bucket,
    options: GetOptions,
    tally: Tally,
    advance: Callable[[int], None],
) -> AsyncGenerator[Item]:
    """Yield the items that are there, and count all."""
    async with loader.get_batches(_requests(bucket, options)) as batches:
        async for batch in batches:
            async with aclosing(_items(client, batch)) as items:
                async for item in items:
                    if item.metadata.error is None:
                        yield item
                    tally.add(item.metadata)
                    advance(1)


async def _items(client: Client, batch: LoadedBatch) -> AsyncGenerator[Item]:
    """Yield the items of a batch; from one on that is too large to be held, in chunks."""
    received = 0
    try:
        async for loaded in batch:
            received += 1
            yield _Loaded(loaded)
    except LimitExceededError:
        pass  # another limit is met again
    else:
        return
    rest = batch.request.with_entries(batch.request.entries[received:])
    async with client.get_batch(rest) as stream, aclosing(stream.members()) as members:
        async for member in members:
            yield member


async def _requests(bucket: Bucket, options: GetOptions) -> AsyncGenerator[BatchRequest]:
    """Yield what goes into one request at a time."""
    made = _request(options)
    async with aclosing(read_names(options.names, options.names_from)) as names:
        async for wanted in names:
            if not options.archive:
                check_file_name(wanted)
            made.add_object_request(bucket.object(wanted.name), archpath=wanted.archpath)
            if len(made) == options.batch_size:
                yield made
                made = _request(options)
    if len(made):
        yield made


def _request(options: GetOptions) -> BatchRequest:
    return BatchRequest(output_format=options.transfer_format, continue_on_err=not options.strict)
