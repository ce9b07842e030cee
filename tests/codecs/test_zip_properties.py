"""Properties: any chunking, any cut and any damage of any archive."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch.errors import AsyncBatchError, FormatError, TruncatedArchiveError

from ..support.zips import VECTORS, Entry, build, read, split

# Signatures and zeros in data are what a decoder may trip over.
WORDS = [b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08", b"PK", b"P", bytes(12), b"x", b"data" * 40]
DATA = st.lists(st.sampled_from(WORDS), max_size=12).map(b"".join)


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    method = draw(st.sampled_from([0, 0, 0, 8, 8, 12, 14, 93]))
    before = draw(st.sampled_from([None, "signed", "signed", "bare", "signed64", "bare64"]))
    name = draw(st.sampled_from([b"a", b"b/c.txt", "ü".encode(), b"n" * 200]))
    flags = 0x800 | (2 if method == 14 else 0)
    return Entry(name, draw(DATA), method, flags, before)


ARCHIVES = st.lists(_entries(), max_size=6)
SMALL = [path.read_bytes() for path in sorted(VECTORS.glob("*.zip")) if path.stat().st_size < 1500]


def _expected(entries: list[Entry]) -> list[tuple[str, bytes]]:
    return [(entry.name.decode(), entry.data) for entry in entries]


@settings(max_examples=150)
@given(entries=ARCHIVES, sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5), known=st.booleans())
def test_any_chunking(*, entries: list[Entry], sizes: list[int], known: bool) -> None:
    data = build(entries)
    options: dict[str, Any] = {"sizes": [len(entry.data) for entry in entries]} if known else {}
    chunks: list[bytes] = []
    position = 0
    while position < len(data):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(data[position : position + size])
        position += size
    result = read(chunks, **options)

    assert result.error is None
    assert result.members == _expected(entries)
    assert [record.size for record in result.directory] == [len(entry.data) for entry in entries]


@settings(max_examples=30)
@given(ARCHIVES)
def test_byte_by_byte(entries: list[Entry]) -> None:
    result = read(split(build(entries), 1))

    assert result.error is None
    assert result.members == _expected(entries)


@settings(max_examples=40)
@given(entries=ARCHIVES, strict=st.booleans())
def test_every_cut(*, entries: list[Entry], strict: bool) -> None:
    data, expected = build(entries), _expected(entries)
    step = max(len(data) // 60, 1)
    for end in [*range(0, len(data), step), *range(max(len(data) - 30, 0), len(data))]:
        result = read([data[:end]], strict=strict)

        assert type(result.error) is TruncatedArchiveError
        assert result.members == expected[: len(result.members)]
        assert result.directory is None


@settings(max_examples=150)
@given(ARCHIVES, st.data())
def test_damage_never_passes_for_data(entries: list[Entry], draws: st.DataObject) -> None:
    data = bytearray(build(entries))
    position = draws.draw(st.integers(0, len(data) - 1))
    data[position] ^= draws.draw(st.integers(1, 255))
    result = read(split(bytes(data), draws.draw(st.sampled_from([37, 1 << 20]))))

    # A flipped bit may be one of a field that two headers have, or of one that says nothing.
    if result.error is None:
        assert [content for _, content in result.members] == [entry.data for entry in entries]
        assert [name for name, _ in result.members] == [name for name, _ in _expected(entries)]
    else:
        assert isinstance(result.error, AsyncBatchError)
        for (_, content), entry in zip(result.members, entries, strict=False):
            assert content == entry.data


@settings(max_examples=200)
@given(st.sampled_from(SMALL), st.data())
def test_damaged_vectors_raise_nothing_else(vector: bytes, draws: st.DataObject) -> None:
    data = bytearray(vector)
    for _ in range(draws.draw(st.integers(1, 4))):
        data[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    read(split(bytes(data), draws.draw(st.sampled_from([1, 100, 1 << 20]))))


@settings(max_examples=100)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PK", b"PK\x03\x04", b"PK\x03\x04\x14\0\0\0\0\0", b"PK\x01\x02"]),
)
def test_random_bytes_are_refused(noise: bytes, prefix: bytes) -> None:
    for chunk_size in (1, 1000):
        assert isinstance(read(split(prefix + noise, chunk_size)).error, FormatError)
