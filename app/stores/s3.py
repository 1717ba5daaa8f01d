"""Blobs in S3, one object per digest, and the journal beside them.

s3://<bucket>/<prefix>
  sha256/ab/ab34...ef         LastModified = last adopted
  quarantine/ab34...ef        damaged bytes, for an operator to look at
  journal/<name>.json
  probe/<random>              what ping() writes and removes
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from app.errors import StoreDown
from app.stores import s3_upload
from app.stores.blobs import HEX, NOTE
from app.stores.s3_body import HEAD, S3Body, Source, look, opened
from app.stores.s3_client import S3, Refusal
from app.stores.s3_recent import Recent

PAGE = 1000  # of a list, S3's most
PROBE = re.compile(r"[0-9a-f]{16}")  # the name of what ping() writes; without a prefix others have a probe/ too
ABANDONED = 86400.0  # seconds after which an unfinished upload or a probe belongs to nobody


class S3Blobs:
    """Blobs under `prefix`, which is empty or ends with a slash.

    The keys need s3:GetObject, PutObject, DeleteObject, ListBucket, ListBucketMultipartUploads and
    AbortMultipartUpload. Without ListBucket what is not here looks forbidden, which is StoreDown.
    """

    def __init__(self, bucket: str, prefix: str, endpoint_url: str | None = None, s3: S3 | None = None) -> None:
        """`s3` is one that is made already, instead of bucket and endpoint."""
        self.prefix = prefix
        self._s3 = s3 or S3(bucket, endpoint_url)
        self._recent = Recent()

    def key(self, digest: str) -> str:
        """The key of a blob; ValueError unless `digest` is 64 lower-case hex digits."""
        if not HEX.fullmatch(digest):
            raise ValueError(f"not a sha256: {digest!r}")
        return f"{self.prefix}sha256/{digest[:2]}/{digest}"

    def ping(self, writes: bool = True) -> None:
        """A byte is written, read back and removed; without `writes` S3 says that it is not there."""
        probe = f"{self.prefix}probe/{secrets.token_hex(8)}"
        if not writes:
            look(self._s3, probe)
            return
        self._s3.ask("put_object", Key=probe, Body=b"1")
        try:
            body = opened(self._s3, probe)
            if body is None or body.read() != b"1":
                raise StoreDown("S3: reads are not what was written")
        finally:
            self._drop(probe)

    def open(self, digest: str) -> BinaryIO | None:
        """A Distant; one request brings a small body whole. Of a large one that was here a moment ago nothing is
        asked before its bytes are: should they be gone, that is StoreDown, and the next time None."""
        key = self.key(digest)
        if (size := self._recent.size(key)) is not None:
            return cast("BinaryIO", self.reopen(digest, size))
        body = opened(self._s3, key, self._recent)
        if body is not None and body.size > HEAD:
            self._recent.found(key, body.size)
        return cast("BinaryIO | None", body)

    def reopen(self, digest: str, size: int) -> S3Body:
        return S3Body(Source(self._s3, self.key(digest), self._recent), size)

    def exists(self, digest: str) -> bool:
        return look(self._s3, self.key(digest)) is not None

    def adopted(self, digest: str) -> float | None:
        found = look(self._s3, self.key(digest))
        return found.modified if found is not None else None

    def adopt(self, file: Path, digest: str) -> None:
        """Upload a spool file and remove it. One that is here may be damaged, or be garbage that is just removed: it
        is replaced."""
        key = self.key(digest)
        self._recent.lost(key)
        try:
            with file.open("rb", buffering=0) as spooled:
                s3_upload.put(self._s3, key, spooled, spooled.seek(0, 2))
            file.unlink(missing_ok=True)
        except OSError as error:
            raise StoreDown(f"spool: {error.strerror or error}") from error

    def remove(self, digest: str) -> None:
        self._recent.lost(self.key(digest))
        self._drop(self.key(digest))

    def quarantine(self, digest: str) -> None:
        key = self.key(digest)
        self._recent.lost(key)
        found = look(self._s3, key)
        if found is not None and s3_upload.copy(self._s3, key, f"{self.prefix}quarantine/{digest}", found):
            self._drop(key)

    def walk(self) -> Iterator[tuple[str, float]]:
        for key, modified in self._list("sha256/"):
            digest = key.rpartition("/")[2]
            if HEX.fullmatch(digest) and key == self.key(digest):
                yield digest, modified

    def room(self) -> None:
        """S3 has no end."""

    def reap(self) -> int:
        """Unfinished multipart uploads, and probes of processes that died."""
        before = time.time() - ABANDONED
        count = 0
        for key, upload in [*self._unfinished("sha256/", before), *self._unfinished("quarantine/", before)]:
            with contextlib.suppress(Refusal):
                self._s3.ask("abort_multipart_upload", "NoSuchUpload", Key=key, UploadId=upload)
                count += 1
        for key, modified in self._list("probe/"):
            if modified < before and PROBE.fullmatch(key.rpartition("/")[2]):
                self._drop(key)
                count += 1
        return count

    def note(self, name: str, text: bytes) -> None:
        if not NOTE.fullmatch(name):
            raise ValueError(f"not a note's name: {name!r}")
        self._s3.ask("put_object", Key=f"{self.prefix}journal/{name}.json", Body=text, ContentType="application/json")

    def noted(self, after: int) -> int | None:
        within = f"{self.prefix}journal/"
        for key, _ in self._list("journal/", StartAfter=f"{within}{after + 1:020d}"):
            name = key.removeprefix(within)
            if NOTE.fullmatch(name.removesuffix(".json")):
                return int(name.partition("-")[0])
        return None

    def notes(self) -> Iterator[bytes]:
        """S3 lists in the order of names."""
        for key, _ in self._list("journal/"):
            body = opened(self._s3, key)
            if body is not None:
                yield body.read()

    def _drop(self, key: str) -> None:
        with contextlib.suppress(Refusal):
            self._s3.ask("delete_object", "NoSuchKey", Key=key)

    def _list(self, part: str, **more: Any) -> Iterator[tuple[str, float]]:
        """(key, unix time of its last change) of what is under the prefix and `part`, a page at a time."""
        while True:
            page = self._s3.ask("list_objects_v2", Prefix=f"{self.prefix}{part}", MaxKeys=PAGE, **more)
            for item in page.get("Contents", ()):
                yield item["Key"], item["LastModified"].timestamp()
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _unfinished(self, part: str, before: float) -> Iterator[tuple[str, str]]:
        """(key, upload id) of multipart uploads under the prefix and `part` that began before that unix time."""
        more: dict[str, Any] = {}
        while True:
            page = self._s3.ask("list_multipart_uploads", Prefix=f"{self.prefix}{part}", MaxUploads=PAGE, **more)
            for item in page.get("Uploads", ()):
                if item["Initiated"].timestamp() < before:
                    yield item["Key"], item["UploadId"]
            markers = ("KeyMarker", "UploadIdMarker")  # Amazon names both, SeaweedFS the second
            more = {name: page[f"Next{name}"] for name in markers if page.get(f"Next{name}")}
            if not page.get("IsTruncated") or not more:
                return
