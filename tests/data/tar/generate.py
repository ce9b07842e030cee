"""Write the vectors beside this file: ``python tests/data/tar/generate.py``. The README says what they are.

Everything is put together here byte by byte: neither our encoder nor anybody else's has a hand in it.
"""

from __future__ import annotations

import pathlib

HERE = pathlib.Path(__file__).parent
END = bytes(1024)


def octal(number: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, number)


def base256(number: int, width: int) -> bytes:
    raw = number.to_bytes(width, "big", signed=True)
    return bytes([raw[0] | 0x80]) + raw[1:]


def checksummed(block: bytearray, *, signed: bool = False) -> bytes:
    block[148:156] = b" " * 8
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % total
    return bytes(block)


def header(
    name: bytes,
    size: int | bytes = 0,
    typeflag: bytes = b"0",
    *,
    magic: bytes = b"ustar\00000",
    prefix: bytes = b"",
    linkname: bytes = b"",
    mode: bytes = octal(0o644, 8),
    mtime: bytes = octal(1_700_000_000, 12),
    trailer: bytes = b"",
    signed: bool = False,
) -> bytes:
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = mode
    block[108:116] = block[116:124] = octal(1000, 8)
    block[124:136] = size if isinstance(size, bytes) else octal(size, 12)
    block[136:148] = mtime
    block[156:157] = typeflag
    block[157 : 157 + len(linkname)] = linkname
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix
    if trailer:
        block[512 - len(trailer) :] = trailer
    return checksummed(block, signed=signed)


GNU = b"ustar  \0"
V7 = b""


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", typeflag: bytes = b"0", **fields: object) -> bytes:
    return header(name, len(data), typeflag, **fields) + padded(data)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d" % length + rest


def pax(*records: tuple[bytes, bytes] | bytes, typeflag: bytes = b"x") -> bytes:
    body = b"".join(each if isinstance(each, bytes) else record(*each) for each in records)
    return member(b"PaxHeaders/0", body, typeflag)


def gnu_long(text: bytes, typeflag: bytes = b"L") -> bytes:
    return member(b"././@LongLink", text + b"\0", typeflag, magic=GNU)


LONG = b"/".join(b"directory-%02d" % number for number in range(20)) + b"/file.txt"
FIRST = member(b"first.txt", b"first")
LAST = member(b"last.txt", b"last")


def damaged(block: bytes, position: int, value: bytes) -> bytes:
    """A block with some bytes changed and its checksum made right again."""
    changed = bytearray(block)
    changed[position : position + len(value)] = value
    return checksummed(changed)


def wrong(block: bytes, position: int, value: bytes) -> bytes:
    """A block with some bytes changed, and its checksum left as it was."""
    return block[:position] + value + block[position + len(value) :]


