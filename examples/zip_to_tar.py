"""Turn a zip into a tar while it is read: ``python examples/zip_to_tar.py IN.zip OUT.tar.zst``.

Neither archive is ever in memory as a whole. The zip's central directory comes last: did it contradict what
was read by then, an error would say so, and the tar would be visibly cut.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from asyncbatch import EncodeMember, encode_archive, open_archive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncbatch.archive import Archive


async def members(archive: Archive) -> AsyncIterator[EncodeMember]:
    async for member in archive:
        if member.is_file:
            yield EncodeMember(member.name, member, size=member.size, mtime=member.mtime or 0)


async def main(source: str, target: str) -> None:
    # Its name is the format's extension: .tar, .tar.gz, .tar.lz4 or .tar.zst.
    form = "".join(Path(target).suffixes[-2:])
    async with open_archive(source) as archive, encode_archive(members(archive), format=form) as chunks:
        async with await anyio.open_file(target, "wb") as file:
            async for chunk in chunks:
                await file.write(chunk)
        for record in archive.directory or ():
            print(f"{record.name}: {record.size} bytes, {record.compressed_size} in the zip")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
