"""Public names that are imported when first used, so that `import asyncbatch` stays light (PEP 562)."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["lazy_exports"]


def lazy_exports(package: str, exports: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """Make a package's `__getattr__`.

    Args:
        package: The package's `__name__`.
        exports: For each of its submodules, the names that the package exports from it.
    """
    origin = {name: module for module, names in exports.items() for name in names}

    def __getattr__(name: str) -> object:  # noqa: N807 - it becomes the module's
        if name not in origin:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(f"{package}.{origin[name]}"), name)
        setattr(sys.modules[package], name, value)  # found without us the next time
        return value

    return __getattr__
