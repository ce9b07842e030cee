"""``asyncbatch serve``: a folder, or what an object store holds, as AIStore and as Tigris."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from ._run import MissingExtraError, Status

if TYPE_CHECKING:
    from ..tigris.wire import Credentials

__all__ = ["serve"]

# Not options: everybody on the machine sees a command's arguments.
_ACCESS_KEY_ID: Final = "ASYNCBATCH_ACCESS_KEY_ID"
_SECRET_ACCESS_KEY: Final = "ASYNCBATCH_SECRET_ACCESS_KEY"  # noqa: S105 - its name


async def serve(directory: str, *, host: str, port: int) -> Status:
    """Serve until SIGINT or SIGTERM; only what is signed, if the environment has credentials."""
    try:
        from ..server import create_app  # noqa: PLC0415 - the server's libraries are an extra
        from ..server import serve as run_server  # noqa: PLC0415
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise MissingExtraError(
            f"the server needs {library}; install it: pip install 'asyncbatch[server]'"
        ) from error
    await run_server(
        create_app(directory, credentials=_credentials()),
        host=host,
        port=port,
        on_listening=_say_listening,
    )
    return Status.OK


def _credentials() -> Credentials | None:
    key, secret = os.environ.get(_ACCESS_KEY_ID), os.environ.get(_SECRET_ACCESS_KEY)
    if key is None and secret is None:
        return None
    # One that is empty was meant to be there, and to serve everybody was not.
    if not key or not secret:
        raise UsageError(f"{_ACCESS_KEY_ID} and {_SECRET_ACCESS_KEY} go together: set both, or none of them")
    from ..tigris.wire import Credentials  # noqa: PLC0415 - of servers with credentials alone

    return Credentials(key, secret)


def _say_listening(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
