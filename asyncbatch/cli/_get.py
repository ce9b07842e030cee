"""``asyncbatch get``: names in, batches over the wire, a folder or one archive out.

One pull from the end: the sink asks for the next item, the item for its batch, and the batch for its names.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..batch import BatchRequest
from ..errors import UsageError
from ._cluster import open_bucket, open_client
from ._input import STDIN, read_names
from ._output import Output, in_units
from ._run import Status, complain
from ._sinks import check_file_name, item_name, write_archive, write_files

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ..aistore import Bucket, Client
    from ..batch import BatchMember, ItemMetadata
    from ._input import Wanted

__all__ = ["GetOptions", "get"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GetOptions:
    """The options of the command, as they were typed."""

    bucket: str
    names: list[str]
    names_from: str
    endpoint: str
    output: str
    archive: str
    transfer_format: str
    strict: bool
    batch_size: int
    as_json: bool


@dataclass(slots=True)
class _Tally:
    """What came of the items."""

    output: Output
    started: float = field(default_factory=time.perf_counter)
    fetched: int = 0
    bytes: int = 0
    missing: int = 0
    failed: int = 0

    def add(self, item: ItemMetadata) -> None:
        self.output.record(
            name=item.name, archpath=item.archpath, size=item.size, missing=item.missing, error=item.error
        )
        if item.error is None:
            self.fetched += 1
            self.bytes += item.size
            return
        self.missing += item.missing
        self.failed += not item.missing
        if not self.output.as_json:
            complain(f"{'missing' if item.missing else 'failed'}: {item_name(item)}: {item.error}")

    def summary(self) -> str:
        seconds = time.perf_counter() - self.started
        lost = "".join(
            f", {count} {what}"
            for count, what in ((self.missing, "missing"), (self.failed, "failed"))
            if count
        )
        return f"{self.fetched} fetched ({in_units(self.bytes)}) in {seconds:.2f} s{lost}"

    def status(self) -> Status:
        if self.failed:
            return Status.FAILED
        return Status.MISSING if self.missing else Status.OK


async def get(options: GetOptions) -> Status:
    """Fetch what is wanted; the status tells whether all of it was there."""
    _check(options)
    output = Output(as_json=options.as_json)
    tally = _Tally(output)
    from_list = options.names_from or STDIN in options.names
    async with open_client(options.endpoint) as client:
        bucket = open_bucket(client, options.bucket)
        with output.progress("fetching", None if from_list else len(options.names)) as advance:
            async with aclosing(_fetch(client, bucket, options, tally, advance)) as items:
                if options.archive:
                    await write_archive(items, options.archive)
                else:
                    await write_files(items, options.output or ".")
    output.note(tally.summary())
    return tally.status()


def _check(options: GetOptions) -> None:
    if not (options.names or options.names_from):
        raise UsageError("no names: pass some, or --from FILE, or - to read them from standard input")
    if options.output and options.archive:
        raise UsageError("--output and --archive exclude each other: files in a folder, or one archive")
    if options.archive == STDIN and options.as_json:
        raise UsageError("--json and --archive - both want standard output: name a file for the archive")


async def _fetch(
    client: Client, bucket: Bucket, options: GetOptions, tally: _Tally, advance: Callable[[int], None]
) -> AsyncGenerator[BatchMember]:
    """Yield the items that are there, and count all."""
    async with aclosing(_batches(options)) as batches:
        async for wanted in batches:
            request = BatchRequest(output_format=options.transfer_format, continue_on_err=not options.strict)
            for name, archpath in wanted:
                request.add_object_request(bucket.object(name), archpath=archpath)
            async with client.get_batch(request) as batch, aclosing(batch.members()) as members:
                async for member in members:
                    if member.metadata.error is None:
                        yield member
                    tally.add(member.metadata)
                    advance(1)


async def _batches(options: GetOptions) -> AsyncGenerator[list[Wanted]]:
    """Yield names, as many as go into one request at a time."""
    gathered: list[Wanted] = []
    async with aclosing(read_names(options.names, options.names_from)) as names:
        async for wanted in names:
            if not options.archive:
                check_file_name(wanted)
            gathered.append(wanted)
            if len(gathered) == options.batch_size:
                yield gathered
                gathered = []
    if gathered:
        yield gathered
