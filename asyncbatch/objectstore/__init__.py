"""The client for any object store that obstore reads: S3, Google Cloud, Azure, folders, memory, and HTTP."""

from __future__ import annotations
