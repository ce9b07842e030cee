"""`Limits`: finite by default, frozen, and positive."""

from __future__ import annotations

import math
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from asyncbatch import Limits, UsageError
from asyncbatch.limits import DEFAULT_LIMITS

NAMES = [field.name for field in fields(Limits)]


def test_defaults_are_those_of_the_documentation() -> None:
    assert Limits() == DEFAULT_LIMITS
    assert {name: getattr(Limits(), name) for name in NAMES} == {
        "max_item_size": 2 * 2**30,
        "max_member_size": 2**40,
        "max_total_size": 16 * 2**40,
        "max_members": 100_000_000,
        "max_ratio": 1_000,
        "max_name_length": 65_536,
        "max_header_size": 2**20,
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_default_is_finite(name: str) -> None:
    assert 0 < getattr(DEFAULT_LIMITS, name) < math.inf


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, math.nan, -math.inf])
def test_a_limit_that_is_not_positive_is_refused_by_name(name: str, value: Any) -> None:  # noqa: ANN401 - any number
    with pytest.raises(UsageError, match=f"{name}={value}"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", NAMES)
def test_limits_cannot_change_once_made(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(Limits(), name, 1)


def test_one_limit_can_be_replaced_for_a_copy() -> None:
    assert replace(DEFAULT_LIMITS, max_members=5) == Limits(max_members=5)
    with pytest.raises(UsageError):
        replace(DEFAULT_LIMITS, max_members=0)


def test_limits_pickle() -> None:
    assert pickle.loads(pickle.dumps(Limits(max_ratio=7))) == Limits(max_ratio=7)  # noqa: S301 - our own
