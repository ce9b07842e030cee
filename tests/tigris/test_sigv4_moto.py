"""The signer against moto, which lets in what is signed well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from asyncbatch.tigris.wire import UNSIGNED_PAYLOAD, Credentials, payload_hash, sign

from ..support.moto import moto_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..support.moto import Moto

DATA = b"what was put"


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with moto_server(["signed"]) as server:
        yield server


def send(
    moto: Moto,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    secret: str | None = None,
    digest: str | None = None,
) -> httpx.Response:
    url = httpx.URL(moto.endpoint_url + target)
    path, _, query = url.raw_path.decode().partition("?")
    credentials = Credentials(moto.access_key_id, secret or moto.secret_access_key)
    with httpx.Client(trust_env=False) as client:
        request = client.build_request(method, url, content=body, headers={"X-Amz-Meta-Note": "a  b"})
        added = sign(
            method,
            path,
            query,
            request.headers,
            digest or payload_hash(body),
            credentials=credentials,
            region=moto.region,
            at=datetime.now(UTC),
        )
        request.headers.update(added)
        return client.send(request)


@pytest.mark.parametrize("key", ["plain.bin", "a%20b/%28c%29~%2B.bin", "%E6%BC%A2//..%25/x"])
def test_what_is_signed_is_let_in(moto: Moto, key: str) -> None:
    assert send(moto, "PUT", f"/signed/{key}", DATA).status_code == 200
    answer = send(moto, "GET", f"/signed/{key}")
    assert (answer.status_code, answer.content) == (200, DATA)
    assert send(moto, "GET", "/signed?list-type=2&prefix=a%20b%2F&max-keys=1&start-after=").status_code == 200


def test_a_body_that_is_not_signed(moto: Moto) -> None:
    assert send(moto, "PUT", "/signed/unsigned", DATA, digest=UNSIGNED_PAYLOAD).status_code == 200


def test_what_is_not_signed_well_is_not(moto: Moto) -> None:
    answer = send(moto, "GET", "/signed/plain.bin", secret="another")  # noqa: S106 - of nobody
    assert answer.status_code == 403
    assert "SignatureDoesNotMatch" in answer.text
