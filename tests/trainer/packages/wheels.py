"""Tiny wheels and an index on this machine, so that tests of locks need no network."""

import base64
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType

import pytest

from services.trainer.packages import installing
from services.trainer.packages.base import base_set

NOTHING: Mapping[str, str] = MappingProxyType({})


class Index(SimpleHTTPRequestHandler):
    """Answers as a package index does: a page of links with hashes for each package."""

    def list_directory(self, path: str | os.PathLike[str]) -> io.BytesIO:
        files = sorted(each for each in Path(path).iterdir() if each.is_file())
        page = "".join(f'<a href="{file.name}#sha256={digest_of(file)}">{file.name}</a>\n' for file in files).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        return io.BytesIO(page)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not printed."""


@contextmanager
def index_in(folder: Path) -> Iterator[Path]:
    """Serves the folder as a package index, the only one from which the trainer's operator lets packages come."""
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, directory=str(folder)))
    server.daemon_threads = False
    thread = Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    with pytest.MonkeyPatch.context() as patch:
        for name in (name for name in os.environ if name.startswith("UV_")):
            patch.delenv(name)
        patch.setattr(installing, "pips_settings", dict)
        for name, value in {"UV_DEFAULT_INDEX": address, "UV_HTTP_RETRIES": "0", "NO_PROXY": "127.0.0.1"}.items():
            patch.setenv(name, value)
        try:
            yield folder
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def line(name: str, version: str, digest: str) -> str:
    return f"{name}=={version} --hash=sha256:{digest}\n"


def wheel(
    folder: Path,
    name: str,
    version: str,
    tag: str = "py3-none-any",
    metadata: Sequence[str] = (),
    files: Mapping[str, str] = NOTHING,
) -> str:
    """Writes a wheel into the folder, and returns its line in a lock. It has one module, which knows its VERSION."""
    about = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{about}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata, ""]
        ),
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        **files,
    }
    content[f"{about}/RECORD"] = "".join(map(record, content, content.values())) + f"{about}/RECORD,,\n"
    place = folder / name / f"{name}-{version}-{tag}.whl"
    place.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return line(name, version, digest_of(place))


def record(path: str, text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(text.encode())}\n"


def source(folder: Path, name: str, version: str, setup: str) -> str:
    """Writes a source distribution, whose set-up script would run if it were built. Its line in a lock."""
    place = folder / name / f"{name}-{version}.tar.gz"
    place.parent.mkdir(exist_ok=True)
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with tarfile.open(place, "w:gz") as archive:
        for path, text in {"PKG-INFO": about, "setup.py": setup}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return line(name, version, digest_of(place))


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def of_the_base(name: str) -> str:
    """The line of a package that the trainer has already."""
    version = base_set().versions[name]
    return f"{name}=={version} --hash={min(base_set().hashes[name, version])}\n"
