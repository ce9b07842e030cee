"""What a change has to pass, and how. ``nox -l`` lists the sessions, ``nox -s tests-3.12`` runs one."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
# A Python that is not installed is skipped, and said to be; where the variable CI is set, it is an error.
nox.options.download_python = "never"
# The tests come last, for their summary to be what one sees at the end.
nox.options.sessions = ["lint", "types", "layers", "docs", "build", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
# What a user does with what was installed.
WHEEL_TESTS = [*(f"tests/test_{name}.py" for name in ("docs", "examples", "import")), "tests/cli"]


def install_groups(session: nox.Session, *groups: str) -> None:
    """Install groups of pyproject.toml's `dependency-groups`, which not every pip can."""
    session.install(*nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session(tags=["fast"])
def lint(session: nox.Session) -> None:
    """Ruff: the rules, and the format."""
    install_groups(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(tags=["fast"])
def types(session: nox.Session) -> None:
    """Mypy, strict, over everything, the tests included."""
    install_groups(session, "types")
    session.install("-e", ".[all]")
    session.run("mypy")


@nox.session(tags=["fast"])
def layers(session: nox.Session) -> None:
    """import-linter: imports point down, and the codecs do no I/O."""
    install_groups(session, "layers")
    session.run("lint-imports")


@nox.session(tags=["fast"])
def docs(session: nox.Session) -> None:
    """The documentation, without a warning."""
    install_groups(session, "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, made of the sdist, does what docs, examples and command say, with no source beside it."""
    install_groups(session, "build", "test")
    place = Path(session.create_tmp()).resolve()
    shutil.rmtree(place)
    session.run("python", "-m", "build", "--outdir", str(place), ".")
    (sdist,), (wheel,) = place.glob("*.tar.gz"), place.glob("*.whl")
    session.install(f"{wheel}[all]")
    shutil.unpack_archive(sdist, place, filter="data")
    unpacked = place / sdist.name.removesuffix(".tar.gz")
    shutil.rmtree(unpacked / "asyncbatch")
    with session.chdir(unpacked):
        options = ["--numprocesses=auto", "--dist=worksteal"]
        session.run("pytest", "--quiet", *(session.posargs or [*options, *WHEEL_TESTS]))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, or those that are named: ``nox -s tests-3.12 -- tests/codecs``.

    On the oldest Python, they have to take every branch, and the benchmarks have to run; on the newest, the
    sweeps do, too; on those in between, neither they nor the property tests. Nothing in the code depends on
    the version, and watching it take the branches doubles the time.
    """
    install_groups(session, "test")
    session.install("-e", ".[all]")
    options = ["--numprocesses=auto", "--dist=worksteal"]
    if session.python == PYTHONS[0]:
        options.append("--cov")
    else:
        options.append("--ignore=tests/test_benchmarks.py")
    if session.python != PYTHONS[-1]:
        # In between, what breaks in one of many examples would have broken on its neighbours.
        options += ["-m", "not sweep" if session.python == PYTHONS[0] else "not sweep and not hypothesis"]
    session.run("pytest", *(session.posargs or options))


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks: of tar unless others are named, as in ``nox -s bench -- e2e --json``."""
    install_groups(session, "bench")
    session.install(".[all]")
    session.run("python", "-m", "benchmarks", *(session.posargs or ["tar"]))


@nox.session
def demo(session: nox.Session) -> None:
    """The demo: thousands of objects one by one, then in batches."""
    session.install(".[cli,server]")
    session.run("asyncbatch", "demo", *session.posargs)
