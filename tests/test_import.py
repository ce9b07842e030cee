"""`import asyncbatch` is light, and what it promises is there."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import asyncbatch
from asyncbatch import codecs
from asyncbatch._lazy import lazy_exports

# What costs time to import. asyncio counts: httpx and anyio bring it, and the codecs do without.
HEAVY = ("asyncio", "httpx", "anyio", "aiofiles", "h11", "lz4", "zstandard", "isal", "ssl", "socket")


def modules_after(statement: str) -> set[str]:
    """Names of all modules that a fresh interpreter has loaded after a statement."""
    command = [sys.executable, "-c", f"import sys\n{statement}\nprint(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - ourselves
    return set(done.stdout.split())


def test_importing_the_package_loads_none_of_what_it_stands_on() -> None:
    loaded = modules_after("import asyncbatch")
    assert "asyncbatch" in loaded
    assert not loaded.intersection(HEAVY)
    assert {name for name in loaded if name.startswith("asyncbatch")} == {
        "asyncbatch",
        "asyncbatch._lazy",
        "asyncbatch._version",
    }


def test_importing_the_codecs_loads_neither_an_event_loop_nor_their_libraries() -> None:
    loaded = modules_after("import asyncbatch.codecs")
    assert "asyncbatch.codecs" in loaded
    assert not loaded.intersection(HEAVY)
    assert not {name for name in loaded if name.startswith("asyncbatch.codecs.")}


def test_using_the_tar_codec_loads_no_event_loop_and_no_other_codec() -> None:
    loaded = modules_after("from asyncbatch.codecs import TarDecoder, TarEncoder")
    assert "asyncbatch.codecs._tar_decoder" in loaded
    assert not loaded.intersection({"asyncio", "httpx", "anyio", "lz4", "zstandard", "socket", "ssl"})


def test_errors_and_limits_load_nothing_else() -> None:
    loaded = modules_after("from asyncbatch import FormatError, Limits")
    assert not loaded.intersection(HEAVY)
    assert not {name for name in loaded if name.startswith("asyncbatch.codecs")}


@pytest.mark.parametrize("name", asyncbatch.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(asyncbatch, name) is getattr(asyncbatch, name)


@pytest.mark.parametrize("name", codecs.__all__)
def test_every_codec_name_resolves(name: str) -> None:
    assert getattr(codecs, name) is getattr(codecs, name)


@pytest.mark.parametrize("package", ["asyncbatch", "asyncbatch.codecs"])
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nonsense'"):
        _ = module.Nonsense


def test_a_lazy_name_is_found_without_us_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(asyncbatch), "Limits", raising=False)
    load = lazy_exports("asyncbatch", {"limits": ("Limits",)})
    found = load("Limits")
    assert vars(asyncbatch)["Limits"] is found


def test_no_name_is_exported_twice() -> None:
    for module in (asyncbatch, codecs):
        assert len(module.__all__) == len(set(module.__all__))
