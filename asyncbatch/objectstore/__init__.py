"""The client for any object store that obstore reads: S3, Google Cloud, Azure, folders, memory, and HTTP."""

from __future__ import annotations

from ..transport import Listing
from ._bucket import Bucket
from ._client import Client
from ._object import Object, ObjectBody, ObjectInfo

__all__ = ["Bucket", "Client", "Listing", "Object", "ObjectBody", "ObjectInfo"]
