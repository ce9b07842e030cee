"""Other people's programs, as tests use them: by name, in a locale that knows UTF-8, or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["run_tool"]

# Debian's packages.
_PACKAGES: Final = {
    "tar": "tar",
    "bsdtar": "libarchive-tools",
    "zip": "zip",
    "unzip": "unzip",
    "7z": "7zip or p7zip-full",
}


def run_tool(tool: str, *arguments: str | Path, cwd: Path | None = None, stdin: bytes = b"") -> bytes:
    """Run a program, which has to succeed, and return its output; skip the test where it is missing."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed (Debian package {_PACKAGES[tool]})")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    command = [path, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd, env=environment)  # noqa: S603 - fixed tools
    assert done.returncode == 0, (done.stdout[-1000:] + done.stderr[-1000:]).decode(errors="replace")
    return done.stdout
