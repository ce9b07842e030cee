"""The client for Tigris: objects by the thousand in one request, the Bundle API."""

from __future__ import annotations

__all__: list[str] = []
