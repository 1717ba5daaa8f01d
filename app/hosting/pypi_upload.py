"""The form that twine and uv upload a Python package with: what it must say, and what is held against the file.

Source: PyPI documentation, "Upload API" ("the legacy upload API"); PEP 694 tells how it came to be.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import BadRequest
from app.formats.pypi_names import normalised
from app.hosting.base import Post, Sent
from app.hosting.pypi_files import Named, named, same_name, same_version
from app.hosting.upload import Upload

FILE = re.compile(r"packages/(?P<project>[^/]+)/(?P<file>[^/]+)")
CONTENT = frozenset({"content", "file"})  # the field of the file: twine's, and every other repository's here
_SIGNATURE = 64 << 10  # bytes
_HEX = re.compile(r"[0-9a-fA-F]+")
_TYPES = {True: "bdist_wheel", False: "sdist"}


@dataclass(frozen=True, slots=True)
class Form:
    """An upload that agrees with itself, but for what is inside the file."""

    filename: str
    told: Named
    file: Upload
    signature: Upload | None


def form(post: Post) -> Form:
    """Raises BadRequest, which says what is wrong. A file that is sent without any field says all by itself."""
    files = _files(post)
    content, name = files.get("content"), filename(post)
    if content is None or name is None:
        raise BadRequest("the form has no file `content`: this takes what twine and uv publish send", code="bad_form")
    told = named(name)
    if post.fields:
        _judge_form(post, told)
    content.upload.finish()
    _judge_digests(post, content.upload)
    return Form(name, told, content.upload, _signature(files.get("gpg_signature"), name))


def filename(post: Post) -> str | None:
    """What the file is called: by the path of a PUT, else by the form; None where there is no file."""
    if post.method == "PUT":
        return post.path.rpartition("/")[2]
    return next((each.filename for each in post.files if each.field in CONTENT), None)


def place(path: str) -> str:
    """Where the file of that path is kept, for its name says its project; the path itself where it is no file's."""
    found = FILE.fullmatch(path)
    name = found["file"] if found else path
    try:
        project = named(name).project
    except BadRequest:
        return path
    return path if found and normalised(found["project"]) != project else f"packages/{project}/{name}"


def require_place(path: str) -> None:
    """BadRequest where a file is PUT there that is another project's, or none."""
    found = FILE.fullmatch(path)
    if found is None or named(found["file"]).project != found["project"]:
        raise BadRequest("a file is PUT as <file>, or as packages/<project>/<file>", code="bad_path")


def _judge_form(post: Post, told: Named) -> None:
    if _field(post, ":action") != "file_upload":
        raise BadRequest("the form's :action is not file_upload", code="bad_form")
    if _field(post, "protocol_version") not in ("", "1"):
        raise BadRequest("the form is of another protocol_version than 1", code="bad_form")
    if "attestations" in post.fields:
        raise BadRequest("attestations are not verified here, so they are not kept: upload without", code="bad_form")
    _judge_fields(post, told)


def _files(post: Post) -> Mapping[str, Sent]:
    ours = {*CONTENT, ""} if post.method == "PUT" else CONTENT
    files = {"content" if each.field in ours else each.field: each for each in post.files}
    if len(files) < len(post.files) or not files.keys() <= {"content", "gpg_signature"}:
        raise BadRequest("the form has other files than one `content` and one `gpg_signature`", code="bad_form")
    return files


def _field(post: Post, name: str) -> str:
    """The field's one value, "" where it is not sent."""
    values = post.fields.get(name, ())
    if len(values) > 1:
        raise BadRequest(f"the form says {name} more than once", code="bad_form")
    return values[0].strip() if values else ""


def _judge_fields(post: Post, told: Named) -> None:
    """What the form repeats of the file's name must be the same."""
    if not same_name(_field(post, "name"), told):
        raise BadRequest("the form's name is not the one in the file's name", code="bad_form")
    if not same_version(_field(post, "version"), told):
        raise BadRequest("the form's version is not the one in the file's name", code="bad_form")
    if _field(post, "filetype") not in ("", _TYPES[told.wheel]):
        raise BadRequest("the form's filetype is not what the file's name says", code="bad_form")


def _judge_digests(post: Post, upload: Upload) -> None:
    wanted = {name: _field(post, f"{name}_digest").lower() for name in ("md5", "sha256", "blake2_256")}
    if any(value and not _HEX.fullmatch(value) for value in wanted.values()):
        raise BadRequest("a digest in the form is not hexadecimal", code="bad_digest")
    sums = {name: _empty(name) for name, value in wanted.items() if value and name != "sha256"}
    with upload.path.open("rb") as file:
        while sums and (piece := file.read(1 << 20)):
            for each in sums.values():
                each.update(piece)
    found = {"sha256": upload.finish(), **{name: each.hexdigest() for name, each in sums.items()}}
    for name, value in wanted.items():
        if value and value != found[name]:
            raise BadRequest(f"the file has not the {name} digest that the form says", code="digest_mismatch")


def _empty(name: str) -> hashlib._Hash | hashlib.blake2b:
    return hashlib.blake2b(digest_size=32) if name == "blake2_256" else hashlib.md5(usedforsecurity=False)


def _signature(sent: Sent | None, filename: str) -> Upload | None:
    if sent is None:
        return None
    if sent.filename != f"{filename}.asc" or sent.upload.size > _SIGNATURE:
        raise BadRequest("the gpg_signature is not called like the file and .asc, or is too long", code="bad_form")
    start = sent.upload.path.read_bytes()[:64]
    if not start.startswith(b"-----BEGIN PGP SIGNATURE-----"):
        raise BadRequest("the gpg_signature is no ASCII armoured signature", code="bad_form")
    return sent.upload
