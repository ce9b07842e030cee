"""The names of members, and what those mean that begin with ``__404__/``, in every mode and format."""

from __future__ import annotations

import pytest

from asyncbatch import ObjectNotFoundError
from asyncbatch.aistore.wire import fault_of, member_name
from asyncbatch.batch import Entry

OBJECT = Entry("dir/o", "b", "ais")
FILE = Entry("s.tar", "b", "ais", archpath="x/y")
ROOTED = FILE._replace(archpath="/x/y")


@pytest.mark.parametrize(
    ("entry", "long", "short"),
    [(OBJECT, "b/dir/o", "dir/o"), (FILE, "b/s.tar/x/y", "s.tar/x/y"), (ROOTED, "b/s.tar/x/y", "s.tar/x/y")],
)
def test_members_are_named_with_their_bucket_or_without(entry: Entry, long: str, short: str) -> None:
    assert member_name(entry, only_obj_name=False) == long
    assert member_name(entry, only_obj_name=True) == short


@pytest.mark.parametrize(
    ("entry", "name", "what"),
    [
        (OBJECT, "dir/o", "ais://b/dir/o"),
        (FILE, "s.tar/x/y", "x/y in ais://b/s.tar"),
        (FILE, "s.tar", "x/y in ais://b/s.tar"),
        (ROOTED, "s.tar/x/y", "/x/y in ais://b/s.tar"),
        (ROOTED, "s.tar", "/x/y in ais://b/s.tar"),
    ],
)
@pytest.mark.parametrize("short", [False, True])
def test_what_is_missing_is_named_as_it_would_be(entry: Entry, name: str, what: str, *, short: bool) -> None:
    member = f"__404__/{name}" if short else f"__404__/b/{name}"
    fault = fault_of(entry, member, only_obj_name=short)
    assert isinstance(fault, ObjectNotFoundError)
    assert (fault.status, fault.message, fault.name, fault.bucket) == (
        404,
        f"{what} does not exist",
        entry.name,
        "b",
    )
    told = fault_of(entry, member, only_obj_name=short, message="t[1]: it does not exist")
    assert isinstance(told, ObjectNotFoundError)
    assert told.message == "t[1]: it does not exist"


@pytest.mark.parametrize("entry", [OBJECT, FILE])
@pytest.mark.parametrize(
    "name", ["b/dir/o", "dir/o", "__404__/", "__404__/dir/o", "__404__/b/dir", "__404__/b/s.tar/x", "__404__"]
)
def test_another_name_means_nothing(entry: Entry, name: str) -> None:
    assert fault_of(entry, name, only_obj_name=False, message="does not exist") is None
