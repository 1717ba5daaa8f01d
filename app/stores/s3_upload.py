"""Writing to S3: a file in one request or in parts, checked end to end by MD5, and copies inside S3."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

from app.errors import StoreDown
from app.stores.s3_body import Found, look
from app.stores.s3_client import S3, Refusal

PART = 16 << 20  # bytes; what is no larger goes in one request
PARTS = 10_000  # S3's limit
PARALLEL = 3  # parts of one upload on their way at once
PIECE = 1 << 20  # bytes read at a time
MEDIA_TYPE = "application/octet-stream"  # presigned links name the real one
GONE = ("NoSuchKey", "PreconditionFailed")


def put(s3: S3, key: str, body: BinaryIO, size: int) -> None:
    """Store a file, whatever is there; StoreDown, and nothing new is there, where it does not arrive whole."""
    if size <= PART:
        _put(s3, key, _Part(body, 0, size))
        return

    def send(upload: str, number: int, start: int, length: int) -> str:
        part = _Part(body, start, length)
        response = s3.ask(
            "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=part, ContentMD5=part.content_md5()
        )
        if _stored_md5(response) not in (None, part.md5):
            raise StoreDown("S3 stored other bytes than it was sent")
        return str(response["ETag"])

    _multipart(s3, key, size, send)


def copy(s3: S3, source: str, target: str, found: Found) -> bool:
    """Copy inside S3, piece by piece above PART bytes, so that no request takes long. False, and nothing is copied,
    where the source is not `found` any more."""
    origin: dict[str, Any] = {"CopySource": {"Bucket": s3.bucket, "Key": source}}
    if found.etag:
        origin["CopySourceIfMatch"] = found.etag

    def send(upload: str, number: int, start: int, length: int) -> str:
        extent = f"bytes={start}-{start + length - 1}"
        place = {"Key": target, "UploadId": upload, "PartNumber": number}
        response = s3.ask("upload_part_copy", *GONE, CopySourceRange=extent, **origin, **place)
        return str(response["CopyPartResult"]["ETag"])

    try:
        if found.size > PART:
            _multipart(s3, target, found.size, send)
        else:
            s3.ask("copy_object", *GONE, Key=target, **origin)
    except Refusal:
        return False
    return True


def part_size(size: int) -> int:
    """Bytes of each part but the last: whole MiB, so many that PARTS suffice."""
    return max(PART, -(-size // PARTS // (1 << 20)) << 20)


Send = Callable[[str, int, int, int], str]
"""(upload id, part number, start, length) -> the part's ETag."""


@dataclass(frozen=True, slots=True)
class _Span:
    number: int
    start: int
    length: int


def _spans(size: int) -> Iterator[_Span]:
    step = part_size(size)
    for index, start in enumerate(range(0, size, step)):
        yield _Span(index + 1, start, min(step, size - start))


def _multipart(s3: S3, key: str, size: int, send: Send) -> None:
    """All parts or nothing: an upload that fails is aborted, one that does not have all bytes is removed."""
    upload = s3.ask("create_multipart_upload", Key=key, ContentType=MEDIA_TYPE)["UploadId"]

    def sent(span: _Span) -> dict[str, Any]:
        return {"PartNumber": span.number, "ETag": send(upload, span.number, span.start, span.length)}

    try:
        with ThreadPoolExecutor(PARALLEL) as pool:
            parts = list(pool.map(sent, _spans(size)))
        s3.ask("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    except BaseException:
        with contextlib.suppress(StoreDown, Refusal):  # reap() finds what is left
            s3.ask("abort_multipart_upload", "NoSuchUpload", Key=key, UploadId=upload)
        raise
    _require(s3, key, size)


def _put(s3: S3, key: str, part: _Part) -> None:
    response = s3.ask("put_object", Key=key, Body=part, ContentMD5=part.content_md5(), ContentType=MEDIA_TYPE)
    md5 = _stored_md5(response)
    if md5 is None:
        _require(s3, key, part.size)
    elif md5 != part.md5:
        s3.ask("delete_object", Key=key)
        raise StoreDown("S3 stored other bytes than it was sent")


def _require(s3: S3, key: str, size: int) -> None:
    found = look(s3, key)
    if found is None or found.size != size:
        s3.ask("delete_object", Key=key)
        raise StoreDown("S3 did not store every byte")


def _stored_md5(response: Any) -> str | None:
    """The MD5 of what was stored; None where the ETag is none, as under KMS: then Content-MD5 has to do."""
    etag = str(response.get("ETag", "")).strip('"')
    plain = response.get("ServerSideEncryption", "AES256") == "AES256" and re.fullmatch(r"[0-9a-f]{32}", etag)
    return etag if plain else None


class _Part(io.RawIOBase):
    """A stretch of a file as a file, read where it lies: several are read at once, none is held in memory."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self.size = length
        self._position = 0
        self.md5 = self._digest()

    def content_md5(self) -> str:
        """As the header wants it (RFC 1864)."""
        return base64.b64encode(bytes.fromhex(self.md5)).decode("ascii")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(self.size - self._position, 0)]
        count = os.preadv(self._file.fileno(), [view], self._start + self._position) if view else 0
        self._position += count
        return count

    def _digest(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        while piece := self.read(PIECE):
            digest.update(piece)
        self.seek(0)
        return digest.hexdigest()
