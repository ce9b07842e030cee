"""Writes the vectors of this folder that no tool makes, byte by byte: `python tests/data/zip/generate.py`."""

import sys
import zlib
from pathlib import Path
from struct import pack as p

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

from tests.support.zips import Entry, build, descriptor, field_of  # noqa: E402

TEXT = b"The quick brown fox jumps over the lazy dog. " * 20
A, B = Entry(b"a.txt", b"alpha"), Entry(b"b.txt", b"beta")
DEFLATED = Entry(b"d.txt", TEXT, 8)
MAX = 0xFFFF_FFFF


def one(name=b"a.txt", data=b"alpha", method=0, flags=0, **rest):
    return build([Entry(name, data, method, flags, **rest), B])


def unicode_path(raw, text, crc=None, version=1):
    return field_of(0x7075, p("<BL", version, zlib.crc32(raw) if crc is None else crc) + text)


def fake_descriptor(behind):
    """Data of which a prefix is followed by a descriptor that is right for it."""
    prefix = b"prefix of the data"
    fake = descriptor("signed", zlib.crc32(prefix), len(prefix), len(prefix))
    return prefix + fake + behind + b"and the rest of it"


def injected():
    """Data that pretends to end, and to be followed by another member which takes up all that really follows."""
    inner = build([Entry(b"evil.txt", b"evil", 8)])
    return fake_descriptor(inner[: inner.index(b"PK\x01\x02")])


