"""httpx's errors in our tree."""

from __future__ import annotations

import pickle

import httpx
import pytest

from asyncbatch import AsyncBatchError, TransportError
from asyncbatch.transport._errors import translated_errors


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    found = {kind}
    for one in kind.__subclasses__():
        found |= subclasses(one)
    return found


def make(kind: type[Exception]) -> Exception:
    """Make an error of httpx, whatever its class asks for."""
    if kind is httpx.HTTPStatusError:
        request = httpx.Request("GET", "http://host")
        return httpx.HTTPStatusError("text", request=request, response=httpx.Response(500, request=request))
    return kind() if kind.__init__ is not Exception.__init__ and _takes_nothing(kind) else kind("text")


def _takes_nothing(kind: type[Exception]) -> bool:
    return kind in {httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead}


EVERY = sorted(
    subclasses(httpx.HTTPError) | subclasses(httpx.StreamError) | {httpx.InvalidURL},
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_of_httpx_becomes_ours(kind: type[Exception]) -> None:
    original = make(kind)
    with (
        pytest.raises(TransportError, match=r"^GET http://host: ") as caught,
        translated_errors("GET http://host"),
    ):
        raise original
    assert caught.value.__cause__ is original
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (str(again), again.retryable) == (str(caught.value), caught.value.retryable)


@pytest.mark.parametrize(
    ("kind", "hint", "retryable"),
    [
        (httpx.ConnectTimeout, "within the connect timeout", True),
        (httpx.ConnectError, "is the server up", True),
        (httpx.PoolTimeout, "no connection of the pool", True),
        (httpx.ReadTimeout, "sent nothing within the read timeout", True),
        (httpx.WriteTimeout, "took nothing within the write timeout", True),
        (httpx.ReadError, "the transfer failed", True),
        (httpx.WriteError, "the transfer failed", True),
        (httpx.CloseError, "the transfer failed", True),
        (httpx.ProxyError, "the transfer failed", True),
        (httpx.RemoteProtocolError, "broke off or broke HTTP", True),
        (httpx.LocalProtocolError, "the transfer failed", False),
        (httpx.UnsupportedProtocol, "not http or https", False),
        (httpx.InvalidURL, "the URL is malformed", False),
        (httpx.DecodingError, "the transfer failed", False),
        (httpx.TooManyRedirects, "the transfer failed", False),
    ],
)
def test_an_error_says_what_to_do_and_whether_to_try_again(
    kind: type[Exception],
    hint: str,
    retryable: bool,  # noqa: FBT001 - of a table
) -> None:
    with pytest.raises(TransportError, match=hint) as caught, translated_errors("x"):
        raise kind("text")
    assert caught.value.retryable is retryable
    assert str(caught.value).endswith("(text)")


def test_an_error_without_words_is_called_by_its_name() -> None:
    with pytest.raises(TransportError, match=r"\(ReadError\)$"), translated_errors("x"):
        raise httpx.ReadError("")


@pytest.mark.parametrize("error", [ValueError("x"), AsyncBatchError("x"), KeyboardInterrupt()])
def test_other_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translated_errors("x"):
        raise error
    assert caught.value is error
