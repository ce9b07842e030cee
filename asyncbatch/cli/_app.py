"""The commands and their options. What they do is in modules of their own, imported when they are called."""

# ruff: noqa: PLC0415 - `asyncbatch --help` is not to wait for httpx, nor for a server that it does not start

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .._version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_app"]

_app = typer.Typer(
    name="asyncbatch",
    help="Fetch thousands of objects in one request.",
    epilog="Exit status: 0, or 1 if something is missing, 2 for a wrong call, 3 for a failure.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Endpoint = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="Where the server is, as http://localhost:8080; by default, for ais://, $AIS_ENDPOINT.",
    ),
]
Bucket = Annotated[
    str, typer.Option(metavar="NAME", help="The bucket, where the URL names none, as file:///data.")
]
Output = Annotated[
    str, typer.Option(metavar="DIR", help="Write files into this folder; the current one by default.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")]


def run_app(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        _app(arguments, prog_name="asyncbatch")
    except SystemExit as error:  # its way to end, always
        return int(error.code or 0)
    return 0  # pragma: no cover - see above


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"asyncbatch {__version__}")
        raise typer.Exit


@_app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@_app.command()
def get(
    *,
    url: Annotated[
        str,
        typer.Argument(
            metavar="BUCKET",
            help="As ais://bucket, or its name alone; t3://bucket, s3://bucket, gs://bucket, az://bucket.",
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAMES]...", help="Objects; - to read them from standard input."),
    ] = None,
    bucket: Bucket = "",
    endpoint: Endpoint = "",
    names_from: Annotated[
        str,
        typer.Option(
            "--from", metavar="FILE", help="Read names from a file, after those of the command line."
        ),
    ] = "",
    output: Output = "",
    archive: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Write one archive, as .tar.zst or .zip; - for a .tar on standard output.",
        ),
    ] = "",
    transfer_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="What the server sends: .tar, .tgz, .tar.lz4.")
    ] = ".tar",
    strict: Annotated[
        bool, typer.Option("--strict/--continue-on-error", help="Whether to stop at what cannot be had.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Objects in a request.")] = 1000,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 8,
    memory: Annotated[
        str, typer.Option(metavar="SIZE", help="What may be held of objects that were not written.")
    ] = "256MiB",
    as_json: Json = False,
) -> None:
    """Fetch objects in batches, into a folder or one archive.

    In a file and on standard input there is one object a line. For a file inside an object, which then is
    an archive, its path follows behind a TAB.

    What is missing is listed, and makes the exit status 1.
    """
    from ._get import GetOptions, get
    from ._run import run

    options = GetOptions(
        url=url,
        bucket=bucket,
        names=names or [],
        names_from=names_from,
        endpoint=endpoint,
        output=output,
        archive=archive,
        transfer_format=transfer_format,
        strict=strict,
        batch_size=batch_size,
        concurrency=concurrency,
        memory=memory,
        as_json=as_json,
    )
    run(get(options))


@_app.command()
def bundle(
    *,
    url: Annotated[str, typer.Argument(metavar="BUCKET", help="As t3://bucket, or its name alone.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEYS]...", help="Objects; - to read them from standard input."),
    ] = None,
    bucket: Bucket = "",
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="Where the server is; by default $AWS_ENDPOINT_URL_S3.")
    ] = "",
    names_from: Annotated[
        str,
        typer.Option(
            "--from", metavar="FILE", help="Read keys from a file, after those of the command line."
        ),
    ] = "",
    output: Output = "",
    archive: Annotated[
        str, typer.Option(metavar="FILE", help="Save the archive as it comes; - for standard output.")
    ] = "",
    compression: Annotated[
        str, typer.Option(metavar="NAME", help="What it comes compressed by: none, gzip, zstd.")
    ] = "none",
    on_error: Annotated[
        str, typer.Option(metavar="MODE", help="Of keys that do not exist: skip them, or fail.")
    ] = "skip",
    as_json: Json = False,
) -> None:
    """Fetch objects from Tigris as a bundle, into a folder, or as the archive that it is.

    Credentials are those of the environment, or of a profile.
    """
    from ._bundle import BundleOptions
    from ._bundle import bundle as run_bundle
    from ._run import run

    options = BundleOptions(
        url=url,
        bucket=bucket,
        names=names or [],
        names_from=names_from,
        endpoint=endpoint,
        output=output,
        archive=archive,
        compression=compression,
        on_error=on_error,
        as_json=as_json,
    )
    run(run_bundle(options))