VECTORS = {
    # -- ends ---------------------------------------------------------------------------------------------
    "end-two-zero-blocks": END,
    "end-full-record": FIRST + END + bytes(10240 - 1024 - len(FIRST)),
    "end-zeros-of-odd-length": FIRST + END + bytes(100),
    "end-missing": FIRST,
    "end-lone-zero-block": FIRST + bytes(512),
    "end-lone-zero-block-then-member": FIRST + bytes(512) + LAST + END,
    "end-lone-zero-block-then-garbage": FIRST + bytes(512) + b"garbage!" * 64,
    "end-garbage-behind": FIRST + END + bytes(100) + b"garbage",
    "end-garbage-instead": FIRST + b"garbage!" * 128,
    "end-inside-padding": FIRST[:600],
    "end-inside-header": FIRST + LAST[:100],
    "end-inside-member": member(b"first.txt", b"f" * 2000)[:1500],
    "end-inside-extended-header": pax((b"path", b"x" * 600))[:700],
    "end-behind-extended-header": FIRST + pax((b"path", b"x")),
    "end-two-zero-blocks-behind-extended-header": FIRST + pax((b"path", b"x")) + END,
    # -- checksums ----------------------------------------------------------------------------------------
    "checksum-signed": member("größe.txt".encode(), b"data", signed=True) + END,
    "checksum-unsigned-non-ascii": member("größe.txt".encode(), b"data") + END,
    "checksum-wrong": FIRST + wrong(header(b"last.txt", 4), 0, b"L") + padded(b"last") + END,
    "checksum-not-octal": FIRST + wrong(header(b"last.txt", 4), 148, b"00x") + padded(b"last") + END,
    "checksum-without-nul": wrong(header(b"a"), 154, b"  ") + END,
    "checksum-base256": wrong(header(b"a"), 148, base256(sum(header(b"a")) % 4096, 8)) + END,
    # -- numbers ------------------------------------------------------------------------------------------
    "number-spaces-in-front": header(b"a", b"       4 \0\0 ") + padded(b"data") + END,
    "number-without-end": header(b"a", b"000000000004") + padded(b"data") + END,
    "number-empty": header(b"a", bytes(12)) + END,
    "number-behind-nul": header(b"a", b"4\0garbage...") + padded(b"data") + END,
    "number-not-octal": FIRST + header(b"a", b"00000000009\0") + padded(b"data") + END,
    "number-sign": FIRST + header(b"a", b"-0000000004\0") + padded(b"data") + END,
    "number-underscore": FIRST + header(b"a", b"0000000_004\0") + padded(b"data") + END,
    "number-octal-of-12-digits-64-gib": header(b"a", b"777777777777") + padded(b"data"),
    "number-mode-not-octal": header(b"a", mode=b"rw-r--r-") + END,
    "base256-size": header(b"a", base256(4, 12), magic=GNU) + padded(b"data") + END,
    "base256-size-8-gib": header(b"a", base256(8 << 30, 12), magic=GNU) + padded(b"data"),
    "base256-size-negative": FIRST + header(b"a", base256(-1, 12), magic=GNU) + END,
    "base256-size-beyond-64-bits": FIRST + header(b"a", base256(1 << 70, 12), magic=GNU) + END,
    "base256-mtime-negative": member(b"a", b"data", mtime=base256(-86400, 12), magic=GNU) + END,
    # -- names --------------------------------------------------------------------------------------------
    "name-100-bytes": member(b"n" * 100, b"data") + END,
    "name-prefix": member(b"file.txt", b"data", prefix=b"some/directory") + END,
    "name-prefix-155-bytes": member(b"n" * 100, b"data", prefix=b"p" * 155) + END,
    "name-behind-nul": member(b"a\0garbage", b"data") + END,
    "name-empty": member(b"", b"data") + END,
    "name-not-utf8": member(b"caf\xe9.txt", b"data") + END,
    "name-utf8": member("naïve/日本.txt".encode(), b"data") + END,
    "name-newline": member(b"two\nlines", b"data") + END,
    "name-star-prefix": member(
        b"file.txt", b"data", prefix=b"some/directory".ljust(131, b"\0") + octal(0, 12) * 2, trailer=b"tar\0"
    )
    + END,
    # -- types --------------------------------------------------------------------------------------------
    "type-every": b"".join(
        member(b"type-" + (flag if flag != b"\0" else b"nul"), typeflag=flag, linkname=b"target")
        for flag in (b"\0", b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7")
    )
    + END,
    "type-contiguous": member(b"a", b"data", b"7") + LAST + END,
    "type-unknown-with-data": member(b"a", b"data", b"Z") + member(b"dump", b"Yfile\0\0", b"D") + LAST + END,
    "type-without-data-has-size": b"".join(
        header(b"type-" + flag, 5000, flag, linkname=b"target") for flag in (b"1", b"2", b"3", b"4", b"5", b"6")
    )
    + LAST
    + END,
    "type-without-data-has-pax-size": pax((b"size", b"5000")) + header(b"dir/", 0, b"5") + LAST + END,
    "type-multi-volume": FIRST + header(b"rest", 4, b"M", magic=GNU) + padded(b"data") + END,
    "v7-file": member(b"a", b"data", b"\0", magic=V7) + END,
    "v7-directory": member(b"dir/", b"", b"\0", magic=V7) + LAST + END,
    "v7-directory-has-size": header(b"dir/", 5000, b"\0", magic=V7) + LAST + END,
    "v7-prefix-is-no-name": member(b"a", b"data", b"\0", magic=V7, prefix=b"garbage") + END,
    # -- GNU ----------------------------------------------------------------------------------------------
    "gnu-times-are-no-prefix": member(
        b"a", b"data", magic=GNU, prefix=octal(1_700_000_000, 12) + octal(1_700_000_001, 12)
    )
    + END,
    "gnu-long-name": gnu_long(LONG) + member(LONG[:100], b"data", magic=GNU) + LAST + END,
    "gnu-long-link": gnu_long(LONG, b"K")
    + member(b"a", typeflag=b"2", linkname=LONG[:100], magic=GNU)
    + LAST
    + END,
    "gnu-long-name-and-link": gnu_long(LONG + b"2", b"K")
    + gnu_long(LONG)
    + member(LONG[:100], typeflag=b"1", linkname=LONG[:100], magic=GNU)
    + END,
    "gnu-long-name-behind-nul": gnu_long(b"name\0garbage") + member(b"a", b"data", magic=GNU) + END,
    "gnu-long-name-empty": gnu_long(b"") + member(b"a", b"data", magic=GNU) + END,
    "gnu-long-name-empty-over-pax": pax((b"path", b"pax")) + gnu_long(b"") + member(b"a", b"data") + END,
    "gnu-long-name-over-pax": pax((b"path", b"pax")) + gnu_long(b"gnu") + member(b"a", b"data") + LAST + END,
    "gnu-long-name-over-later-pax": gnu_long(b"gnu") + pax((b"path", b"pax")) + member(b"a", b"data") + END,
    "gnu-long-name-twice": gnu_long(b"one") + gnu_long(b"two") + member(b"a", b"data", magic=GNU) + END,
    "gnu-long-name-size-zero": header(b"././@LongLink", 0, b"L", magic=GNU) + member(b"a", b"data") + END,
    # -- PAX ----------------------------------------------------------------------------------------------
    "pax-path": pax((b"path", LONG)) + member(b"a", b"data") + LAST + END,
    "pax-path-not-utf8": pax((b"path", b"caf\xe9.txt")) + member(b"a", b"data") + END,
    "pax-path-newline-and-equals": pax((b"path", b"one\ntwo=2\n")) + member(b"a", b"data") + END,
    "pax-path-of-directory-v7": pax((b"path", b"dir/")) + header(b"dir", 0, b"\0") + LAST + END,
    "pax-linkpath": pax((b"linkpath", LONG)) + member(b"a", typeflag=b"2", linkname=b"b") + END,
    "pax-size": pax((b"size", b"4")) + header(b"a", 0) + padded(b"data") + LAST + END,
    "pax-size-zeros-in-front": pax((b"size", b"4".zfill(40))) + header(b"a", 0) + padded(b"data") + END,
    "pax-size-8-gib": pax((b"size", b"8589934592")) + header(b"a", 0) + padded(b"data"),
    "pax-size-before-longname": pax((b"size", b"1024"))
    + gnu_long(b"carrier.bin")
    + header(b"a", 0, magic=GNU)
    + member(b"smuggled.txt", b"not a member of its own")
    + LAST
    + END,
    "pax-size-negative": FIRST + pax((b"size", b"-1")) + header(b"a", 0) + END,
    "pax-size-not-decimal": FIRST + pax((b"size", b"0x10")) + header(b"a", 0) + END,
    "pax-size-beyond-64-bits": FIRST + pax((b"size", b"99999999999999999999")) + header(b"a", 0) + END,
    "pax-uid-negative": pax((b"uid", b"-2"), (b"gid", b"-2")) + member(b"a", b"data") + END,
    "pax-uid-not-decimal": FIRST + pax((b"uid", b"root")) + member(b"a", b"data") + END,
    "pax-mtime-fraction": pax((b"mtime", b"1700000000.25")) + member(b"a", b"data") + END,
    "pax-mtime-negative": pax((b"mtime", b"-1.5")) + member(b"a", b"data") + END,
    "pax-mtime-bad": FIRST + pax((b"mtime", b"yesterday")) + member(b"a", b"data") + END,
    "pax-empty-value-keeps-header": pax((b"path", b""), (b"size", b""), (b"mtime", b""), (b"uid", b""))
    + member(b"a", b"data")
    + END,
    "pax-same-keyword-twice": pax((b"path", b"one"), (b"path", b"two")) + member(b"a", b"data") + END,
    "pax-headers-in-a-row": pax((b"path", b"one")) + pax((b"linkpath", b"two")) + member(b"a", b"data") + END,
    "pax-solaris": pax((b"path", b"long name"), typeflag=b"X") + member(b"a", b"data") + END,
    "pax-nul-in-path": FIRST + pax((b"path", b"good\0evil")) + member(b"a", b"data") + END,
    "pax-nul-in-linkpath": FIRST + pax((b"linkpath", b"good\0evil")) + member(b"a", typeflag=b"2") + END,
    "pax-nul-in-keyword": FIRST + pax((b"pa\0th", b"x")) + member(b"a", b"data") + END,
    "pax-nul-in-xattr": pax((b"SCHILY.xattr.user.k", b"\0\1\2")) + member(b"a", b"data") + END,
    "pax-length-not-a-number": FIRST + pax(b"xx path=b\n") + member(b"a", b"data") + END,
    "pax-length-too-long": FIRST + pax(b"99 path=b\n") + member(b"a", b"data") + END,
    "pax-length-too-short": FIRST + pax(b"4 path=b\n") + member(b"a", b"data") + END,
    "pax-length-zero": FIRST + pax(b"0 path=b\n") + member(b"a", b"data") + END,
    "pax-length-negative": FIRST + pax(b"-10 path=b\n") + member(b"a", b"data") + END,
    "pax-without-space": FIRST + pax(b"10path=b\n") + member(b"a", b"data") + END,
    "pax-without-equals": FIRST + pax(b"8 path\n\n") + member(b"a", b"data") + END,
    "pax-without-keyword": FIRST + pax(b"5 =b\n") + member(b"a", b"data") + END,
    "pax-without-newline": FIRST + pax(b"9 path=bb") + member(b"a", b"data") + END,
    "pax-zeros-behind-records": FIRST + pax(record(b"path", b"b") + bytes(8)) + member(b"a", b"data") + END,
    "pax-empty": pax() + member(b"a", b"data") + END,
    "pax-global-comment": pax((b"comment", b"0123456789abcdef"), typeflag=b"g") + FIRST + LAST + END,
    "pax-global-headers": pax((b"mtime", b"1"), (b"uname", b"everyone"), typeflag=b"g")
    + member(b"a", b"one")
    + pax((b"mtime", b"2"))
    + member(b"b", b"two")
    + pax((b"mtime", b""))
    + member(b"c", b"three")
    + pax((b"mtime", b""), typeflag=b"g")
    + member(b"d", b"four")
    + END,
    "pax-global-alone": pax((b"comment", b"an empty repository"), typeflag=b"g") + END,
    # What follows is another member for those who take the size as said, and data for those who do not.
    "pax-global-size": FIRST
    + pax((b"size", b"1024"), typeflag=b"g")
    + member(b"a", b"data")
    + member(b"hidden", b"")
    + LAST
    + END,
    "pax-global-path": FIRST + pax((b"path", b"other"), typeflag=b"g") + member(b"a", b"data") + LAST + END,
    "pax-global-linkpath": FIRST
    + pax((b"linkpath", b"/etc/passwd"), typeflag=b"g")
    + member(b"a", b"data")
    + LAST
    + END,
    "pax-global-bad": FIRST + pax(b"garbage\n", typeflag=b"g") + LAST + END,
    # -- sparse members -----------------------------------------------------------------------------------
    "sparse-star": FIRST
    + pax((b"SCHILY.realsize", b"5000"))
    + member(b"sparse", b"part", trailer=b"tar\0")
    + END,
    "sparse-star-whole": pax((b"SCHILY.realsize", b"4")) + member(b"a", b"data") + END,
    "sparse-pax-unknown-version": FIRST
    + pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0"), (b"path", b"sparse"))
    + member(b"a", b"data")
    + END,
}

if __name__ == "__main__":
    for name, data in VECTORS.items():
        (HERE / f"{name}.tar").write_bytes(data)
