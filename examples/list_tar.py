"""List a tar without an event loop: ``python examples/list_tar.py FILE``.

The decoder does no I/O. Whatever brings bytes can feed it: a file, as here, a socket, a thread.
"""

from __future__ import annotations

import sys
from pathlib import Path

from asyncbatch.codecs import MemberStart, TarDecoder, WholeMember


def main(path: Path) -> None:
    decoder = TarDecoder()
    with path.open("rb") as file:
        while chunk := file.read(65_536):
            decoder.feed(chunk)
            for event in decoder:
                if isinstance(event, WholeMember | MemberStart):  # of the latter, the data would follow
                    print(f"{event.kind:9} {event.size:12} {event.name}")
    decoder.feed_eof()  # raises TruncatedArchiveError unless the tar is whole


if __name__ == "__main__":
    main(Path(sys.argv[1]))
