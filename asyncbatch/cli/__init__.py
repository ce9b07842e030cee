"""The command ``asyncbatch``. Needs the extra ``cli``, and says so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        arguments: Those behind the command's name; None for the process's own.
    """
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
