"""Checking signatures: what is signed well passes, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch.tigris.wire import (
    UNSIGNED_PAYLOAD,
    Credentials,
    SignatureError,
    check_payload,
    payload_hash,
    sign,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LASTING = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI")
TEMPORARY = Credentials("ASIAEXAMPLE", "bPxRfiCYEXAMPLEKEY", "tok/en==")
KNOWN = {one.access_key_id: one for one in (LASTING, TEMPORARY)}
NOW = datetime(2026, 11, 21, 19, 0, 0, tzinfo=UTC)
BODY = b'{"keys": ["a"]}'
SENT = {
    "Host": "t3.storage.dev",
    "Content-Type": "application/json",
    "X-Amz-Meta-Note": "one  two",
    "User-Agent": "x",
}


class Request(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    at: datetime = NOW

    def verify(self, *, now: datetime | None = None, region: str | None = "auto") -> None:
        verify(
            self.method,
            self.path,
            self.query,
            self.headers,
            credentials=KNOWN,
            region=region,
            now=now or self.at,
        )

    def having(self, **headers: str | None) -> Request:
        """Return it with other headers, ``_`` for ``-`` in their names, and without those that are None."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in changed}
        given = {name: value for name, value in changed.items() if value is not None}
        return self._replace(headers={**kept, **given})

    def showing(self, old: str, new: str) -> Request:
        """Return it with another Authorization."""
        value = self.headers["Authorization"]
        assert old in value
        return self.having(authorization=value.replace(old, new))

    def refused(self, *, now: datetime | None = None, region: str | None = "auto") -> str:
        """Return the code of the error."""
        with pytest.raises(SignatureError) as caught:
            self.verify(now=now, region=region)
        for one in KNOWN.values():
            assert one.secret_access_key not in str(caught.value)
            assert not one.session_token or one.session_token not in str(caught.value)
        assert caught.value.code in str(caught.value)
        return caught.value.code


def by_us(credentials: Credentials = TEMPORARY) -> Request:
    arguments = ("POST", "/bucket/a%20b", "bundle=&x=1", SENT, payload_hash(BODY))
    added = sign(*arguments, credentials=credentials, region="auto", at=NOW)
    return Request(*arguments[:3], {**SENT, **added})