VECTORS = {
    # what readers have to read
    "empty": build([]),
    "empty-zip64": build([], zip64={}),
    "stored": build([A, B, Entry(b"empty")]),
    "deflated": build([DEFLATED, Entry(b"empty", b"", 8)]),
    "bzip2": one(method=12),
    "lzma": one(method=14, flags=2),
    "zstd": one(method=93),
    "comment": build([A], comment=b"a comment, PK\x2d\x2d and all"),
    "member-comment": one(comment=b"a comment PK\x05\x06", central_extra=field_of(0x6375, b"x")),
    "directory": build([Entry(b"dir/", central={"attributes": 0o40755 << 16}), Entry(b"dir/a", b"1")]),
    "symlink": build([Entry(b"link", b"target", central={"attributes": 0o120777 << 16}), A]),
    "from-dos": build([Entry(b"a", b"1", central={"made_by": 20, "attributes": 0x20})]),
    "no-date": one(local={"time": 0}, central={"time": 0}),
    "timestamp": one(extra=field_of(0x5455, p("<BL", 1, 1_700_000_000)), central_extra=field_of(0x5455, p("<BL", 1, 1_700_000_000))),
    "timestamp-without-mtime": one(extra=field_of(0x5455, p("<BL", 2, 1_700_000_000))),
    "extra-padding": one(extra=field_of(0x9999, b"xy") + b"\0\0\0"),
    "duplicate-names": build([A, Entry(b"a.txt", b"another")]),
    "central-in-another-order": build([A, B, DEFLATED], central_order=[2, 0, 1]),
    "central-says-other-effort": one(method=8, central={"flags": 4}),
    # data descriptors
    **{
        f"descriptor-{kind}-{name}": build([Entry(b"x", TEXT, method, 2 if method == 14 else 0, kind), Entry(b"y", b"", method, 2 if method == 14 else 0, kind)])
        for kind in ("signed", "bare", "signed64", "bare64")
        for name, method in (("stored", 0), ("deflated", 8), ("bzip2", 12), ("lzma", 14), ("zstd", 93))
    },
    "descriptor-mixed": build([Entry(b"x", TEXT, 0, 0, "signed"), A, Entry(b"y", TEXT, 8, 0, "bare"), B, Entry(b"z/", b"", 8, 0, "signed")]),
    "descriptor-sizes-in-header-too": build([Entry(b"x", TEXT, 0, 0, "signed", local={"packed": len(TEXT), "size": len(TEXT), "crc": zlib.crc32(TEXT)})]),
    "descriptor-zip64-header": build([Entry(b"x", TEXT, 0, 0, "signed64", local={"packed": MAX, "size": MAX}, extra=field_of(1, p("<QQ", 0, 0)))]),
    "descriptor-other-crc": one(descriptor="signed", behind=descriptor("signed", 1, 5, 5)),
    "descriptor-other-crc-deflated": one(method=8, descriptor="signed", behind=descriptor("signed", 1, 7, 5)),
    "descriptor-other-crc-bare": one(method=8, descriptor="bare", behind=descriptor("bare", 1, 7, 5)),
    "descriptor-other-size": one(method=8, descriptor="signed", behind=descriptor("signed", zlib.crc32(b"alpha"), 7, 6)),
    "descriptor-missing": one(method=8, descriptor="signed", behind=b""),
    "descriptor-header-contradicts": one(method=8, descriptor="signed", local={"crc": 1}),
    "descriptor-header-size-contradicts": one(method=8, descriptor="signed", local={"size": 4}),
    "descriptor-stored-sizes-differ": one(descriptor="signed", local={"packed": 5, "size": 4}),
    "descriptor-and-then-garbage": one(method=8, descriptor="signed", behind=descriptor("signed", zlib.crc32(b"alpha"), 7, 5) + b"PK\x05\x05"),
    # what stored data may pretend
    "fake-descriptor": build([Entry(b"x", fake_descriptor(b"no header"), 0, 0, "signed"), B]),
    "fake-descriptor-sizes-only": build([Entry(b"x", b"12345678" + descriptor("signed", 1, 8, 8) + b"PK\x03\x04", 0, 0, "signed"), B]),
    "fake-descriptor-and-header": build([Entry(b"x", injected(), 0, 0, "signed"), B]),
    "fake-header": build([Entry(b"x", b"..PK\x03\x04.." + bytes(40) + b"PK\x01\x02PK\x05\x06", 0, 0, "signed"), B]),
    "nested-zip": build([Entry(b"x.zip", build([Entry(b"in", TEXT, 0, 0, "signed"), A]), 0, 0, "signed"), B]),
    "nested-zip-known-size": build([Entry(b"x.zip", build([Entry(b"in", TEXT, 0, 0, "signed"), A])), B]),
    # local and central headers that contradict each other
    "contradiction-name": one(central={"name": b"c.txt"}),
    "contradiction-name-length": one(central={"name": b"a.txt2"}),
    "contradiction-crc": one(central={"crc": 1}),
    "contradiction-packed": one(method=8, central={"packed": 8}),
    "contradiction-size": one(central={"size": 6}),
    "contradiction-method": one(central={"method": 8}),
    "contradiction-flags": one(central={"flags": 0x800}),
    "contradiction-descriptor-flag": one(descriptor="signed", central={"flags": 0}),
    "contradiction-lzma-flag": one(method=14, flags=2, central={"flags": 0}),
    "contradiction-time": one(central={"time": 0x5821_6001}),
    "contradiction-offset": one(central={"offset": 1}),
    "contradiction-disk": one(central={"disk": 1}),
    "contradiction-unicode-name": one(central_extra=unicode_path(b"a.txt", "ä.txt".encode())),
    "contradiction-unicode-name-local": one(extra=unicode_path(b"a.txt", "ä.txt".encode())),
    "contradiction-modes-of-one-name": build([A, Entry(b"a.txt", b"alpha", central={"attributes": 0o100755 << 16})]),
    "central-lacks-a-member": build([A, B], central_order=[0]),
    "central-lacks-the-first": build([A, B], central_order=[1]),
    "central-has-one-more": build([A, B], central_order=[0, 1, 1], end={"here": 3, "entries": 3}),
    "central-has-one-twice": build([A, B], central_order=[0, 0], end={"here": 2, "entries": 2}),
    "overlap-same-offset": build([A, Entry(b"a.txt", b"alpha", central={"offset": 0})]),
    "overlap-into-data": build([Entry(b"x", build([A])[:40]), Entry(b"a.txt", b"alpha", central={"offset": 31})]),
    # the headers themselves
    "local-crc": one(local={"crc": 1}),
    "local-size": one(method=8, local={"size": 4}),
    "local-size-larger": one(method=8, local={"size": 6}),
    "local-sizes-differ": one(local={"packed": 5, "size": 4}),
    "deflated-garbage": one(method=8, packed=b"\xff\xff\xff"),
    "deflated-nothing-of-garbage": one(data=b"", method=8, packed=b"\xff\xff\xff"),
    "deflated-and-more": one(method=8, packed=zlib.compress(b"alpha", wbits=-15) + b"more"),
    "deflated-cut": one(method=8, packed=zlib.compress(b"alpha", wbits=-15)[:-2]),
    "bzip2-garbage": one(method=12, packed=b"BZh9 is not enough"),
    "bzip2-cut": one(method=12, packed=b"BZh9"),
    "lzma-garbage": one(method=14, flags=2, packed=b"\x09\x14\x05\x00\x5d\x00\x00\x01\x00" + b"\xff" * 30),
    "lzma-properties": one(method=14, flags=2, packed=b"\x09\x14\x05\x00\xff\x00\x00\x01\x00" + bytes(30)),
    "lzma-properties-size": one(method=14, flags=2, packed=b"\x09\x14\x06\x00\x5d\x00\x00\x01\x00" + bytes(30)),
    "lzma-dictionary": one(method=14, flags=2, packed=b"\x09\x14\x05\x00\x5d\xff\xff\xff\xff" + bytes(30)),
    "lzma-without-end-or-size": one(method=14, descriptor="signed"),
    "zstd-garbage": one(method=93, packed=b"not a frame"),
    "extra-too-long": one(extra=p("<HH", 0x9999, 4) + b"123"),
    "extra-twice": one(extra=field_of(0x9999, b"") * 2),
    "extra-central-too-long": one(central_extra=p("<HH", 0x9999, 4) + b"123"),
    "directory-with-data": build([Entry(b"dir/", b"data")]),
    "directory-with-data-deflated": build([Entry(b"dir/", b"data", 8, 0, "signed")]),
    "garbage-between-members": build([Entry(b"a", b"1", behind=b"garbage"), B]),
    # names
    "name-cp437": one(name=b"\x81ber.txt"),
    "name-utf8": one(name="über.txt".encode(), flags=0x800),
    "name-utf8-unflagged": one(name="über.txt".encode()),
    "name-utf8-undecodable": one(name=b"\xffber.txt", flags=0x800),
    "name-unicode-path": one(name=b"uber.txt", extra=unicode_path(b"uber.txt", "über.txt".encode()), central_extra=unicode_path(b"uber.txt", "über.txt".encode())),
    "name-unicode-path-same": one(extra=unicode_path(b"a.txt", b"a.txt")),
    "name-unicode-path-stale": one(extra=unicode_path(b"a.txt", b"other", crc=1)),
    "name-unicode-path-version": one(extra=unicode_path(b"a.txt", b"other", version=2)),
    "name-unicode-path-undecodable": one(extra=unicode_path(b"a.txt", b"\xff\xff")),
    "name-empty": one(name=b""),
    "name-nul": one(name=b"a.txt\0.exe"),
    "name-control": one(name=b"a\nb"),
    "name-control-c1": one(name="a\x85b".encode(), flags=0x800),
    "name-joiner": one(name="👩‍🚀".encode(), flags=0x800),
    # what is not supported
    "encrypted": one(flags=1),
    "encrypted-strong": one(flags=0x41),
    "encrypted-aes": one(flags=1, local={"method": 99}),
    "encrypted-aes-unflagged": one(local={"method": 99}),
    "encrypted-directory": one(flags=0x2001),
    "patch": one(flags=0x20),
    "method-deflate64": one(local={"method": 9}),
    "method-ppmd": one(local={"method": 98}),
    "method-unknown": one(local={"method": 77}),
    "version-99": one(local={"version": 99}),
    "split": build([A], prefix=b"PK\x07\x08"),
    "split-of-one": build([A], prefix=b"PK00"),
    "self-extracting": build([A], prefix=b"MZ this is a program"),
    # ZIP64
    "zip64-local": one(local={"packed": MAX, "size": MAX}, extra=field_of(1, p("<QQ", 5, 5))),
    "zip64-local-not-needed": one(extra=field_of(1, p("<QQ", 5, 5))),
    "zip64-local-empty-field": one(extra=field_of(1, b"")),
    "zip64-central": one(central={"packed": MAX, "size": MAX}, central_extra=field_of(1, p("<QQ", 5, 5))),
    "zip64-central-size-only": one(central={"size": MAX}, central_extra=field_of(1, p("<Q", 5))),
    "zip64-central-offset": build([A, Entry(b"b", b"1", central={"offset": MAX}, central_extra=field_of(1, p("<Q", 40)))]),
    "zip64-central-disk": one(central={"disk": 0xFFFF}, central_extra=field_of(1, p("<L", 0))),
    "zip64-central-all": one(central={"packed": MAX, "size": MAX, "offset": MAX, "disk": 0xFFFF}, central_extra=field_of(1, p("<QQQL", 5, 5, 0, 0))),
    "zip64-central-as-go": one(central={"packed": MAX, "size": MAX}, central_extra=field_of(1, p("<QQQ", 5, 5, 0))),
    "zip64-end": build([A, B], zip64={}),
    "zip64-end-not-needed": build([A, B], zip64={}, end={"here": 2, "entries": 2}),
    "zip64-end-no-disks": build([A, B], zip64={"disks": 0}),
    "zip64-missing": one(local={"packed": MAX, "size": MAX}),
    "zip64-too-short": one(local={"packed": MAX, "size": MAX}, extra=field_of(1, p("<Q", 5))),
    "zip64-odd-length": one(local={"packed": MAX, "size": MAX}, extra=field_of(1, bytes(15))),
    "zip64-too-long": one(local={"packed": MAX, "size": MAX}, extra=field_of(1, p("<QQQ", 5, 5, 0))),
    "zip64-contradicts-header": one(extra=field_of(1, p("<QQ", 6, 6))),
    "zip64-contradicts-central": one(central={"packed": MAX, "size": MAX}, central_extra=field_of(1, p("<QQ", 6, 6))),
    "zip64-central-disk-1": one(central={"disk": 0xFFFF}, central_extra=field_of(1, p("<L", 1))),
    "zip64-end-entries": build([A, B], zip64={"entries": 3}),
    "zip64-end-entries-here": build([A, B], zip64={"here": 3}),
    "zip64-end-size": build([A, B], zip64={"size": 3}),
    "zip64-end-offset": build([A, B], zip64={"offset": 3}),
    "zip64-end-disk": build([A, B], zip64={"disk": 1}),
    "zip64-end-directory-disk": build([A, B], zip64={"directory_disk": 1}),
    "zip64-end-extensible": build([A, B], zip64={"record": 45}),
    "zip64-end-short": build([A, B], zip64={"record": 43}),
    "zip64-locator-missing": build([A, B], zip64={"signature": 1}),
    "zip64-locator-offset": build([A, B], zip64={"at": 1}),
    "zip64-locator-disk": build([A, B], zip64={"at_disk": 1}),
    "zip64-locator-disks": build([A, B], zip64={"disks": 2}),
    "zip64-and-end-contradict": build([A, B], zip64={}, end={"entries": 1}),
    "zip64-without-end": build([A, B], zip64={})[:-22] + bytes(22),
    # the end
    "end-entries": build([A, B], end={"entries": 3}),
    "end-entries-here": build([A, B], end={"here": 1}),
    "end-sentinel-without-zip64": build([A, B], end={"entries": 0xFFFF}),
    "end-size": build([A, B], end={"size": 3}),
    "end-offset": build([A, B], end={"offset": 3}),
    "end-disk": build([A, B], end={"disk": 1}),
    "end-directory-disk": build([A, B], end={"directory_disk": 1}),
    "end-comment-longer": build([A], comment=b"comment", end={"comment": 9}),
    "end-comment-shorter": build([A], comment=b"comment", end={"comment": 5}),
    "end-comment-holds-zip": build([A], comment=build([B])),
    "end-comment-holds-signature": build([A], comment=b"PK\x05\x06" + bytes(18)),
    "end-signature": build([A])[:-22] + b"PK\x05\x05" + bytes(18),
    "end-digital-signature": build([A])[:-22] + b"PK\x05\x05" + p("<H", 2) + b"xx" + build([A])[-22:],
    "end-trailing-garbage": build([A]) + b"garbage",
    "end-trailing-zeros": build([A]) + bytes(10),
    "end-trailing-zip": build([A]) + build([B]),
}  # fmt: skip

if __name__ == "__main__":
    for name, data in VECTORS.items():
        (HERE / f"{name}.zip").write_bytes(data)
