"""Single files out of shards, which are archives in an object store: random access by reads of ranges."""

from __future__ import annotations

from ._shards import FileChunks, Shard, ShardFile, Shards, ShardStatistics

__all__ = ["FileChunks", "Shard", "ShardFile", "ShardStatistics", "Shards"]