def by_botocore(credentials: Credentials = TEMPORARY) -> Request:
    url = "http://t3.storage.dev/bucket/a%20b?bundle=&x=1"
    request = AWSRequest("POST", url, headers=SENT, data=BODY)
    S3SigV4Auth(BotocoreCredentials(*credentials), "s3", "auto").add_auth(request)
    headers = dict(request.headers.items())
    at = datetime.strptime(headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return Request("POST", "/bucket/a%20b", "bundle=&x=1", headers, at)


@pytest.fixture(params=[by_us, by_botocore])
def request_by(request: pytest.FixtureRequest) -> Callable[..., Request]:
    maker: Callable[..., Request] = request.param
    return maker


# -- what passes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("credentials", [LASTING, TEMPORARY], ids=["lasting", "temporary"])
def test_what_is_signed_passes(request_by: Callable[..., Request], credentials: Credentials) -> None:
    request = request_by(credentials)
    request.verify()
    request.verify(region=None)
    check_payload(request.headers, BODY)


def test_credentials_may_be_looked_up() -> None:
    request = by_us()

    def look_up(access_key_id: str) -> Credentials | None:
        if access_key_id == "ASIAEXAMPLE":
            return TEMPORARY
        raise AssertionError

    verify(*request[:4], credentials=look_up, now=NOW)


def test_the_one_who_looks_up_may_refuse() -> None:
    def look_up(access_key_id: str) -> Credentials:
        raise SignatureError("ExpiredToken", f"the token of {access_key_id} has expired")

    with pytest.raises(
        SignatureError, match=r"^ExpiredToken: the token of ASIAEXAMPLE has expired$"
    ) as caught:
        verify(*by_us()[:4], credentials=look_up, now=NOW)
    assert (caught.value.code, caught.value.status) == ("ExpiredToken", 400)
    assert caught.value.message == "the token of ASIAEXAMPLE has expired"


def test_what_proxies_change_makes_no_difference() -> None:
    by_us().having(user_agent="y", x_forwarded_for="::1", accept_encoding="gzip", connection="close").verify()


def test_the_query_may_come_in_another_order() -> None:
    by_us()._replace(query="x=1&bundle").verify()


def test_headers_may_come_in_pairs() -> None:
    request = by_us()
    pairs = [(name.upper(), f"  {value} ") for name, value in request.headers.items()]
    verify(*request[:3], pairs, credentials=KNOWN, now=NOW)


def test_other_services_have_other_rules() -> None:
    headers = {"Host": "h", "x-amz-content-sha256": payload_hash(b"")}
    arguments = ("GET", "/a/../b", "", headers)
    added = sign(*arguments, payload_hash(b""), credentials=LASTING, region="r", service="iam", at=NOW)
    for path in ["/a/../b", "/b"]:
        verify("GET", path, "", {**headers, **added}, credentials=KNOWN, service="iam", now=NOW)


# -- what was changed on the way --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/bucket/a%20b", "bundle=&x=1"),
        ("POST", "/bucket/a%20c", "bundle=&x=1"),
        ("POST", "/bucket//a%20b", "bundle=&x=1"),
        ("POST", "/bucket/a+b", "bundle=&x=1"),
        ("POST", "/bucket/a%20b", ""),
        ("POST", "/bucket/a%20b", "bundle=&x=2"),
        ("POST", "/bucket/a%20b", "bundle=&x=1&x=1"),
        ("POST", "/bucket/a%20b", "bundle=&x=1&y="),
    ],
)
def test_a_change_of_the_request_is_seen(
    request_by: Callable[..., Request], method: str, path: str, query: str
) -> None:
    changed = request_by()._replace(method=method, path=path, query=query)
    assert changed.refused() == "SignatureDoesNotMatch"


CHANGED = {
    "content-type": ("SignatureDoesNotMatch", "SignatureDoesNotMatch"),
    "host": ("SignatureDoesNotMatch", "SignatureDoesNotMatch"),
    "x-amz-content-sha256": ("InvalidArgument", "MissingSecurityHeader"),
    "x-amz-date": ("AccessDenied", "MissingSecurityHeader"),
    "x-amz-meta-note": ("SignatureDoesNotMatch", "SignatureDoesNotMatch"),
    "x-amz-security-token": ("InvalidToken", "InvalidToken"),
}


def test_a_change_of_a_signed_header_is_seen(request_by: Callable[..., Request]) -> None:
    request = request_by()
    signed = request.headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert signed == list(CHANGED)
    values = {name.lower(): value for name, value in request.headers.items()}
    for name, (changed, removed) in CHANGED.items():
        option = name.replace("-", "_")
        assert request.having(**{option: f"{values[name]},x"}).refused() == changed
        assert request.having(**{option: None}).refused() == removed
        twice = [*request.headers.items(), (name, "x")]
        with pytest.raises(SignatureError, match=changed):
            verify(*request[:3], twice, credentials=KNOWN, now=request.at)


@pytest.mark.parametrize("value", [payload_hash(b"other"), UNSIGNED_PAYLOAD])
def test_another_hash_is_seen(request_by: Callable[..., Request], value: str) -> None:
    assert request_by().having(x_amz_content_sha256=value).refused() == "SignatureDoesNotMatch"


def test_another_time_is_seen(request_by: Callable[..., Request]) -> None:
    request = request_by()
    # Of the same minute, and thus of the same day.
    later = (request.at + timedelta(seconds=-request.at.second or 1)).strftime("%Y%m%dT%H%M%SZ")
    assert request.having(x_amz_date=later).refused() == "SignatureDoesNotMatch"
    tomorrow = request.at + timedelta(days=1)
    changed = request.having(x_amz_date=tomorrow.strftime("%Y%m%dT%H%M%SZ"))
    assert changed.refused(now=tomorrow) == "AuthorizationHeaderMalformed"
    day, next_day = (at.strftime("/%Y%m%d/") for at in (request.at, tomorrow))
    assert changed.showing(day, next_day).refused(now=tomorrow) == "SignatureDoesNotMatch"


