"""The decoder of bundles: each key is an object, missing, or not accounted for; nothing is made up."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch.codecs._events import MemberData, MemberEnd, MemberStart, WholeMember
from asyncbatch.codecs._formats import parse_format
from asyncbatch.errors import AsyncBatchError, FormatError, LimitExceededError, TruncatedArchiveError
from asyncbatch.limits import DEFAULT_LIMITS, Limits
from asyncbatch.tigris.wire import MISSING, BundleDecoder, SkippedKey

from ..support.batches import split, tar
from .bundles import ERRORS, bundle, pack, report, trailers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncbatch.codecs._events import Event

OBJECTS = {"a": b"one", "b": b"", "c/d": b"x" * 700}


def decode(
    decoder: BundleDecoder, chunks: Iterable[bytes]
) -> tuple[list[tuple[str, bytes]], Exception | None]:
    """Feed all, and return the names and data that came out, and the error behind them."""
    members: list[tuple[str, bytes]] = []
    data = b""
    name = ""

    def take(events: Iterable[Event]) -> None:
        nonlocal data, name
        for event in events:
            if isinstance(event, WholeMember):
                members.append((event.name, event.data))
            elif isinstance(event, MemberStart):
                name, data = event.name, b""
            elif isinstance(event, MemberData):
                data += event.data
            else:
                assert isinstance(event, MemberEnd)
                members.append((name, data))

    try:
        for chunk in chunks:
            decoder.feed(chunk)
            take(decoder)
        with suppress(AsyncBatchError):
            decoder.feed_eof()
        take(decoder)
    except AsyncBatchError as error:
        with pytest.raises(type(error)):  # it sticks
            list(decoder)
        with pytest.raises(type(error)):
            decoder.feed(b"")
        return members, error
    return members, None


def whole(
    keys: Sequence[str],
    archive: bytes,
    trailers: Sequence[tuple[bytes, bytes]] = (),
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[list[tuple[str, bytes]], Exception | None]:
    decoder = BundleDecoder(keys, parse_format(".tar"), trailers=lambda: trailers, limits=limits)
    return decode(decoder, [archive])


@pytest.mark.parametrize("size", [1, 500, 512, 100_000])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd", "told by its bytes"])
def test_every_key_has_its_member(compression: str, size: int) -> None:
    keys = ["gone", "a", "gone", "b", "a", "c/d", "lost"]
    form = {"none": ".tar", "gzip": ".tar.gz", "zstd": ".tar.zst"}.get(compression)
    decoder = BundleDecoder(
        keys, parse_format(form) if form else None, trailers=lambda: trailers_of(keys, OBJECTS)
    )
    members, error = decode(decoder, split(pack(bundle(keys, OBJECTS), compression), size))
    assert error is None
    assert members == [(key, OBJECTS[key]) if key in OBJECTS else (MISSING, b"") for key in keys]
    assert decoder.skipped == [SkippedKey(key, "NoSuchKey") for key in keys if key not in OBJECTS]
    assert decoder.counts.is_whole
    assert decoder.counts == (4, 706, 3)
    assert decoder.decompresses == (compression in {"gzip", "zstd"})
    assert not decoder.is_slow
    assert list(decoder) == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["a", "b", "aa", "ab", ERRORS]), min_size=1, max_size=8), st.data())
def test_whatever_is_left_out_is_found(keys: list[str], data: st.DataObject) -> None:
    left_out = data.draw(st.sets(st.sampled_from(keys)))
    objects = {key: key.encode() * 3 for key in keys if key not in left_out}
    trailers = trailers_of(keys, objects) if data.draw(st.booleans()) else []
    members, error = whole(keys, bundle(keys, objects), trailers)
    assert error is None
    assert members == [(key, objects[key]) if key in objects else (MISSING, b"") for key in keys]


def test_nothing_is_said_of_what_follows_a_cut() -> None:
    keys = ["gone", "a", "b", "gone", "c/d", "lost"]
    archive = bundle(keys, OBJECTS)
    expected, _ = whole(keys, archive)
    for end in range(len(archive) - 1024 + 1):
        members, error = whole(keys, archive[:end])
        assert isinstance(error, TruncatedArchiveError)
        assert members == expected[: len(members)]
        assert len(members) < 6  # the last key is only known to be missing at the end
        assert members[-1:] != [(MISSING, b"")]


@pytest.mark.parametrize(("form", "compression"), [(".tar.gz", "gzip"), (".tar.zst", "zstd")])
def test_a_cut_of_what_is_compressed(form: str, compression: str) -> None:
    keys = ["gone", "a", "b", "gone", "c/d", "lost"]
    packed = pack(bundle(keys, OBJECTS), compression)
    for end in range(len(packed)):
        members, error = decode(BundleDecoder(keys, parse_format(form)), split(packed[:end], 50))
        assert isinstance(error, TruncatedArchiveError)
        assert len(members) < 6
        assert members[-1:] != [(MISSING, b"")]


def test_keys_that_end_in_a_slash_may_come_as_folders() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("a/", "other/"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
    decoder = BundleDecoder(["a/"], parse_format(".tar"))
    decoder.feed(file.getvalue())
    folder, other = decoder
    assert isinstance(folder, WholeMember)
    assert isinstance(other, WholeMember)
    assert (folder.name, folder.kind, other.kind) == ("a/", "file", "dir")


def test_an_archive_that_ends_well_and_too_early_is_cut() -> None:
    members, error = whole(["a", "b", "c/d"], tar([("a", b"one")]))
    assert members == [("a", b"one")]
    assert isinstance(error, TruncatedArchiveError)
    assert "behind 1 of 3 keys" in str(error)
    members, error = whole(["a", "x", "y"], tar([("a", b"one"), (ERRORS, report(["x"]))]))
    assert isinstance(error, TruncatedArchiveError)
    members, error = whole(["a"], tar([]), [(b"x-tigris-bundle-skipped", b"1")])
    assert isinstance(error, TruncatedArchiveError)


@pytest.mark.parametrize(
    ("members", "trailers", "words"),
    [
        ([("a", b"one"), ("b", b"")], [(b"count", b"3")], "2 objects, and its trailers say 3"),
        ([("a", b"one"), ("b", b"")], [(b"bytes", b"4")], "3 bytes, and its trailers say 4"),
        ([("a", b"one"), ("b", b"")], [(b"skipped", b"1")], "0 skipped keys, and its trailers say 1"),
        ([("a", b"one"), ("b", b"")], [(b"count", b"-2")], "x-tigris-bundle-count is no number: '-2'"),
        ([("b", b"")], [], "1 of the keys .* skipped 0: they do not agree on 'a'"),
        ([("a", b"one"), ("b", b""), (ERRORS, report(["b"]))], [], "0 of the keys .* skipped 1: .* 'b'"),
        ([("b", b""), (ERRORS, report(["a", "a"]))], [], "1 of the keys .* skipped 2: .* on 'a'"),
        ([("a", b"one"), ("b", b""), (ERRORS, b"[]")], [], "no list of skipped keys"),
        ([("a", b"one"), ("b", b""), (ERRORS, b'{"skipped": [{"key": 1}]}')], [], "int where text is due"),
        ([("a", b"one"), ("b", b""), (ERRORS, b'{"skipped": [[]]}')], [], "no list of skipped keys"),
        ([("a", b"one"), ("b", b""), (ERRORS, bytes(5000))], [], "5000 bytes, of 2 keys"),
    ],
)
def test_what_contradicts_itself_is_refused_behind_what_came(
    members: list[tuple[str, bytes]], trailers: list[tuple[bytes, bytes]], words: str
) -> None:
    fields = [(b"x-tigris-bundle-" + name, value) for name, value in trailers]
    found, error = whole(["a", "b"], tar(members), fields)
    assert len(found) == 2
    assert type(error) is FormatError
    assert error.codec == "tigris"
    with pytest.raises(FormatError, match=words):
        raise error


def test_a_list_of_skipped_keys_in_parts() -> None:
    keys = [f"{'x' * 200}{index}" for index in range(3000)]
    decoder = BundleDecoder(keys, parse_format(".tar"))
    members, error = decode(decoder, split(bundle(keys, {}), 10_000))
    assert (members, error) == ([(MISSING, b"")] * 3000, None)
    assert len(decoder.skipped) == 3000


def test_a_list_of_skipped_keys_has_room_for_any_key() -> None:
    keys = ["\U0010ffff" * 256, "\x01" * 1024]
    members, error = whole(keys, tar([(ERRORS, report(keys, "x" * 500))]))
    assert (members, error) == ([(MISSING, b"")] * 2, None)


def test_a_list_of_skipped_keys_that_is_larger_than_may_be_held() -> None:
    _, error = whole(["a"], tar([("a", b"one"), (ERRORS, bytes(100))]), limits=Limits(max_item_size=99))
    assert isinstance(error, LimitExceededError)
    assert error.limit == "max_item_size"


def test_a_member_without_a_name_is_none_that_is_missing() -> None:
    archive = bytearray(tar([("a", b"")], form=tarfile.USTAR_FORMAT))
    archive[:1] = b"\0"
    archive[148:156] = b"%06o\0 " % (sum(archive[:148]) + 8 * 32 + sum(archive[156:512]))
    members, error = whole(["a"], bytes(archive))
    assert members == []
    assert isinstance(error, FormatError)
    assert "no name" in str(error)


def test_members_that_were_not_asked_for_come_out_as_they_are() -> None:
    members, _ = whole(["a", "b"], tar([("a", b"one"), ("x", b"two")]))
    assert members == [("a", b"one"), ("x", b"two")]
    members, error = whole(["a", "b"], tar([("a", b""), (ERRORS, report(["b"])), ("b", b"")]))
    assert members == [("a", b""), (ERRORS, report(["b"])), ("b", b"")]
    assert error is None  # who pairs them has refused the second one


def test_an_object_that_comes_too_late_was_not_missing() -> None:
    members, error = whole(["a", "b", "c"], tar([("a", b"one"), ("c", b"three"), ("b", b"two")]))
    assert members == [("a", b"one"), (MISSING, b""), ("c", b"three")]
    assert type(error) is FormatError
    assert "'b' comes behind its place" in str(error)


def test_behind_what_was_not_due_nothing_that_was_passed_over_is_missing() -> None:
    # One "a" too many, which is taken for the second: then "b" and "c" are in the archive, and not in order.
    archive = tar([(key, b"data") for key in ("a", "a", "b", "c", "a")])
    members, error = whole(["a", "b", "c", "a", "b", "d"], archive)
    assert members == [("a", b"data"), (MISSING, b""), (MISSING, b""), ("a", b"data"), ("b", b"data")]
    assert type(error) is FormatError
    assert "'c' comes behind its place" in str(error)
    members, error = whole(["a", "b", "a"], archive)
    assert members == [("a", b"data"), (MISSING, b""), ("a", b"data")]
    assert "'b' comes behind its place" in str(error)
    members, error = whole(["a", "b", "c"], tar([("a", b"one"), ("c", b"three"), ("x", b"two")]))
    assert members == [("a", b"one"), (MISSING, b""), ("c", b"three")]
    assert type(error) is FormatError
    assert "'x' was not due" in str(error)


class TestObjectsThatAreCalledAsTheListOfSkippedKeys:
    @pytest.mark.parametrize("with_trailers", [False, True])
    @pytest.mark.parametrize("size", [100, 1 << 20])
    @pytest.mark.parametrize(
        "data",
        [b"", b"mine", report(["other"]), bytes(100_000), report([ERRORS] * 3)],
        ids=["empty", "text", "a-list", "large", "a-list-of-its-name"],
    )
    def test_they_come(self, data: bytes, size: int, with_trailers: bool) -> None:  # noqa: FBT001 - a parameter
        objects = {"a": b"one", ERRORS: data, "b": b"two"}
        for keys in (
            [ERRORS],
            ["a", ERRORS],
            [ERRORS, "a"],
            [ERRORS, ERRORS],
            ["x", ERRORS, "a", ERRORS, "y"],
            ["a", ERRORS, "x"],
        ):
            trailers = trailers_of(keys, objects) if with_trailers else []
            decoder = BundleDecoder(keys, parse_format(".tar"), trailers=partial(list, trailers))
            members, error = decode(decoder, split(bundle(keys, objects), size))
            assert error is None
            assert members == [(key, objects[key]) if key in objects else (MISSING, b"") for key in keys]

    def test_they_come_in_parts(self) -> None:
        keys = [*map(str, range(40)), ERRORS, "last"]
        for objects in ({ERRORS: bytes(30_000)}, {ERRORS: bytes(30_000), "last": b"two"}):
            decoder = BundleDecoder(keys, parse_format(".tar"))
            members, error = decode(decoder, split(bundle(keys, objects), 1_000))
            assert error is None
            assert members == [(key, objects[key]) if key in objects else (MISSING, b"") for key in keys]
        decoder = BundleDecoder(keys, parse_format(".tar"))
        members, error = decode(decoder, split(bundle(keys, {ERRORS: bytes(30_000)}), 1_000)[:20])
        assert members == []
        assert isinstance(error, TruncatedArchiveError)

    def test_trailers_tell_what_is_both(self) -> None:
        objects = {"a": b"one", ERRORS: report([ERRORS])}
        members, error = whole(
            ["a", ERRORS], bundle(["a", ERRORS], objects), trailers_of(["a", ERRORS], objects)
        )
        assert (members, error) == ([("a", b"one"), (ERRORS, report([ERRORS]))], None)
        objects = {"a": b"one"}
        members, error = whole(
            ["a", ERRORS], bundle(["a", ERRORS], objects), trailers_of(["a", ERRORS], objects)
        )
        assert (members, error) == ([("a", b"one"), (MISSING, b"")], None)

    def test_one_comes_out_also_before_an_error_at_the_end(self) -> None:
        members, error = whole([ERRORS, "b"], tar([(ERRORS, b"mine")]))
        assert members == [(ERRORS, b"mine")]
        assert isinstance(error, TruncatedArchiveError)


@pytest.mark.parametrize(
    "key",
    ["a\nb", "\x01\x1f\x7f", "100%", "%2F..", "../a", "/a", "a//b", "ü" * 512, "x" * 1024, "a/", "😀"],
    ids=lambda key: ascii(key)[:20],
)
def test_any_key(key: str) -> None:
    for keys in ([key], ["x", key, "y", key]):
        members, error = whole(keys, bundle(keys, {key: b"data"}))
        assert error is None
        assert members == [(name, b"data") if name == key else (MISSING, b"") for name in keys]
        members, error = whole(keys, bundle(keys, {}))
        assert (members, error) == ([(MISSING, b"")] * len(keys), None)


def test_data_of_a_large_member_may_pass_by() -> None:
    data = bytes(2_000_000)
    archive = tar([("a", data), ("b", b"two")])
    decoder = BundleDecoder(["a", "b"], parse_format(".tar"))
    decoder.feed(archive[: 512 + 1000])
    assert [type(event).__name__ for event in decoder] == ["TarMemberStart", "MemberData"]
    assert decoder.passable == 2_000_000 - 1001
    decoder.pass_by(1_500_000)
    members, error = decode(decoder, [archive[512 + 1000 + 1_500_000 :]])
    assert (members[-1], error) == (("b", b"two"), None)
    assert BundleDecoder(["a"], parse_format(".tar.gz")).passable == 0
    decoder = BundleDecoder(["a"], parse_format(".tar"))
    decoder.feed(tar([(ERRORS, bytes(2_000))])[:600])
    assert list(decoder) == []
    assert decoder.passable == 0


def test_a_loop_that_is_left_is_continued() -> None:
    keys = ["x", "a", "y", "b", "z", "z"]
    decoder = BundleDecoder(keys, parse_format(".tar"))
    decoder.feed(bundle(keys, OBJECTS))
    decoder.feed_eof()
    names = []
    while True:
        for event in decoder:
            assert isinstance(event, WholeMember)
            names.append(event.name)
            break
        else:
            break
    assert names == ["", "a", "", "b", "", ""]


@pytest.mark.parametrize(("more", "is_right"), [(0, True), (-1, False), (1, False)])
def test_the_bytes_may_be_those_of_the_archive(more: int, is_right: bool) -> None:  # noqa: FBT001
    archive = bundle(list(OBJECTS), OBJECTS)
    trailers = [(b"x-tigris-bundle-bytes", b"%d" % (len(archive) + more))]
    members, error = whole(list(OBJECTS), archive, trailers)
    assert members == list(OBJECTS.items())
    assert (error is None) == is_right
