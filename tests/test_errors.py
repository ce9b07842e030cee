"""The error tree: who must act, what is said, and what survives a pickle."""

from __future__ import annotations

import copy
import pickle

import pytest

import asyncbatch
from asyncbatch import errors
from asyncbatch.errors import (
    AsyncBatchError,
    AuthenticationError,
    BucketNotFoundError,
    FormatError,
    IncompleteBatchError,
    LimitExceededError,
    ObjectNotFoundError,
    OverloadedError,
    RemoteError,
    TransportError,
    TruncatedArchiveError,
    UnsupportedFormatError,
    UsageError,
)

EXAMPLES: list[tuple[AsyncBatchError, dict[str, object]]] = [
    (AsyncBatchError("anything"), {}),
    (UsageError("no entries"), {"index": None}),
    (UsageError("the name is empty", index=3), {"index": 3}),
    *(
        (
            kind("bad magic", codec="tar", offset=512, member="a.txt"),
            {"codec": "tar", "offset": 512, "reason": "bad magic", "member": "a.txt"},
        )
        for kind in (FormatError, TruncatedArchiveError, UnsupportedFormatError)
    ),
    (
        LimitExceededError("max_item_size", 11, 10, what="member 'a'"),
        {"limit": "max_item_size", "value": 11, "maximum": 10},
    ),
    (
        RemoteError(status=500, message="no disk", code="ErrIO", url="http://host/x", retryable=True),
        {"status": 500, "message": "no disk", "code": "ErrIO", "url": "http://host/x", "retryable": True},
    ),
    *(
        (
            kind(status=status, message="no", code="Err", url="http://host/x", name="obj", bucket="ais://b"),
            {
                "status": status,
                "message": "no",
                "code": "Err",
                "url": "http://host/x",
                "name": "obj",
                "bucket": "ais://b",
            },
        )
        for kind, status in (
            (ObjectNotFoundError, 404),
            (BucketNotFoundError, 404),
            (AuthenticationError, 403),
            (OverloadedError, 503),
        )
    ),
    (TransportError("connection refused", retryable=True), {"retryable": True}),
    (
        IncompleteBatchError("the body was cut", delivered=1, missing=["b", "c"], items=["a"]),
        {"delivered": 1, "missing": ("b", "c"), "items": ("a",)},
    ),
]
every_example = pytest.mark.parametrize(
    ("error", "attributes"), EXAMPLES, ids=lambda value: type(value).__name__
)


def test_there_is_an_example_of_every_error() -> None:
    assert {type(error).__name__ for error, _ in EXAMPLES} == set(errors.__all__)


@every_example
def test_errors_carry_their_facts_as_attributes(
    error: AsyncBatchError, attributes: dict[str, object]
) -> None:
    assert {name: getattr(error, name) for name in attributes} == attributes


@every_example
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_pickle_with_their_attributes(
    error: AsyncBatchError, attributes: dict[str, object], protocol: int
) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert again.__dict__ == error.__dict__


@every_example
def test_errors_copy(error: AsyncBatchError, attributes: dict[str, object]) -> None:
    again = copy.copy(error)
    assert again is not error
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)


def test_a_cause_is_chained_but_not_pickled() -> None:
    with pytest.raises(TransportError) as caught:
        raise TransportError("broke off", retryable=True) from OSError("reset")
    assert isinstance(caught.value.__cause__, OSError)
    assert pickle.loads(pickle.dumps(caught.value)).__cause__ is None  # noqa: S301 - our own


def test_notes_survive_a_pickle() -> None:
    error = UsageError("no")
    error.add_note("from a worker")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["from a worker"]  # noqa: S301 - our own


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (UsageError, (ValueError,)),
        (TruncatedArchiveError, (FormatError,)),
        (UnsupportedFormatError, (FormatError,)),
        (ObjectNotFoundError, (RemoteError,)),
        (BucketNotFoundError, (RemoteError,)),
        (AuthenticationError, (RemoteError,)),
        (OverloadedError, (RemoteError,)),
    ],
)
def test_errors_are_caught_by_their_branch(
    kind: type[AsyncBatchError], bases: tuple[type[Exception], ...]
) -> None:
    assert issubclass(kind, (AsyncBatchError, *bases))
    assert all(issubclass(kind, base) for base in bases)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_public_and_of_one_tree(name: str) -> None:
    assert getattr(asyncbatch, name) is getattr(errors, name)
    assert issubclass(getattr(errors, name), AsyncBatchError)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UsageError("the name is empty", index=3), "entry 3: the name is empty"),
        (
            FormatError("bad magic", codec="tar", offset=512, member="a"),
            "tar: bad magic at byte 512 (member 'a')",
        ),
        (FormatError("bad magic", codec="gzip", offset=0), "gzip: bad magic at byte 0"),
        (
            LimitExceededError("max_members", 6, 5, what="members of a tar"),
            "members of a tar: 6 exceeds max_members=5; if you trust this input, pass Limits(max_members=…)",
        ),
        (
            RemoteError(status=404, message="gone", code="ErrX", url="http://h/o"),
            "HTTP 404 ErrX from http://h/o: gone",
        ),
        (RemoteError(status=500, message="oops"), "HTTP 500: oops"),
        (
            IncompleteBatchError("cut", delivered=2, missing=["c"]),
            "cut; 2 of 3 items were delivered: ask again for the rest, which `missing` lists",
        ),
    ],
)
def test_messages_say_what_where_and_what_to_do(error: AsyncBatchError, message: str) -> None:
    assert str(error) == message


def test_a_list_of_missing_entries_is_copied() -> None:
    missing = ["b"]
    error = IncompleteBatchError("cut", delivered=1, missing=missing)
    missing.clear()
    assert error.missing == ("b",)
    assert error.items == ()


def test_a_message_shows_the_beginning_of_a_long_name() -> None:
    error = FormatError("damaged", codec="zip", offset=3, member="n" * 60_000)
    assert len(str(error)) < 300
    assert str(error).endswith("n'…)")
    assert error.member == "n" * 60_000
