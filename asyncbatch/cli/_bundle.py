"""``asyncbatch bundle``: keys in, a bundle of Tigris over the wire, a folder or the archive itself out."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UsageError
from ._input import STDIN, check_transfer, read_names
from ._output import Output
from ._places import open_bucket
from ._run import Status, complain
from ._sinks import check_file_name, write_chunks, write_files
from ._tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ..batch import BatchMember
    from ..tigris import BundleResponse

__all__ = ["BundleOptions", "bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """The options of the command, as they were typed."""

    url: str
    bucket: str
    names: list[str]
    names_from: str
    endpoint: str
    output: str
    archive: str
    compression: str
    on_error: str
    as_json: bool


async def bundle(options: BundleOptions) -> Status:
    """Fetch what is wanted; the status tells whether all of it was there."""
    from ..tigris import Client, bundle_objects  # noqa: PLC0415 - of this command alone

    check_transfer(options, what="keys")
    scheme, mark, name = options.url.partition("://")
    if mark and scheme != "t3":
        raise UsageError(f"{options.url!r}: a bundle comes from Tigris; its buckets are like t3://bucket")
    bucket = (name if mark else options.url).removesuffix("/")
    output = Output(as_json=options.as_json)
    keys = [key async for key in _read_keys(options)]
    async with Client(options.endpoint or None, bucket=bucket or None) as client:
        response = bundle_objects(
            client,
            open_bucket(client, options.bucket).name,
            keys,
            compression=options.compression,
            on_error=options.on_error,
        )
        async with response:
            if options.archive:
                return await _save(response, options.archive, output)
            return await _unpack(response, len(keys), options.output or ".", output)


async def _read_keys(options: BundleOptions) -> AsyncGenerator[str]:
    async with aclosing(read_names(options.names, options.names_from)) as names:
        async for wanted in names:
            if wanted.archpath is not None:
                raise UsageError(
                    f"{wanted.name}: a bundle has whole objects; asyncbatch get has files in them"
                )
            if not options.archive:
                check_file_name(wanted)
            yield wanted.name


async def _save(response: BundleResponse, path: str, output: Output) -> Status:
    """Write the archive as it comes."""
    async with aclosing(response.aiter_raw()) as chunks:
        await write_chunks(chunks, path)
    output.record(objects=response.object_count, bytes=response.bundle_bytes, skipped=response.skipped_count)
    count = response.object_count
    # Without trailers, whether all of it is there is known to nobody who has not looked into the archive.
    told = "no trailers came that count it" if count is None else f"{count} object{'s' if count != 1 else ''}"
    output.note(f"{path if path != STDIN else 'bundle'}: {told}")
    if response.skipped_count:
        complain(
            f"missing: {response.skipped_count} of the keys; __bundle_errors.json in the archive has them"
        )
        return Status.MISSING
    return Status.OK


async def _unpack(response: BundleResponse, count: int, folder: str, output: Output) -> Status:
    """Write the objects as files."""
    tally = Tally(output)
    with output.progress("fetching", count) as advance:
        async with aclosing(_members(response, tally, advance)) as items:
            await write_files(items, folder)
    for key, reason in response.skipped:
        output.record(skipped=key, reason=reason)
        output.note(f"skipped {key}: {reason or 'no reason was told'}")
    output.note(tally.summary())
    return tally.status()


async def _members(
    response: BundleResponse, tally: Tally, advance: Callable[[int], None]
) -> AsyncGenerator[BatchMember]:
    """Yield the items that are there, and count all."""
    async with aclosing(response.members()) as members:
        async for member in members:
            if member.metadata.error is None:
                yield member
            tally.add(member.metadata)
            advance(1)
