"""The signer against botocore's: thousands of requests, and the same signature under each."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from asyncbatch.tigris.wire import UNSIGNED_PAYLOAD, Credentials, check_payload, payload_hash, sign, verify

START = datetime(2026, 1, 1, tzinfo=UTC)
# Whatever a key may hold, and often what is special somewhere.
CHARACTERS = [chr(code) for code in range(1, 256)] + list("//..++%%&&==  ~~-_\n\té漢\U0001f600") * 8
SPACES = ["", " ", "  ", "\t", " \t "]


class Made(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    hash: str
    credentials: Credentials
    region: str
    at: datetime


def make(chance: random.Random) -> Made:
    def text(most: int) -> str:
        return "".join(chance.choices(CHARACTERS, k=chance.randint(0, most)))

    def pair() -> str:
        name, value = (quote(text(6), safe="~") for _ in range(2))
        return chance.choice([f"{name}={value}", f"{name}=", name or "a"])

    def value() -> str:
        words = [quote(text(5), safe="!$&'()*,;:@/?=+\"") for _ in range(chance.randint(0, 4))]
        return chance.choice(SPACES) + "".join(word + chance.choice(SPACES) for word in words)

    names = [quote(text(6), safe="~") for _ in range(2)]
    pairs = [pair() for _ in range(chance.randint(0, 5))] + chance.choices(
        [f"{name}=1" for name in names], k=2
    )
    headers = {"Host": chance.choice(["t3.storage.dev", "localhost:8080", "[::1]:80"])}
    for name in chance.sample(
        ["Content-Type", "X-Amz-Meta-A", "x-amz-acl", "Range", "Date-Of", "User-Agent"], 3
    ):
        headers[name] = value()
    body = text(20).encode()
    token = chance.choice([None, "tok/en+of==", "x" * 900])
    return Made(
        method=chance.choice(["GET", "PUT", "POST", "HEAD", "DELETE"]),
        path="/" + quote(text(24), safe="/~"),
        query="&".join(pairs) if chance.random() < 0.8 else "",
        headers=headers,
        body=body,
        hash=chance.choice([payload_hash(body), UNSIGNED_PAYLOAD]),
        credentials=Credentials(f"AKID{chance.randint(0, 9)}", f"secret{chance.randint(0, 9)}/+", token),
        region=chance.choice(["auto", "us-east-1"]),
        at=START + timedelta(seconds=chance.randint(0, 40_000_000)),
    )


def sign_by_botocore(made: Made, service: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: made.at)
    url = f"https://is-not-signed{made.path}{'?' if made.query else ''}{made.query}"
    request = AWSRequest(made.method, url, headers=made.headers, data=made.body)
    # It signs S3's bodies, but for one that is streamed, over TLS, and has another checksum.
    unsigned = made.hash == UNSIGNED_PAYLOAD
    request.context.update(has_streaming_input=unsigned, payload_signing_enabled=not unsigned)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(BotocoreCredentials(*made.credentials), service, made.region).add_auth(request)
    names = {"X-Amz-Content-SHA256": "x-amz-content-sha256"}
    return {names.get(name, name): value for name, value in request.headers.items()}


def sign_by_us(made: Made, service: str) -> dict[str, str]:
    added = sign(
        made.method,
        made.path,
        made.query,
        made.headers,
        made.hash,
        credentials=made.credentials,
        region=made.region,
        service=service,
        at=made.at,
    )
    return {**made.headers, **added}


@pytest.mark.parametrize("seed", range(10))
def test_requests_to_s3(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    for _ in range(300):
        made = make(chance)
        made.headers["Content-MD5"] = "is checked by nobody here"
        theirs = sign_by_botocore(made, "s3", monkeypatch)
        assert sign_by_us(made, "s3") == theirs, made
        known = {made.credentials.access_key_id: made.credentials}
        verify(made.method, made.path, made.query, theirs, credentials=known, region=made.region, now=made.at)
        check_payload(theirs, made.body)


def test_requests_to_other_services(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(0)
    for _ in range(300):
        made = make(chance)
        made = made._replace(hash=payload_hash(made.body))
        assert sign_by_us(made, "iam") == sign_by_botocore(made, "iam", monkeypatch), made