def test_an_amz_header_that_was_not_signed_is_refused(request_by: Callable[..., Request]) -> None:
    assert request_by().having(x_amz_acl="public-read").refused() == "AccessDenied"


def test_a_host_that_was_not_signed_is_refused() -> None:
    request = by_us().showing("host;", "")
    assert request.refused() == "AccessDenied"
    assert request.having(host=None).refused() == "AccessDenied"


@pytest.mark.parametrize("held", [None, "t"])
@pytest.mark.parametrize("shown", ["", "x", "t"])
def test_a_token_that_is_not_the_ones_of_the_key(held: str | None, shown: str) -> None:
    request = by_us(LASTING._replace(session_token=shown))
    known = {LASTING.access_key_id: LASTING._replace(session_token=held)}
    if (held or "") == shown:
        return verify(*request[:4], credentials=known, now=NOW)
    with pytest.raises(SignatureError, match="InvalidToken"):
        verify(*request[:4], credentials=known, now=NOW)
    return None


def test_a_token_that_nobody_has_asked_for() -> None:
    assert by_us(LASTING).having(x_amz_security_token="").refused() == "InvalidToken"


# -- who signed -------------------------------------------------------------------------------------------


def test_another_secret(request_by: Callable[..., Request]) -> None:
    request = request_by(LASTING._replace(secret_access_key="other"))  # noqa: S106 - of nobody
    assert request.refused() == "SignatureDoesNotMatch"


def test_an_unknown_key(request_by: Callable[..., Request]) -> None:
    assert request_by(LASTING._replace(access_key_id="AKIDOTHER")).refused() == "InvalidAccessKeyId"


def test_another_region(request_by: Callable[..., Request]) -> None:
    assert request_by().refused(region="us-east-1") == "AuthorizationHeaderMalformed"
    assert request_by().showing("/auto/", "/fra/").refused(region=None) == "SignatureDoesNotMatch"


def test_another_service() -> None:
    assert by_us().showing("/s3/", "/iam/").refused() == "AuthorizationHeaderMalformed"


def test_nobody() -> None:
    request = by_us()
    for value in [None, "", " "]:
        assert request.having(authorization=value).refused() == "AccessDenied"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"),
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 "),
        ("AWS4-HMAC-SHA256 Credential=", "AWS "),
        ("Credential=", "credential="),
        ("aws4_request", "aws4"),
        ("20261121", "2026112"),
        ("ASIAEXAMPLE/", "/"),
        ("SignedHeaders=", "Headers="),
        ("SignedHeaders=", "SignedHeaders=;"),
        ("SignedHeaders=", "SignedHeaders=x-z;"),
        ("host", "Host"),
        ("host;", "host;host;"),
        ("Signature=", "Signature=0"),
        ("Signature=", "Signature=é"),
        ("Signature=", "S="),
        (", ", " "),
    ],
)
def test_a_header_that_is_malformed(old: str, new: str) -> None:
    assert by_us().showing(old, new).refused() == "AuthorizationHeaderMalformed"


def test_an_authorization_without_spaces_is_read() -> None:
    by_us().showing(", ", ",").verify()


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_whatever_comes_is_an_error_of_ours(text: str) -> None:
    request = by_us()
    for value in [text, f"AWS4-HMAC-SHA256 {text}", request.headers["Authorization"] + text]:
        verdict = request.having(authorization=value)
        if value.strip() != request.headers["Authorization"]:
            assert verdict.refused() in {
                "AccessDenied",
                "AuthorizationHeaderMalformed",
                "SignatureDoesNotMatch",
            }
    assert request.having(x_amz_date=text).refused() == "AccessDenied"
    assert request.having(x_amz_content_sha256=text).refused() in {"InvalidArgument", "NotImplemented"}


