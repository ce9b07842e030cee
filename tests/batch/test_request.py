"""What a batch asks for, checked before anything is sent."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch import BatchRequest, UsageError
from asyncbatch.batch import BatchStream, Entry, make_request

from ..support.batches import FakeBucket, FakeObject, FakeSource, request_of, tar

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_request_has_the_defaults_of_the_documentation() -> None:
    request = BatchRequest()
    assert request.output_format == ".tar"
    assert (request.continue_on_err, request.only_obj_name, request.streaming) == (False, False, True)
    assert request.colocation == 0
    assert request.entries == ()
    assert len(request) == 0


def test_an_entry_keeps_what_it_was_added_with() -> None:
    request = BatchRequest()
    request.add_object_request(
        FakeObject("o", FakeBucket("b", "aws", "#n")), archpath="p", opaque=b"\0", start=1, length=2
    )
    assert request.entries == (
        Entry(
            name="o",
            bucket="b",
            provider="aws",
            namespace="#n",
            archpath="p",
            start=1,
            length=2,
            opaque=b"\0",
        ),
    )


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("", {}, "name is empty"),
        ("o", {"archpath": ""}, "archpath is empty"),
        ("o", {"start": -1}, "start=-1 is negative"),
        ("o", {"length": 0}, "length=0"),
        ("o", {"length": -1}, "length=-1"),
    ],
)
def test_an_entry_that_could_never_be_answered_is_refused(
    name: str, options: dict[str, Any], reason: str
) -> None:
    request = request_of(["first"])
    with pytest.raises(UsageError, match=reason) as caught:
        request.add_object_request(FakeObject(name), **options)
    assert caught.value.index == 1
    assert len(request) == 1


@pytest.mark.parametrize("form", ["tar", ".rar", "", "application/x-tar"])
def test_an_unknown_format_is_refused(form: str) -> None:
    with pytest.raises(UsageError, match="no known archive format"):
        BatchRequest(output_format=form)


@pytest.mark.parametrize("colocation", [-1, 3])
def test_an_unknown_colocation_is_refused(colocation: int) -> None:
    with pytest.raises(UsageError, match="colocation"):
        BatchRequest(colocation=colocation)


@pytest.mark.parametrize(("form", "name"), [(".tgz", ".tar.gz"), (".TAR", ".tar"), (".tar.lz4", ".tar.lz4")])
def test_a_format_has_one_name(form: str, name: str) -> None:
    assert BatchRequest(output_format=form).output_format == name


def test_a_copy_changes_on_its_own_and_keeps_the_options() -> None:
    options: dict[str, Any] = {
        "output_format": ".tar.gz",
        "continue_on_err": True,
        "only_obj_name": True,
        "streaming": False,
        "colocation": 1,
    }
    request = request_of(["a", "b"], **options)
    copy = request.copy()
    copy.add_object_request(FakeObject("c"))
    rest = request.with_entries(request.entries[1:])
    assert [len(one) for one in (request, copy, rest)] == [2, 3, 1]
    for one in (copy, rest):
        assert {name: getattr(one, name) for name in options} == options
    assert repr(request) == (
        "<BatchRequest of 2 entries, output_format='.tar.gz', continue_on_err=True, streaming=False>"
    )


def test_names_alone_are_the_same_request_as_objects() -> None:
    names, bucket = ["a", "b", "c", "a"], FakeBucket("b", "aws", "#n")
    by_name = make_request(names, bucket, {"continue_on_err": True})
    one_by_one = make_request([FakeObject(name, bucket) for name in names], None, {"continue_on_err": True})
    names.append("too late")
    assert by_name.whole is not None
    changes: list[Callable[[BatchRequest], BatchRequest]] = [
        lambda request: request,
        lambda request: request.copy(),
        lambda request: request.part(1, 3),
        lambda request: request.part(2, 2),
        lambda request: request.with_entries(request.entries[2:]),
    ]
    for change in changes:
        this, other = change(by_name), change(one_by_one)
        assert repr(this) == repr(other)
        assert this.names == other.names
        assert this.traits == other.traits or not this
        assert [this.entry(index) for index in range(len(this))] == list(this.entries) == list(other.entries)
    by_name.add_object_request(FakeObject("d"), start=1)
    one_by_one.add_object_request(FakeObject("d"), start=1)
    assert by_name.entries == one_by_one.entries
    assert by_name.traits == one_by_one.traits
    assert by_name.whole is None


def test_a_copy_of_a_request_by_names_changes_on_its_own() -> None:
    request = make_request(["a", "b"], FakeBucket(), {})
    copies = [request.copy()]
    assert len(request.entries) == 2
    copies.append(request.copy())
    for copy in copies:
        copy.add_object_request(FakeObject("c"))
        assert [entry.name for entry in copy.entries] == ["a", "b", "c"]
    assert [entry.name for entry in request.entries] == [*request.names] == ["a", "b"]


@pytest.mark.anyio
async def test_metadata_has_its_entry_whether_it_was_made_already_or_not() -> None:
    names = ["a", "b", "c"]
    archive = tar([(name, b"data") for name in names])
    bucket = FakeBucket("b", "aws", "#n")
    by_name = make_request(names, bucket, {})
    one_by_one = make_request([FakeObject(name, bucket) for name in names], None, {})
    these, others = [
        [item.metadata for item in await BatchStream(FakeSource([archive]), request).read_all()]
        for request in (by_name, one_by_one)
    ]
    assert these == others
    assert repr(these) == repr(others)
    for metadata, name in zip(these, names, strict=True):
        assert metadata.name == name
        assert metadata.entry is metadata.entry == by_name.entries[metadata.index]
    these[1].index = these[0].index
    these[1].member_name = these[0].member_name
    assert these[0] != these[1]  # for its entry alone
    assert these[0] != "a"
    assert pickle.loads(pickle.dumps(these)) == these  # noqa: S301 - our own
    with pytest.raises(TypeError, match="unhashable"):
        hash(these[0])


def test_a_batch_takes_a_copy_when_it_is_made() -> None:
    request = request_of(["a"])
    source = FakeSource()
    batch = BatchStream(source, request)
    assert source.checked == 1
    request.add_object_request(FakeObject("b"))
    assert repr(batch) == "<BatchStream new, 0 of 1 items delivered>"


def test_a_request_is_taken_as_it_is() -> None:
    request = request_of(["a"])
    assert make_request(request, None, {}) is request


def test_options_beside_a_request_are_refused() -> None:
    for bucket, options in ((FakeBucket(), {}), (None, {"streaming": True})):
        with pytest.raises(UsageError, match="have no effect beside it"):
            make_request(request_of([]), bucket, options)  # type: ignore[arg-type]


def test_names_and_objects_make_a_request() -> None:
    elsewhere = FakeObject("y", FakeBucket("c"))
    request = make_request(["x", elsewhere, "z"], FakeBucket(), {"continue_on_err": True})
    assert [(entry.bucket, entry.name) for entry in request.entries] == [("b", "x"), ("c", "y"), ("b", "z")]
    assert request.continue_on_err


def test_a_name_without_a_bucket_is_refused() -> None:
    with pytest.raises(UsageError, match="in which bucket=") as caught:
        make_request([FakeObject("x"), "y"], None, {})
    assert caught.value.index == 1


def test_one_name_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(UsageError, match=r"ask for \['name'\]"):
        make_request("name", FakeBucket(), {})


@pytest.mark.parametrize("wanted", [[FakeObject("x"), 5], [FakeObject("x"), None], [FakeObject("x"), b"y"]])
def test_what_is_neither_a_name_nor_an_object_is_refused(wanted: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match="pass names and objects, not") as caught:
        make_request(wanted, FakeBucket(), {})
    assert caught.value.index == 1


def test_names_alone_make_the_same_entries_as_objects() -> None:
    bucket = FakeBucket("b", "aws", "#n")
    objects = BatchRequest()
    for name in ("x", "y"):
        objects.add_object_request(FakeObject(name, bucket))
    assert make_request(iter(["x", "y"]), bucket, {}).entries == objects.entries


def test_an_empty_name_among_others_is_refused() -> None:
    with pytest.raises(UsageError, match="name is empty") as caught:
        make_request(["x", "", "y"], FakeBucket(), {})
    assert caught.value.index == 1
