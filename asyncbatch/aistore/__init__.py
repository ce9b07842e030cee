"""The client for NVIDIA AIStore: buckets, objects, and batches by GetBatch."""

from __future__ import annotations

from ..transport import Listing
from ._auth import login
from ._bucket import Bucket
from ._client import Client
from ._object import Object, ObjectBody
from .wire import ObjectInfo

__all__ = ["Bucket", "Client", "Listing", "Object", "ObjectBody", "ObjectInfo", "login"]
