"""Wheels and source distributions by hand, valid or wrong in just the way that a test wants; and their index."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import requests

from app.formats.pypi import JSON_V1
from tests.hosting.conftest import TOKEN
from tests.stack import Stack

AUTH = ("__token__", TOKEN)
# A build backend without requirements, so that pip builds the source distribution without an index.
_BACKEND = """
import zipfile

def build_wheel(directory, settings=None, metadata=None):
    name = "{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        for path, text in {files!r}.items():
            wheel.writestr(path, text)
    return name
"""


def metadata(name: str, version: str, *lines: str) -> str:
    """Core metadata."""
    return "\n".join(("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, "", "About it.\n"))


def members(name: str, version: str, *lines: str) -> dict[str, str]:
    """What is in a wheel; its module says its version."""
    escaped = name.replace("-", "_").replace(".", "_").lower()
    inside = f"{escaped}-{version}.dist-info"
    files = {
        f"{escaped}.py": f"VERSION = {version!r}\n",
        f"{inside}/METADATA": metadata(name, version, *lines),
        f"{inside}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    return files | {f"{inside}/RECORD": record + f"{inside}/RECORD,,\n"}


def wheel(name: str, version: str, *lines: str) -> tuple[str, bytes]:
    """(file name, content)."""
    escaped = name.replace("-", "_").replace(".", "_").lower()
    return f"{escaped}-{version}-py3-none-any.whl", zipped(members(name, version, *lines))


def sdist(name: str, version: str, *lines: str) -> tuple[str, bytes]:
    """(file name, content); pip can build it without anything else."""
    escaped = name.replace("-", "_").replace(".", "_").lower()
    top = f"{escaped}-{version}"
    backend = _BACKEND.format(name=escaped, version=version, files=members(name, version, *lines))
    files = {
        f"{top}/PKG-INFO": metadata(name, version, *lines),
        f"{top}/backend.py": backend,
        f"{top}/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    }
    return f"{top}.tar.gz", tarred(files)


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return body.getvalue()


def tarred(files: Mapping[str, str | bytes]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(body.getvalue(), mtime=0)


def saved(directory: Path, made: tuple[str, bytes]) -> Path:
    """The file, written there."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / made[0]
    path.write_bytes(made[1])
    return path


def publish(hosted: Stack, made: tuple[str, bytes], repository: str = "pypi", **fields: str) -> requests.Response:
    """The form as it is, so that a test can say something wrong in it."""
    name, _, version = made[0].removesuffix("-py3-none-any.whl").removesuffix(".tar.gz").rpartition("-")
    said = {":action": "file_upload", "name": name, "version": version, **fields}
    url = f"{hosted.url}/repository/{repository}/"
    return requests.post(url, said, files={"content": made}, auth=AUTH, timeout=30)


def page(hosted: Stack, path: str, accept: str = JSON_V1, repository: str = "pypi") -> requests.Response:
    url = f"{hosted.url}/repository/{repository}/{path}"
    return requests.get(url, headers={"Accept": accept}, timeout=30, allow_redirects=False)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
