"""What a request for a bundle says, and in how many ways it says nothing."""

from __future__ import annotations

import json

import pytest

from asyncbatch.server._bundle_request import parse_keys, parse_options
from asyncbatch.server._s3_errors import S3Error

HEADERS = {"x-tigris-bundle-format": "tar", "content-type": "application/json"}


def _body(*keys: str) -> bytes:
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[]",
        b"{}",
        b'{"keys": "a"}',
        b'{"keys": [1]}',
        b'{"keys": []}',
        b'{"keys": ["\xff"]}',
        b"[" * 100_000,
        _body(*["a"] * 5001),
    ],
    ids=["empty", "cut", "array", "none", "string", "number", "no keys", "bytes", "deep", "many"],
)
def test_json_that_is_no_request(body: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        parse_keys(body, is_xml=False)
    assert (caught.value.status, caught.value.code) == (400, "InvalidRequest")
    assert parse_keys(_body(*["a"] * 5000), is_xml=False) == ["a"] * 5000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<Bundle>",
        "<Bundel><Object><Key>a</Key></Object></Bundel>",
        "<Bundle><Object/></Bundle>",
        "<Bundle><Object><Key>&x;</Key></Object></Bundle>",
        '<!DOCTYPE x [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><Bundle><Object><Key>&b;</Key></Object></Bundle>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Bundle><Object><Key>a</Key></Object></Bundle>',
        "<Bundle>" + "<a>" * 100,
    ],
    ids=["empty", "cut", "name", "no key", "entity", "laughs", "file", "deep"],
)
def test_xml_that_is_no_request(body: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_keys(body.encode(), is_xml=True)
    assert (caught.value.status, caught.value.code) == (400, "MalformedXML")


@pytest.mark.parametrize("count", [0, 5000, 5001, 100_000])
def test_the_number_of_keys_in_xml(count: int) -> None:
    body = b"<Bundle>%b</Bundle>" % (b"<Object><Key>a</Key></Object>" * count)
    if count == 5000:
        assert parse_keys(body, is_xml=True) == ["a"] * count
    else:
        with pytest.raises(S3Error, match="1 to 5000 keys"):
            parse_keys(body, is_xml=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-tigris-bundle-format", None),
        ("x-tigris-bundle-format", "zip"),
        ("x-tigris-bundle-on-error", "ignore"),
        ("x-tigris-bundle-compression", "lz4"),
        ("content-type", None),
        ("content-type", "text/plain"),
    ],
)
def test_headers_that_are_no_request(name: str, value: str | None) -> None:
    headers = {key: found for key, found in (HEADERS | {name: value}).items() if found is not None}
    with pytest.raises(S3Error, match=name.title() if name == "content-type" else name) as caught:
        parse_options(headers)
    assert caught.value.status == 400


def test_the_default_is_to_skip_and_not_to_compress() -> None:
    options = parse_options(HEADERS | {"content-type": "application/json; charset=utf-8"})
    assert (options.skips, options.compression, options.is_xml) == (True, "none", False)
