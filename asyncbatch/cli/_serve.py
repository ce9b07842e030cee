"""``asyncbatch serve``: a folder as an AIStore."""

from __future__ import annotations

import sys

from ._run import MissingExtraError, Status

__all__ = ["serve"]


async def serve(directory: str, *, host: str, port: int) -> Status:
    """Serve until SIGINT or SIGTERM."""
    try:
        from ..server import create_app  # noqa: PLC0415 - the server's libraries are an extra
        from ..server import serve as run_server  # noqa: PLC0415
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise MissingExtraError(
            f"the server needs {library}; install it: pip install 'asyncbatch[server]'"
        ) from error
    await run_server(
        create_app(directory),
        host=host,
        port=port,
        on_listening=_say_listening,
    )
    return Status.OK


def _say_listening(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
