"""Signing, against what AWS has published, and what does not show in signatures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from asyncbatch.tigris.wire import UNSIGNED_PAYLOAD, Credentials, payload_hash, sign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DATA = Path(__file__).parents[1] / "data" / "sigv4"
FILES = {name: json.loads((_DATA / name).read_bytes()) for name in ("vectors.json", "s3.json")}

CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI")
NOW = datetime(2026, 11, 21, 19, 0, 0, tzinfo=UTC)
HASH = payload_hash(b"")


def signed(
    path: str = "/b/o",
    query: str = "",
    *,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = MappingProxyType({"Host": "h"}),
    credentials: Credentials = CREDENTIALS,
    service: str = "s3",
    at: datetime = NOW,
) -> dict[str, str]:
    return sign(
        "GET", path, query, headers, HASH, credentials=credentials, region="auto", service=service, at=at
    )


def signature(
    path: str = "/b/o",
    query: str = "",
    *,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = MappingProxyType({"Host": "h"}),
) -> str:
    return signed(path, query, headers=headers)["Authorization"]


@pytest.mark.parametrize(
    ("file", "case"),
    [
        pytest.param(file, case, id=f"{name.removesuffix('.json')}-{case['name']}")
        for name, file in FILES.items()
        for case in file["cases"]
    ],
)
def test_what_aws_has_published(file: dict[str, Any], case: dict[str, Any]) -> None:
    added = sign(
        case["method"],
        case["path"],
        case["query"],
        [(name, value) for name, value in case["headers"]],
        payload_hash(case["body"].encode()),
        credentials=Credentials(file["access_key_id"], file["secret_access_key"], case.get("session_token")),
        region=file["region"],
        service=file["service"],
        at=datetime.fromisoformat(file["at"]),
    )
    at = file["at"].replace("-", "").replace(":", "").removesuffix("+0000") + "Z"
    scope = f"{at[:8]}/{file['region']}/{file['service']}/aws4_request"
    assert added["X-Amz-Date"] == at
    assert added["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={file['access_key_id']}/{scope}, "
        f"SignedHeaders={case['signed_headers']}, Signature={case['signature']}"
    )


def test_what_is_to_be_sent_besides() -> None:
    temporary = CREDENTIALS._replace(session_token="tok/en==")  # noqa: S106 - of nobody
    assert list(signed()) == ["X-Amz-Date", "x-amz-content-sha256", "Authorization"]
    assert signed()["x-amz-content-sha256"] == HASH
    assert signed(credentials=temporary)["X-Amz-Security-Token"] == "tok/en=="
    assert list(signed(service="iam")) == ["X-Amz-Date", "Authorization"]
    unsigned = sign(
        "PUT", "/", "", {"Host": "h"}, UNSIGNED_PAYLOAD, credentials=CREDENTIALS, region="r", at=NOW
    )
    assert unsigned["x-amz-content-sha256"] == UNSIGNED_PAYLOAD


def test_the_time_may_be_of_any_zone() -> None:
    assert signed(at=NOW.astimezone(timezone(timedelta(hours=-9)))) == signed()


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/b/holiday%20%282024%29%21.jpg", "/b/holiday%20(2024)!.jpg"),
        ("/b/%e6%bc%a2", "/b/%E6%BC%A2"),
        ("/b/%E6%BC%A2", "/b/漢"),
        ("/b/%7Ea%2D", "/b/~a-"),
        ("", "/"),
    ],
)
def test_a_key_of_s3_may_be_quoted_in_any_way(path: str, same: str) -> None:
    assert signature(path) == signature(same)


@pytest.mark.parametrize(
    ("path", "other"), [("/b//o", "/b/o"), ("/b/../o", "/o"), ("/b/./o", "/b/o"), ("/b/", "/b")]
)
def test_a_key_of_s3_is_not_normalised(path: str, other: str) -> None:
    assert signature(path) != signature(other)


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("b=1&a=2", "a=2&b=1"),
        ("a=2&a=1&a=", "a=&a=1&a=2"),
        ("bundle", "bundle="),
        ("a=x+y", "a=x%20y"),
        ("&a=1&&", "a=1"),
        ("p=a%2fb!", "p=a/b%21"),
        ("a=b=c", "a=b%3Dc"),
    ],
)
def test_a_query_is_what_servers_read(query: str, same: str) -> None:
    assert signature(query=query) == signature(query=same)
    assert signature(query=query) != signature()


def test_an_encoded_plus_is_no_space() -> None:
    assert signature(query="a=x%2By") != signature(query="a=x+y")


def test_headers_of_one_name_are_one() -> None:
    twice = [("Host", "h"), ("X-Amz-Meta-A", "1"), ("x-amz-meta-a", " 2  3 ")]
    assert signature(headers=twice) == signature(headers={"host": "h", "X-Amz-Meta-A": "1,2 3"})


def test_what_proxies_change_is_not_signed() -> None:
    headers = {
        "Host": "h",
        "User-Agent": "x",
        "Accept-Encoding": "gzip",
        "TE": "trailers",
        "Proxy-Connection": "x",
    }
    assert signature(headers=headers) == signature()


def test_what_was_signed_before_is_signed_anew() -> None:
    stale = {"Host": "h", **signed(at=NOW - timedelta(days=1))}
    assert signed(headers=stale) == signed()


def test_a_host_is_needed() -> None:
    with pytest.raises(ValueError, match="Host"):
        signed(headers={})


def test_credentials_show_no_secret() -> None:
    shown = Credentials("AKID", "the-secret", "the-token")
    assert repr(shown) == "<Credentials: 'AKID', secret hidden>"
    assert f"{shown}" == repr(shown)
