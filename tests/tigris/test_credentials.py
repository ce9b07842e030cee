"""Credentials, region and endpoint: where they come from, how long they are good, and who sees them."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest
from botocore.utils import ContainerMetadataFetcher

from asyncbatch import TransportError, UsageError
from asyncbatch.tigris._credentials import _Found, find_credentials, find_endpoint, find_region
from asyncbatch.tigris.wire import Credentials

from ..support.leaks import until
from ..support.raw import RawServer, answering, read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

pytestmark = pytest.mark.anyio

AWS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "aws-secret"}
TIGRIS = {"TIGRIS_STORAGE_ACCESS_KEY_ID": "tid_1", "TIGRIS_STORAGE_SECRET_ACCESS_KEY": "tsec_1"}
ROLE = "/latest/meta-data/iam/security-credentials/"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without credentials, an environment without any, and no instance to ask."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "TIGRIS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Of a server that answers, on a machine that may be busy.
    monkeypatch.setenv("AWS_METADATA_SERVICE_TIMEOUT", "60")
    monkeypatch.setattr(ContainerMetadataFetcher, "TIMEOUT_SECONDS", 60)
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    return tmp_path


def write(home: Path, name: str, text: str) -> None:
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / name).write_text(text, encoding="utf-8")


async def found(environment: Mapping[str, str], profile: str | None = None) -> tuple[str | None, ...]:
    return tuple(await find_credentials(profile=profile, environment=environment).current())


Point: TypeAlias = "Callable[[RawServer], None]"


class Metadata(RawServer):
    """Answers as the metadata services of instances and of containers do, with keys that count up.

    Attributes:
        asked: How often for credentials.
        lasts: For how long they are good.
        broken: Whether there are none.
    """

    def __init__(self, lasts: timedelta) -> None:
        super().__init__(self._answer_all)
        self.asked = 0
        self.lasts = lasts
        self.broken = False

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            status, body = self._answer(head.split(b" ")[1].decode())
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

    def _answer(self, path: str) -> tuple[int, bytes]:
        if path == "/latest/api/token":
            return 200, b"token-of-the-service"
        if path == ROLE:
            return 200, b"role"
        assert path in {f"{ROLE}role", "/container"}
        self.asked += 1
        if self.broken:
            return 500, b"{}"
        expiration = (datetime.now(UTC) + self.lasts).strftime("%Y-%m-%dT%H:%M:%SZ")
        facts = {"AccessKeyId": f"ASIA{self.asked}", "SecretAccessKey": "s", "Token": f"t{self.asked}"}
        return 200, json.dumps({"Code": "Success", "Expiration": expiration, **facts}).encode()


DAYS = timedelta(days=2)
HOURS = timedelta(hours=6)
MINUTES = timedelta(minutes=12)  # botocore minds from 15 on, and insists from 10 on


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def let_pass(source: _Found, time: timedelta) -> None:
    """Have botocore believe that it is so much later."""
    source._chain._time_fetcher = lambda: datetime.now(UTC) + time


# -- what is given ----------------------------------------------------------------------------------------


async def test_the_places_are_looked_at_in_their_order(home: Path) -> None:
    write(home, "credentials", "[default]\naws_access_key_id=OF-FILE\naws_secret_access_key=s\n")
    passed = find_credentials("PASSED", "s", "t", environment={**AWS, **TIGRIS})
    assert await passed.current() == ("PASSED", "s", "t")
    assert await found({**AWS, **TIGRIS, "AWS_SESSION_TOKEN": "t"}) == ("AKID", "aws-secret", "t")
    assert await found({**AWS, "AWS_SECRET_ACCESS_KEY": " aws-secret\n"}) == ("AKID", "aws-secret", None)
    assert await found({**TIGRIS, "AWS_SESSION_TOKEN": "stale"}) == ("tid_1", "tsec_1", None)
    assert await found({**TIGRIS, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": " "}) == (
        "tid_1",
        "tsec_1",
        None,
    )
    assert await found({"AWS_SESSION_TOKEN": "stale"}) == ("OF-FILE", "s", None)


@pytest.mark.parametrize(
    ("passed", "missing"),
    [
        (("k",), "secret_access_key"),
        (("k", ""), "secret_access_key"),
        ((None, "a-secret"), "access_key_id"),
        ((None, None, "a-secret"), "access_key_id"),
        (("", "a-secret"), "access_key_id"),
    ],
)
def test_half_of_what_is_needed_is_refused(passed: tuple[str | None, ...], missing: str) -> None:
    with pytest.raises(UsageError, match=f"^{missing} is missing") as caught:
        find_credentials(*passed, environment=AWS)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize("environment", [AWS, TIGRIS], ids=["aws", "tigris"])
def test_half_of_what_is_needed_in_the_environment_is_refused(environment: dict[str, str]) -> None:
    for name, other in [list(environment), list(environment)[::-1]]:
        with pytest.raises(UsageError, match=f"^{name} is missing: {other} is of no use without it$"):
            find_credentials(environment={other: "a-secret"})


@pytest.mark.parametrize("bad", ["a\r\nHost: evil", "a b", "ü"])
def test_what_no_header_could_carry_is_refused_and_not_shown(bad: str) -> None:
    for passed in [(bad, "s", None), ("k", "s", bad)]:
        with pytest.raises(UsageError, match="one word of printable ASCII") as caught:
            find_credentials(*passed, environment={})
        assert bad not in str(caught.value)


def test_a_profile_beside_a_key_is_refused() -> None:
    with pytest.raises(UsageError, match="leave one out"):
        find_credentials("k", "s", profile="tigris", environment={})


async def test_what_is_given_stays() -> None:
    source = find_credentials("k", "s", environment={})
    assert not await source.renew(await source.current())
    assert await source.renew(Credentials("other", "s"))


@pytest.mark.parametrize("profile", [None, "p"])
def test_nothing_is_shown(profile: str | None) -> None:
    source = find_credentials(profile=profile, environment=AWS)
    assert repr(source) == "<CredentialSource: hidden>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(source)


# -- what botocore finds ----------------------------------------------------------------------------------


async def test_a_profile_by_name_and_by_variable(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    write(home, "credentials", "[tigris]\naws_access_key_id=tid_2\naws_secret_access_key=tsec_2\n")
    assert await found(AWS, profile="tigris") == ("tid_2", "tsec_2", None)
    monkeypatch.setenv("AWS_PROFILE", "tigris")
    assert await found({}) == ("tid_2", "tsec_2", None)
    assert await found(AWS) == ("AKID", "aws-secret", None)


async def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="nobody") as caught:
        await found({}, profile="nobody")
    assert type(caught.value.__cause__).__name__ == "ProfileNotFound"


async def test_half_of_what_is_needed_in_a_profile_is_refused(home: Path) -> None:
    write(home, "credentials", "[default]\naws_access_key_id=tid_2\n")
    with pytest.raises(UsageError, match="Partial credentials"):
        await found({})


async def test_nothing_says_where_it_was_looked_for() -> None:
    source = find_credentials(environment={})
    with pytest.raises(
        UsageError, match=r"AWS_ACCESS_KEY_ID.*TIGRIS_STORAGE_ACCESS_KEY_ID.*botocore has found"
    ):
        await source.current()
    assert not await source.renew(Credentials("k", "s"))


async def test_the_one_that_comes_to_be_there_is_found(home: Path) -> None:
    source = find_credentials(environment={})
    with pytest.raises(UsageError):
        await source.current()
    write(home, "credentials", "[default]\naws_access_key_id=k\naws_secret_access_key=s\n")
    assert await source.current() == ("k", "s", None)


async def test_without_botocore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(UsageError, match=r"in the environment.*AWS_ACCESS_KEY_ID.*asyncbatch\[tigris\]"):
        await found({})
    with pytest.raises(UsageError, match=r"for profile 'tigris'.*asyncbatch\[tigris\]"):
        await found({}, profile="tigris")
    assert await found(AWS) == ("AKID", "aws-secret", None)


async def test_a_process(home: Path) -> None:
    facts = json.dumps(
        {"Version": 1, "AccessKeyId": "OF-PROCESS", "SecretAccessKey": "s", "SessionToken": "t"}
    )
    (home / "facts.json").write_text(facts, encoding="utf-8")
    write(
        home,
        "config",
        f"[profile p]\ncredential_process = cat {home}/facts.json\n[profile q]\n"
        "credential_process = false\n[profile r]\ncredential_process = /is/not/there\n",
    )
    assert await found({}, profile="p") == ("OF-PROCESS", "s", "t")
    for profile in "qr":
        with pytest.raises(UsageError, match="no credentials could be had"):
            await found({}, profile=profile)


async def test_single_sign_on_without_a_login(home: Path) -> None:
    write(
        home,
        "config",
        "[profile p]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://127.0.0.1/start\n",
    )
    with pytest.raises(UsageError, match="SSO"):
        await found({}, profile="p")


async def test_a_role_whose_service_is_not_there(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    async with RawServer(answering()) as server:
        url = server.url
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    write(home, "credentials", "[s]\naws_access_key_id=k\naws_secret_access_key=s\n")
    write(home, "config", "[profile p]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=s\nregion=us-east-1\n")
    with pytest.raises(TransportError, match="no credentials could be had") as caught:
        await found({}, profile="p")
    assert caught.value.retryable


# -- what expires -----------------------------------------------------------------------------------------


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Point:
    def point_at(server: RawServer) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)

    return point_at


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Point:
    def point_at(server: RawServer) -> None:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}container")

    return point_at


@pytest.mark.parametrize("kind", ["instance", "container"])
async def test_a_role(kind: str, request: pytest.FixtureRequest) -> None:
    async with Metadata(HOURS) as server:
        request.getfixturevalue(kind)(server)
        source = find_credentials(environment={})
        callers = await asyncio.gather(*(source.current() for _ in range(20)))
        assert set(callers) == {("ASIA1", "s", "t1")}
        assert await source.current() == ("ASIA1", "s", "t1")
        assert server.asked == 1


@pytest.mark.parametrize("kind", ["instance", "container"])
async def test_a_role_is_asked_again_before_its_key_expires(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with Metadata(HOURS) as server:
        request.getfixturevalue(kind)(server)
        source = _Found(clock=(clock := Clock()))
        assert (await source.current()).access_key_id == "ASIA1"
        clock.now += 60
        let_pass(source, HOURS - timedelta(minutes=16))
        assert (await source.current()).access_key_id == "ASIA1"
        let_pass(source, HOURS - timedelta(minutes=14))
        server.lasts = DAYS
        callers = await asyncio.gather(*(source.current() for _ in range(20)))
        assert set(callers) == {("ASIA2", "s", "t2")}
        clock.now += 60
        assert (await source.current()).access_key_id == "ASIA2"
        assert server.asked == 2


async def test_a_key_that_is_never_good_for_long_is_not_asked_for_with_each_request(container: Point) -> None:
    async with Metadata(MINUTES) as server:
        container(server)
        source = _Found(clock=(clock := Clock()))
        first = await source.current()
        asked = server.asked
        assert await source.current() == first
        assert server.asked == asked
        clock.now += 60
        assert await source.current() != first
        assert server.asked == asked + 1


async def test_a_key_that_is_good_still_is_used_where_there_is_no_new_one(container: Point) -> None:
    async with Metadata(timedelta(minutes=5)) as server:  # botocore insists, and raises
        container(server)
        source = _Found(clock=(clock := Clock()))
        first = await source.current()
        server.broken = True
        clock.now += 60
        asked = server.asked
        assert await source.current() == first
        assert server.asked > asked


async def test_a_key_that_has_expired_is_not(container: Point) -> None:
    async with Metadata(HOURS) as server:
        container(server)
        source = _Found()
        await source.current()
        let_pass(source, DAYS / 2)
        server.broken = True
        asked = server.asked
        errors = await asyncio.gather(*(source.current() for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in errors} == {TransportError}
        assert len({id(error) for error in errors}) == 20
        assert all(
            error.retryable and error.__cause__ for error in errors if isinstance(error, TransportError)
        )
        assert server.asked - asked == ContainerMetadataFetcher.RETRY_ATTEMPTS
        server.broken, server.lasts = False, DAYS
        assert (await source.current()).access_key_id == f"ASIA{server.asked}"


async def test_a_key_that_the_server_refuses_is_looked_for_again_once(container: Point) -> None:
    async with Metadata(HOURS) as server:
        container(server)
        source = _Found()
        refused = await source.current()
        assert all(await asyncio.gather(*(source.renew(refused) for _ in range(20))))
        assert server.asked == 2
        assert await source.renew(refused)
        assert server.asked == 2
        assert await source.current() == ("ASIA2", "s", "t2")


async def test_where_there_is_no_other_key_the_old_one_is_kept(home: Path) -> None:
    write(home, "credentials", "[default]\naws_access_key_id=k\naws_secret_access_key=s\n")
    source = find_credentials(environment={})
    refused = await source.current()
    assert not await source.renew(refused)
    (home / ".aws" / "credentials").unlink()
    assert not await source.renew(refused)
    assert await source.current() == refused
    write(home, "credentials", "[default]\naws_access_key_id=new\naws_secret_access_key=s\n")
    assert await source.renew(refused)


async def test_to_wait_for_a_key_can_be_cancelled(instance: Point) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with RawServer(never) as server:
        instance(server)
        source = find_credentials(environment={})
        waiting = [asyncio.create_task(source.current()) for _ in range(2)]
        await until(lambda: server.open)
        for task in waiting:
            task.cancel()
        assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 2


# -- region and endpoint ----------------------------------------------------------------------------------


def test_the_region() -> None:
    assert find_region(None, {}) == "auto"
    assert find_region(None, {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}) == "eu-west-1"
    assert find_region(None, {"AWS_REGION": "fra", "AWS_DEFAULT_REGION": "eu-west-1"}) == "fra"
    assert find_region("us-east-1", {"AWS_REGION": "fra"}) == "us-east-1"


def test_a_region_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"^AWS_REGION='a/b': it is no name of a region$"):
        find_region(None, {"AWS_REGION": "a/b"})
    with pytest.raises(UsageError, match=r"^region='': "):
        find_region("", {"AWS_REGION": "fra"})


def test_the_endpoint() -> None:
    variables = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "TIGRIS_STORAGE_ENDPOINT"]
    environment = {name: f"http://{number}" for number, name in enumerate(variables)}
    assert find_endpoint("http://passed", environment) == "http://passed"
    for number, name in enumerate(variables):
        assert find_endpoint(None, environment) == f"http://{number}"
        del environment[name]
    assert find_endpoint(None, environment) == "https://t3.storage.dev"
