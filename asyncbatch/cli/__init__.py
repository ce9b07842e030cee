"""The command ``asyncbatch``. Needs the extra ``cli``, and says so."""

from __future__ import annotations

import os
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_PATIENCE: Final = 2.0  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        arguments: Those behind the command's name; None for the process's own, which then is to end.
    """
    status = _main(arguments)
    if arguments is None:
        _leave(status)
    return status


def _leave(status: int) -> None:
    """See to it that the process ends, whatever its threads wait for: a store that does not answer, say."""

    def leave() -> None:
        time.sleep(_PATIENCE)
        os._exit(status)

    Thread(target=leave, daemon=True).start()


def _main(arguments: Sequence[str] | None) -> int:
    try:
        from ._app import run_app  # noqa: PLC0415 - typer and rich are an extra, which may not be there

        return run_app(arguments)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in {"typer", "rich"}:
            raise
        sys.stderr.write(
            f"asyncbatch: the command line needs {library}; install it: pip install 'asyncbatch[cli]'\n"
        )
        return 2
    except KeyboardInterrupt:  # before there was a command that could say so
        return 130
