"""Vectors named by what they show: what has to be read, and what has to be refused, however it is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncbatch.errors import FormatError, TruncatedArchiveError, UnsupportedFormatError

from ..support.zips import VECTORS, read, split

if TYPE_CHECKING:
    from ..support.zips import Read

TEXT = b"The quick brown fox jumps over the lazy dog. " * 20
AB = [("a.txt", b"alpha"), ("b.txt", b"beta")]
XY = [("x", TEXT), ("y", b"")]

READABLE = {
    "empty": [],
    "empty-zip64": [],
    "stored": [*AB, ("empty", b"")],
    "deflated": [("d.txt", TEXT), ("empty", b"")],
    "bzip2": AB,
    "lzma": AB,
    "zstd": AB,
    "comment": AB[:1],
    "member-comment": AB,
    "directory": [("dir/", b""), ("dir/a", b"1")],
    "symlink": [("link", b"target"), AB[0]],
    "from-dos": [("a", b"1")],
    "no-date": AB,
    "timestamp": AB,
    "timestamp-without-mtime": AB,
    "extra-padding": AB,
    "duplicate-names": [("a.txt", b"alpha"), ("a.txt", b"another")],
    "central-in-another-order": [*AB, ("d.txt", TEXT)],
    "central-says-other-effort": AB,
    **{
        f"descriptor-{kind}-{method}": XY
        for kind in ("signed", "bare", "signed64", "bare64")
        for method in ("stored", "deflated", "bzip2", "lzma", "zstd")
    },
    "descriptor-mixed": [("x", TEXT), AB[0], ("y", TEXT), AB[1], ("z/", b"")],
    "descriptor-sizes-in-header-too": XY[:1],
    "descriptor-zip64-header": XY[:1],
    "name-cp437": [("über.txt", b"alpha"), AB[1]],
    "name-utf8": [("über.txt", b"alpha"), AB[1]],
    "name-utf8-unflagged": [("├╝ber.txt", b"alpha"), AB[1]],
    "name-utf8-undecodable": [("\udcffber.txt", b"alpha"), AB[1]],
    "name-unicode-path": [("über.txt", b"alpha"), AB[1]],
    "name-unicode-path-same": AB,
    "name-unicode-path-stale": AB,
    "name-unicode-path-version": AB,
    "name-joiner": [("👩\u200d🚀", b"alpha"), AB[1]],
    "zip64-local": AB,
    "zip64-local-not-needed": AB,
    "zip64-local-empty-field": AB,
    "zip64-central": AB,
    "zip64-central-size-only": AB,
    "zip64-central-offset": [AB[0], ("b", b"1")],
    "zip64-central-disk": AB,
    "zip64-central-all": AB,
    "zip64-central-as-go": AB,
    "zip64-end": AB,
    "zip64-end-not-needed": AB,
    "zip64-end-no-disks": AB,
    "end-trailing-zeros": AB[:1],
}

# Of each the members that are sound in themselves, and what is said of the fault.
ALL, ONE, NONE = 2, 1, 0
MALFORMED = {
    "contradiction-name": (ALL, r"directory says name b'c.txt'.*\(member 'c.txt'\)"),
    "contradiction-name-length": (ALL, "directory says name"),
    "contradiction-crc": (ALL, "directory says CRC-32 1,"),
    "contradiction-packed": (ALL, "directory says compressed size 8, and what came 7"),
    "contradiction-size": (ALL, "directory says size 6, and what came 5"),
    "contradiction-method": (ALL, "directory says method 8"),
    "contradiction-flags": (ALL, "directory says flags 2048"),
    "contradiction-descriptor-flag": (ALL, "directory says flags 0"),
    "contradiction-lzma-flag": (ALL, "directory says flags 0"),
    "contradiction-time": (ALL, "directory says time"),
    "contradiction-offset": (ALL, "member at byte 1, where none was"),
    "contradiction-disk": (ALL, "on disk 1"),
    "contradiction-unicode-name": (ALL, "directory says Unicode name 'ä.txt', and what came 'a.txt'"),
    "contradiction-unicode-name-local": (ALL, "directory says Unicode name 'a.txt', and what came 'ä.txt'"),
    "contradiction-modes-of-one-name": (ALL, "two members named b'a.txt' have different modes"),
    "central-lacks-a-member": (ALL, r"directory does not have this member.*'b.txt'"),
    "central-lacks-the-first": (ALL, r"directory does not have this member.*'a.txt'"),
    "central-has-one-more": (ALL, "or twice"),
    "central-has-one-twice": (ALL, "or twice"),
    "overlap-same-offset": (ALL, "or twice"),
    "overlap-into-data": (ALL, "member at byte 31, where none was"),
    "descriptor-other-crc-deflated": (NONE, "0xd0e0396a and 7 and 5 bytes, but.* 0x00000001, 7 and 5 stand"),
    "descriptor-other-crc-bare": (NONE, "no descriptor that says so.* 01 00 00 00"),
    "descriptor-other-size": (NONE, "no descriptor that says so.* 7 and 6 stand there"),
    "descriptor-missing": (NONE, "no descriptor that says so"),
    "descriptor-header-contradicts": (NONE, "CRC-32 is stated as 1,"),
    "descriptor-header-size-contradicts": (NONE, "size is stated as 4, and there is more at byte 35"),
    "descriptor-stored-sizes-differ": (NONE, "two sizes differ: 5 and 4"),
    "descriptor-and-then-garbage": (NONE, "then 50 4b 05 05"),
    "local-crc": (NONE, r"CRC-32 is stated as 1, .* at byte 35 \(member 'a.txt'\)"),
    "local-size": (NONE, "size is stated as 4, and there is more"),
    "local-size-larger": (NONE, "size is stated as 6, and is 5"),
    "local-sizes-differ": (NONE, "two sizes differ: 5 and 4"),
    "deflated-garbage": (NONE, "damaged deflate data"),
    "deflated-nothing-of-garbage": (NONE, "damaged deflate data"),
    "deflated-and-more": (NONE, "compressed size is stated as 11, and is 7"),
    "deflated-cut": (NONE, "goes on behind its stated end at byte 40"),
    "bzip2-garbage": (NONE, "damaged data"),
    "bzip2-cut": (NONE, "goes on behind its stated end at byte 39"),
    "lzma-garbage": (NONE, "damaged data"),
    "lzma-properties": (NONE, "damaged data"),
    "lzma-properties-size": (NONE, "not 5 bytes long"),
    "zstd-garbage": (NONE, "no zstd frame begins with 6e 6f 74 20"),
    "extra-too-long": (NONE, "extra field 0x9999 is longer than what is there"),
    "extra-twice": (NONE, "extra field 0x9999 stands there twice"),
    "extra-central-too-long": (ALL, "extra field 0x9999 is longer than what is there"),
    "directory-with-data": (NONE, "a directory with 4 bytes of data"),
    "directory-with-data-deflated": (NONE, "size is stated as 0, and there is more"),
    "garbage-between-members": (ONE, "no zip header begins with 67 61 72 62 at byte 32$"),
    "fake-descriptor-and-header": (ALL, "no zip header begins with"),
    "name-unicode-path-undecodable": (NONE, "not UTF-8"),
    "name-empty": (NONE, "no name"),
    "name-nul": (NONE, "control character"),
    "name-control": (NONE, "control character"),
    "name-control-c1": (NONE, "control character"),
    "self-extracting": (NONE, "with something in front of it: it begins with 4d 5a 20 74"),
    "zip64-missing": (NONE, "which is not there"),
    "zip64-too-short": (NONE, "field of 8 bytes does not hold what refers to it"),
    "zip64-odd-length": (NONE, "field of 15 bytes does not hold what refers to it"),
    "zip64-too-long": (NONE, "field of 24 bytes does not hold what refers to it"),
    "zip64-contradicts-header": (NONE, "ZIP64 extra field says 6, the header 5"),
    "zip64-contradicts-central": (ALL, "directory says compressed size 6, and what came 5"),
    "zip64-central-disk-1": (ALL, "on disk 1"),
    "zip64-end-entries": (ALL, "says entries 3, which is 2"),
    "zip64-end-entries-here": (ALL, "says entries on this disk 3, which is 2"),
    "zip64-end-size": (ALL, "says size 3, which is 102"),
    "zip64-end-offset": (ALL, "says offset 3, which is 79"),
    "zip64-end-disk": (ALL, "says disk 1"),
    "zip64-end-directory-disk": (ALL, "says disk of the central directory 1"),
    "zip64-locator-missing": (ALL, "locator is missing"),
    "zip64-locator-offset": (ALL, "says offset of the ZIP64 record 1, which is 181"),
    "zip64-locator-disk": (ALL, "says disk of the ZIP64 record 1"),
    "zip64-locator-disks": (ALL, r"says disks \(one at most\) 2"),
    "zip64-and-end-contradict": (ALL, "says entries 1, which is 2"),
    "zip64-without-end": (ALL, "neither a header nor the end of the central directory"),
    "end-entries": (ALL, "says entries 3, which is 2"),
    "end-entries-here": (ALL, "says entries on this disk 1, which is 2"),
    "end-sentinel-without-zip64": (ALL, "says entries 65535, which is 2"),
    "end-size": (ALL, "says size 3, which is 102"),
    "end-offset": (ALL, "says offset 3, which is 79"),
    "end-disk": (ALL, "says disk 1"),
    "end-directory-disk": (ALL, "says disk of the central directory 1"),
    "end-comment-shorter": (ONE, "behind the end of the archive; strict=False ignores it at byte 118$"),
    "end-comment-holds-zip": (ONE, "comment has the byte"),
    "end-comment-holds-signature": (ONE, "comment has the byte"),
    "end-signature": (ONE, "neither a header nor the end of the central directory begins with 50 4b 05 05"),
    "end-digital-signature": (ONE, "neither a header nor the end"),
    "end-trailing-garbage": (ONE, "behind the end of the archive; strict=False ignores it at byte 113$"),
    "end-trailing-zip": (ONE, "behind the end of the archive; strict=False ignores it at byte 113$"),
}

UNSUPPORTED = {
    "encrypted": (NONE, "an encrypted member cannot be decoded"),
    "encrypted-strong": (NONE, "strong encryption"),
    "encrypted-aes": (NONE, "an encrypted member"),
    "encrypted-aes-unflagged": (NONE, "encrypted with AES"),
    "encrypted-directory": (NONE, "masked by an encrypted central directory"),
    "patch": (NONE, "a patch of another file"),
    "method-deflate64": (NONE, r"method 9 \(deflate64\)"),
    "method-ppmd": (NONE, r"method 98 \(PPMd\)"),
    "method-unknown": (NONE, r"method 77 \(unknown\)"),
    "version-99": (NONE, "version 9.9"),
    "split": (NONE, "split archive"),
    "split-of-one": (NONE, "split archive"),
    "lzma-dictionary": (NONE, "LZMA dictionary of 4294967295 bytes"),
    "lzma-without-end-or-size": (NONE, "without an end mark"),
    "zip64-end-extensible": (ALL, "ZIP64 end of central directory record of 45 bytes"),
    "zip64-end-short": (ALL, "ZIP64 end of central directory record of 43 bytes"),
    "7z-aes": (NONE, "an encrypted member"),
    "7z-deflate64": (ALL, r"deflate64.*'text.txt'"),
    "7z-ppmd": (ALL, r"PPMd.*'text.txt'"),
    "infozip-encrypted": (NONE, "an encrypted member"),
    "infozip-split.z01": (NONE, "split archive"),
}

# Cut, as far as anyone can tell: without a descriptor that is right, stored data goes on to the end.
CUT = {
    "descriptor-other-crc": (NONE, "cut or damaged"),
    "end-comment-longer": (ONE, "the input ends inside the archive's comment"),
}

# A member's data pretends that it ends, or that headers stand in it.
PRETENDING = (
    "fake-descriptor", "fake-descriptor-sizes-only", "fake-header", "nested-zip", "nested-zip-known-size",
)  # fmt: skip


def _read_all_ways(name: str, **options: object) -> Read:
    """Read a vector byte by byte, in small pieces and at once: the same comes of it."""
    data = (VECTORS / f"{name}.zip").read_bytes()
    whole, *others = (read(split(data, size), **options) for size in (len(data), 1, 7))
    for other in others:
        assert other.members == whole.members
        assert str(other.error) == str(whole.error)
        assert type(other.error) is type(whole.error)
        assert other.directory == whole.directory
    return whole


@pytest.mark.parametrize("name", READABLE)
def test_readable(name: str) -> None:
    result = _read_all_ways(name)

    assert result.error is None
    assert result.members == READABLE[name]
    assert [(record.name, record.size) for record in result.directory] == [
        (member, len(data)) for member, data in READABLE[name]
    ]


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    count, reason = MALFORMED[name]
    result = _read_all_ways(name)

    with pytest.raises(FormatError, match=reason) as caught:
        raise result.error or AssertionError
    assert type(caught.value) is FormatError
    assert caught.value.codec == "zip"
    assert len(result.members) == count


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name: str) -> None:
    count, reason = UNSUPPORTED[name]
    result = _read_all_ways(name)

    with pytest.raises(UnsupportedFormatError, match=reason):
        raise result.error or AssertionError
    assert len(result.members) == count


@pytest.mark.parametrize("name", CUT)
def test_cut(name: str) -> None:
    count, reason = CUT[name]
    result = _read_all_ways(name)

    with pytest.raises(TruncatedArchiveError, match=reason):
        raise result.error or AssertionError
    assert len(result.members) == count


@pytest.mark.parametrize("name", PRETENDING)
def test_data_that_pretends_is_data(name: str) -> None:
    result = _read_all_ways(name)

    assert result.error is None
    assert [member for member, _ in result.members][1:] == ["b.txt"]
    assert result.members[0][1] in (VECTORS / f"{name}.zip").read_bytes()


@pytest.mark.parametrize("name", ["end-trailing-garbage", "end-trailing-zip", "end-comment-shorter"])
def test_what_stands_behind_the_end_is_ignored_if_not_strict(name: str) -> None:
    result = _read_all_ways(name, strict=False)

    assert result.error is None
    assert result.members == AB[:1]


@pytest.mark.parametrize(
    "name", ["contradiction-name", "end-entries", "end-comment-holds-zip", "descriptor-other-crc"]
)
def test_what_is_wrong_is_refused_even_if_not_strict(name: str) -> None:
    assert isinstance(_read_all_ways(name, strict=False).error, FormatError)


def test_a_known_size_leaves_nothing_to_pretend() -> None:
    injected = (VECTORS / "fake-descriptor-and-header.zip").read_bytes()
    size = int.from_bytes(injected[injected.index(b"PK\x01\x02") + 24 :][:4], "little")
    result = _read_all_ways("fake-descriptor-and-header", sizes=[size, 4])

    assert result.error is None
    assert [(name, len(data)) for name, data in result.members] == [("x", size), ("b.txt", 4)]


def test_every_vector_is_looked_at() -> None:
    looked_at = {*READABLE, *MALFORMED, *UNSUPPORTED, *CUT, *PRETENDING}
    found = {path.stem for path in VECTORS.glob("*.zip")}
    made_by_tools = {name for name in found if name.startswith(("7z", "bsdtar", "go-", "infozip", "python"))}

    assert found - made_by_tools == looked_at - made_by_tools