@_app.command("list")
def list_(
    *,
    url: Annotated[
        str,
        typer.Argument(
            metavar="[URL]",
            help="A bucket, as ais://bucket or s3://bucket; or what has buckets, as http://localhost:8080.",
        ),
    ] = "",
    bucket: Bucket = "",
    prefix: Annotated[str, typer.Option(help="What the names begin with.")] = "",
    endpoint: Endpoint = "",
    as_json: Json = False,
) -> None:
    """List the objects of a bucket with their sizes, or the buckets that there are."""
    from ._list import list_objects_or_buckets
    from ._run import run

    run(list_objects_or_buckets(url, bucket=bucket, prefix=prefix, endpoint=endpoint, as_json=as_json))


@_app.command()
def extract(
    *,
    archive: Annotated[str, typer.Argument(metavar="ARCHIVE", help="A file; - for standard input.")],
    destination: Annotated[
        str, typer.Option("--directory", "-C", metavar="DIR", help="Where to; made if it does not exist.")
    ] = ".",
    as_json: Json = False,
) -> None:
    """Extract an archive, and write nothing outside of the folder, whatever the archive says."""
    from ._extract import extract
    from ._run import run

    run(extract(archive, destination, as_json=as_json))


@_app.command()
def serve(
    *,
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIR|URL",
            help="A folder, whose folders are the buckets, or an object store: s3://bucket, gs://, az://, …",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for a free one.")] = 8080,
) -> None:
    """Serve a folder, or any object store, as an AIStore and as Tigris: objects, batches and bundles.

    Of an object store, credentials and endpoint are those of the environment, as of AWS_ACCESS_KEY_ID.

    Anyone who can reach it may read and write, unless the environment has ASYNCBATCH_ACCESS_KEY_ID and
    ASYNCBATCH_SECRET_ACCESS_KEY: then only requests that are signed with these are served, as those of S3's
    and Tigris's clients are, and AIStore's are not.
    """
    from ._run import run
    from ._serve import serve

    run(serve(directory, host=host, port=port))


@_app.command()
def demo(
    *,
    objects: Annotated[int, typer.Option(min=1, help="How many objects.")] = 2000,
    as_json: Json = False,
) -> None:
    """Fetch 2,000 objects one by one, then in batches, from a server of its own, and compare."""
    from ._demo import demo
    from ._run import run

    run(demo(objects, as_json=as_json))


@_app.command()
def bench(
    *,
    url: Annotated[
        str,
        typer.Argument(envvar="AIS_ENDPOINT", metavar="URL", help="The cluster, as http://localhost:8080."),
    ] = "",
    bucket: Annotated[
        str,
        typer.Option(
            metavar="BUCKET",
            help="Fetch the first objects of this bucket, and write nothing; by default of one of its own.",
        ),
    ] = "",
    sizes: Annotated[
        str, typer.Option(metavar="SIZES", help="Of objects: 1KiB,10KiB,100KiB,1MiB,10MiB by default.")
    ] = "",
    batch: Annotated[str, typer.Option(metavar="NUMBERS", help="Objects in a batch.")] = "100,1000,10000",
    connections: Annotated[int, typer.Option(min=1, max=100, help="GETs at once.")] = 64,
    transfer_format: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="What batches come as: .tar, .tgz, .tar.lz4, .zip."),
    ] = ".tar",
    rounds: Annotated[int, typer.Option(min=1, help="Of which the medians count.")] = 3,
    as_json: Json = False,
) -> None:
    """Fetch the same objects of a cluster one by one, many at once, and in a batch, and compare.

    The objects are made, in a bucket of their own, and removed at the end. A batch has at most 200 MiB.
    """
    from ._bench import BenchOptions, bench
    from ._run import run

    options = BenchOptions(
        url=url,
        bucket=bucket,
        sizes=sizes,
        batch=batch,
        connections=connections,
        transfer_format=transfer_format,
        rounds=rounds,
        as_json=as_json,
    )
    run(bench(options))
