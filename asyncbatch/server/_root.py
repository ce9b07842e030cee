"""What is served: a folder, a URL of an object store, or a store that somebody made."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from ..errors import UsageError
from ._folder import FolderStore

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

    from ._store import Store

__all__ = ["open_root"]

# Somebody waits for the answer: obstore's own ten attempts in three minutes are for programs that do not.
_RETRIES: Final[RetryConfig] = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def open_root(root: str | os.PathLike[str] | ObjectStore) -> Store:
    """Return the store at a path or a URL, or behind a store of obstore.

    Files are read by the server itself, which is faster and writes them atomically; all else by obstore.

    Raises:
        UsageError: if there is no such folder, no such scheme, or obstore is not installed.
    """
    if isinstance(root, os.PathLike) or (isinstance(root, str) and "://" not in root):
        return FolderStore(root)
    if isinstance(root, str) and root.lower().startswith("file:///"):
        return FolderStore(unquote(root[len("file://") :]))
    from ..objectstore._stores import Stores  # noqa: PLC0415 - only gateways need it

    is_web = isinstance(root, str) and not root.lower().startswith("memory:")
    stores = Stores(root, retry_config=_RETRIES) if is_web else Stores(root)
    if stores.provider == "file":
        raise UsageError("pass the path of the folder: files are read and written by the server itself")
    from ._remote import RemoteStore  # noqa: PLC0415 - obstore, which is there by now, is an extra

    return RemoteStore(stores)
