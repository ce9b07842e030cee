"""An ASGI application: GetBatch and Tigris's Bundle API over any object store; and a way to run it.

Needs the extra ``server``. Names are loaded when first used: an application under another ASGI server does
not need uvicorn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ._app import create_app
    from ._serve import running, serve

__all__ = ["create_app", "running", "serve"]

__getattr__ = lazy_exports(__name__, {"_app": ("create_app",), "_serve": ("running", "serve")})
