"""An nginx of our own on loopback, plain and with TLS, that sends one file."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Nginx", "running_nginx"]

_NGINX: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_CONFIGURATION: Final = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; root {folder};
        ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    }}
}}
"""


class Nginx(NamedTuple):
    """Where it answers.

    Attributes:
        plain: URL of the file.
        tls: The same, with TLS.
        authority: File of the certificate to trust.
    """

    plain: str
    tls: str
    authority: Path


@contextmanager
def running_nginx(body: bytes) -> Iterator[Nginx | None]:
    """Start it; stop it at the end of the ``with``. None where it is not installed."""
    if _NGINX is None:
        yield None
        return
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "body").write_bytes(body)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        for index, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(folder / "certificate.pem", append=index > 0)
        plain, tls = _free_port(), _free_port()
        configuration = folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, plain=plain, tls=tls))
        with subprocess.Popen([_NGINX, "-p", name, "-c", configuration]) as process:  # noqa: S603
            try:
                _wait_for(plain, process)
                yield Nginx(
                    f"http://127.0.0.1:{plain}/body",
                    f"https://127.0.0.1:{tls}/body",
                    folder / "authority.pem",
                )
            finally:
                process.terminate()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
    return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError("nginx did not start")
