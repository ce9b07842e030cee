"""moto's S3: on a loopback port of its own, and strict about signatures and permissions."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

import boto3
import httpx
from botocore.config import Config
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Moto", "moto_server"]

_DIRECT: Final = Config(proxies={})  # whatever the environment says
_USER: Final = "asyncbatch"
_POLICY: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


class Moto(NamedTuple):
    """A server, and the key of a user who may do everything in S3 and nothing else."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"

    def add_buckets(self, names: Iterable[str]) -> None:
        """Make buckets."""
        s3 = boto3.session.Session(
            self.access_key_id, self.secret_access_key, region_name=self.region
        ).client("s3", endpoint_url=self.endpoint_url, config=_DIRECT)
        try:
            for name in names:
                s3.create_bucket(Bucket=name)
        finally:
            s3.close()


_running: list[Moto] = []  # the one that there is, as often as it was asked for


@contextmanager
def moto_server(buckets: Iterable[str] = ()) -> Iterator[Moto]:
    """Serve some buckets, which are empty if nobody else has used those names.

    There is one such server at a time, since its data is the process's: whoever asks meanwhile has the same.
    """
    if _running:
        moto = _running[-1]
        moto.add_buckets(buckets)
        _running.append(moto)
        try:
            yield moto
        finally:
            _running.pop()
        return
    with _started() as moto:
        moto.add_buckets(buckets)
        _running.append(moto)
        try:
            yield moto
        finally:
            _running.pop()


@contextmanager
def _started() -> Iterator[Moto]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        _post(f"{url}/moto-api/reset")
        session = boto3.session.Session("anybody", "anything", region_name="us-east-1")
        moto = _add_user(session, url)
        before = _post(f"{url}/moto-api/reset-auth", "0")  # requests that are let in unchecked
        try:
            yield moto
        finally:
            _post(f"{url}/moto-api/reset-auth", json.loads(before)["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"])
            _post(f"{url}/moto-api/reset")
    finally:
        server.stop()


def _post(url: str, body: str = "") -> str:
    return httpx.post(url, content=body, trust_env=False).raise_for_status().text


def _add_user(session: boto3.session.Session, url: str) -> Moto:
    iam = session.client("iam", endpoint_url=url, config=_DIRECT)
    try:
        iam.create_user(UserName=_USER)
        iam.put_user_policy(UserName=_USER, PolicyName="s3", PolicyDocument=json.dumps(_POLICY))
        key = iam.create_access_key(UserName=_USER)["AccessKey"]
    finally:
        iam.close()
    return Moto(url, key["AccessKeyId"], key["SecretAccessKey"])