def test_text_that_is_no_utf_8() -> None:
    request = by_us().having(x_amz_meta_note="\udcff", x_amz_security_token="\udcff")  # noqa: S106 - of nobody
    assert request.refused() == "InvalidToken"
    assert by_us(LASTING).having(x_amz_meta_note="\udcff").refused() == "SignatureDoesNotMatch"


# -- when -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign_", [1, -1])
def test_clocks_may_be_wrong_by_a_quarter_of_an_hour(sign_: int) -> None:
    request, quarter = by_us(), timedelta(minutes=15)
    request.verify(now=NOW + sign_ * quarter)
    skewed = NOW + sign_ * (quarter + timedelta(seconds=1))
    assert request.refused(now=skewed) == "RequestTimeTooSkewed"
    verify(*request[:4], credentials=KNOWN, now=skewed, tolerance=2 * quarter)


def dated(value: str) -> Request:
    """Make a request with a Date in place of an X-Amz-Date, as botocore signs it."""
    arguments = ("GET", "/b/o", "", {"Host": "h", "Date": value})
    added = sign(*arguments, UNSIGNED_PAYLOAD, credentials=LASTING, region="auto", at=NOW)
    return Request(*arguments[:3], {**arguments[3], **added}).having(x_amz_date=None)


def test_a_date_of_http_will_do() -> None:
    url = "http://t3.storage.dev/bucket/a%20b?bundle=&x=1"
    request = AWSRequest("POST", url, headers={**SENT, "Date": "is replaced"}, data=BODY)
    S3SigV4Auth(BotocoreCredentials(*LASTING), "s3", "auto").add_auth(request)
    now = datetime.now(UTC)
    signed = Request("POST", "/bucket/a%20b", "bundle=&x=1", dict(request.headers.items()), now)
    assert "X-Amz-Date" not in signed.headers
    signed.verify()
    assert signed.having(date="Sat, 21 Nov 2020 19:00:00 GMT").refused() == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (
            "Sat, 21 Nov 2026 19:00:00 GMT",
            "SignatureDoesNotMatch",
        ),  # since x-amz-date was signed, and is gone
        ("Sat, 21 Nov 2026 19:00:00 -0000", "SignatureDoesNotMatch"),
        ("Sat, 21 Nov 2026 20:00:00 +0100", "SignatureDoesNotMatch"),
        ("Sat, 21 Nov 2026 20:00:00 GMT", "RequestTimeTooSkewed"),
        ("Fri, 31 Dec 9999 23:59:59 -2300", "AccessDenied"),
        ("yesterday", "AccessDenied"),
    ],
)
def test_a_date_of_http_is_read(value: str, code: str) -> None:
    assert dated(value).refused() == code


# -- the body ---------------------------------------------------------------------------------------------


def test_another_body_is_seen(request_by: Callable[..., Request]) -> None:
    request = request_by()
    with pytest.raises(SignatureError) as caught:
        check_payload(request.headers, BODY + b" ")
    assert (caught.value.code, caught.value.status) == ("XAmzContentSHA256Mismatch", 400)


@pytest.mark.parametrize("value", [UNSIGNED_PAYLOAD, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_a_body_that_was_not_signed_is_any(value: str) -> None:
    headers = {"Host": "h"}
    added = sign("PUT", "/b/o", "", headers, value, credentials=LASTING, region="auto", at=NOW)
    verify("PUT", "/b/o", "", {**headers, **added}, credentials=KNOWN, now=NOW)
    check_payload(added, b"any")


def test_a_body_in_signed_chunks_is_not_read() -> None:
    value = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    assert by_us().having(x_amz_content_sha256=value).refused() == "NotImplemented"
    with pytest.raises(SignatureError) as caught:
        check_payload({"x-amz-content-sha256": value}, b"")
    assert caught.value.status == 501
