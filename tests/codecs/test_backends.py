"""The choice of the library that does zlib's work."""

from __future__ import annotations

import gzip
import zlib
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.codecs import _backends
from asyncbatch.codecs._backends import (
    Backend,
    choose_backend,
    gzip_compressobj,
    raw_compressobj,
    raw_decompressobj,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ZLIB = Backend("zlib", zlib, 9)


def only(*names: str) -> Callable[[str], Any]:
    """An import that knows nothing but `names`."""

    def load(name: str) -> Any:  # noqa: ANN401 - a stand-in for a module
        if name not in names:
            raise ImportError(name)
        return SimpleNamespace(name=name)

    return load


@pytest.mark.parametrize(
    ("available", "chosen", "max_level"),
    [
        (("isal.isal_zlib", "zlib_ng.zlib_ng", "zlib"), "isal.isal_zlib", 3),
        (("zlib_ng.zlib_ng", "zlib"), "zlib_ng.zlib_ng", 9),
        (("zlib",), "zlib", 9),
    ],
)
def test_the_fastest_that_is_there_is_chosen(available: tuple[str, ...], chosen: str, max_level: int) -> None:
    backend = choose_backend(only(*available))

    assert (backend.name, backend.module.name, backend.max_level) == (chosen, chosen, max_level)


def test_without_zlib_there_is_none() -> None:
    with pytest.raises(ImportError, match=r"isal\.isal_zlib, zlib_ng\.zlib_ng, zlib"):
        choose_backend(only())


def test_the_default_is_what_can_be_imported_here() -> None:
    backend = choose_backend()

    assert backend == _backends.BACKEND
    assert backend.module is import_module(backend.name)


@given(data=st.binary(max_size=1000), start=st.integers(min_value=0, max_value=0xFFFF_FFFF))
def test_checksums_are_those_of_zlib(data: bytes, start: int) -> None:
    assert _backends.crc32(data, start) == zlib.crc32(data, start)
    assert _backends.adler32(data, 1) == zlib.adler32(data)


@pytest.mark.parametrize("backend", [_backends.BACKEND, ZLIB], ids=["default", "zlib"])
@pytest.mark.parametrize("level", range(10))
def test_every_level_is_written_whoever_has_it(backend: Backend, level: int) -> None:
    compress = gzip_compressobj(level, backend)
    stream = compress.compress(b"data" * 1000) + compress.flush()

    assert gzip.decompress(stream) == b"data" * 1000

    raw = raw_compressobj(level, backend)
    assert zlib.decompress(raw.compress(b"data" * 1000) + raw.flush(), -15) == b"data" * 1000


def test_levels_that_a_backend_lacks_are_those_of_zlib() -> None:
    few = Backend("few", SimpleNamespace(), 3)  # would fail at the first attempt to use it
    compress, same = gzip_compressobj(4, few), gzip_compressobj(4, ZLIB)

    assert compress.compress(b"data") + compress.flush() == same.compress(b"data") + same.flush()


@pytest.mark.parametrize("backend", [_backends.BACKEND, ZLIB], ids=["default", "zlib"])
def test_inflating_stops_at_the_end_and_leaves_the_rest(backend: Backend) -> None:
    deflate = zlib.compressobj(wbits=-15)
    inflate = raw_decompressobj(backend)
    stream = deflate.compress(b"data") + deflate.flush()

    assert inflate.decompress(stream + b"rest", 100) == b"data"
    assert inflate.eof
    assert inflate.unused_data == b"rest"


def test_damage_is_told_by_the_error_of_the_backend() -> None:
    with pytest.raises(_backends.inflate_error):
        raw_decompressobj().decompress(b"\xff" * 50, 100)
