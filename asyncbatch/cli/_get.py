"""``asyncbatch get``: names in, batches over the wire, a folder or one archive out.

One pull from the end: the sink asks for the next item, the item for its batch, and the batch for its names.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..batch import BatchRequest
from ..errors import UsageError
from ._input import STDIN, read_names
from ._output import Output
from ._places import open_bucket, open_client
from ._sinks import check_file_name, write_archive, write_files
from ._tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ..batch import BatchMember
    from ._input import Wanted
    from ._places import Bucket, Client
    from ._run import Status

__all__ = ["GetOptions", "get"]


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
    as_json: bool


async def get(options: GetOptions) -> Status:
    """Fetch what is wanted; the status tells whether all of it was there."""
    _check(options)
    output = Output(as_json=options.as_json)
    tally = Tally(output)
    from_list = options.names_from or STDIN in options.names
    async with open_client(options.url, options.endpoint) as client:
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
    client: Client, bucket: Bucket, options: GetOptions, tally: Tally, advance: Callable[[int], None]
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
