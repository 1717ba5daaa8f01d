"""How this process asks S3: its clients, their time limits, and what S3's refusals mean."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from urllib3.exceptions import HTTPError

from app.errors import StoreDown
from app.stores.breaker import Breaker

CONNECT = 2.0  # seconds for a connection
READ, WRITE = 5.0, 20.0  # seconds without a byte of the answer; a whole part is stored before a write is answered
ATTEMPTS = 2  # a second one where a connection broke or S3 was busy, none where it says nothing
PROBE = 0.3  # seconds that a caller awaits an S3 that failed before
FAIL_FAST = 0.5  # seconds an S3 that failed is not asked again, twice as long each further time
CONNECTIONS = 100  # kept open by one process
REGION = "us-east-1"  # where none is set: what servers other than Amazon's go by

WRITES = frozenset({"put_object", "upload_part", "upload_part_copy", "copy_object", "complete_multipart_upload"})
FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "StorageFull", "XMinioStorageFull", "InsufficientCapacity"})
BUSY = frozenset({"SlowDown", "ServiceUnavailable"})  # not a bare 503, which is a proxy's whose S3 is gone
INSUFFICIENT_STORAGE = 507  # RFC 4918, 11.5
BROKEN = (BotoCoreError, HTTPError, OSError)  # what a connection that fails raises, while asking or reading
SILENT = (ConnectTimeoutError, ReadTimeoutError)
NO_KEYS = (NoCredentialsError, PartialCredentialsError)


class Refusal(Exception):
    """S3 answered with an error code of which the caller said that it understands it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class S3:
    """One bucket. Clients are made at first use, so after the fork, and are safe for threads.

    They send no checksums of the newer kinds (trailers in aws-chunked), which not every S3 understands; whoever
    writes sends Content-MD5.
    """

    def __init__(self, bucket: str, endpoint_url: str | None) -> None:
        self.bucket = bucket
        self._endpoint_url = endpoint_url
        self._breaker = Breaker("S3", FAIL_FAST)
        self._trial = threading.Thread()
        self._lock = threading.Lock()
        self._pid = 0
        self._session: Any = None
        self._clients: dict[float, Any] = {}

    def ask(self, operation: str, *understood: str, **parameters: Any) -> Any:
        """What boto3 calls `operation`, on this bucket; its response.

        Raises Refusal for an error code in `understood`, StoreDown for any other failure.
        """
        self._breaker.check(probing=True)
        if self._breaker.failing:
            self._try(parameters)
        return self._asked(operation, understood, parameters)

    def _asked(self, operation: str, understood: tuple[str, ...], parameters: Mapping[str, Any]) -> Any:
        try:
            client = self.client(WRITE if operation in WRITES else READ)
            response = getattr(client, operation)(Bucket=self.bucket, **parameters)
        except ClientError as error:
            raise self._refused(operation, error, understood) from error
        except BROKEN as error:
            raise self.broken(error) from error
        self._breaker.mend()
        return response

    def _try(self, parameters: Mapping[str, Any]) -> None:
        """StoreDown unless S3, which failed, answers a small question about the same key or prefix. It is asked
        beside the caller, who awaits it for a moment: an answer that comes later serves the next caller."""
        if not self._trial.is_alive():
            trial = self._trial = threading.Thread(target=self._question, args=(parameters,), name="s3", daemon=True)
            trial.start()
            trial.join(PROBE)
        if self._trial.is_alive():
            raise self._tripped(StoreDown(f"S3 does not answer within {PROBE} s", retry_after=FAIL_FAST))
        if self._breaker.failing:
            raise StoreDown("S3 has failed again", retry_after=FAIL_FAST)

    def _question(self, parameters: Mapping[str, Any]) -> None:
        with contextlib.suppress(StoreDown):  # what it was is in the breaker; any refusal of S3's will do
            if "Key" in parameters:
                self._asked("get_object", (), {"Key": parameters["Key"], "Range": "bytes=0-0"})["Body"].close()
            else:
                self._asked("list_objects_v2", (), {"Prefix": parameters["Prefix"], "MaxKeys": 1})

    def link(self, seconds: int, **parameters: str) -> str:
        """A URL that gets an object, signed here, without asking."""
        signed = {"Bucket": self.bucket, **parameters}
        try:
            return str(self.client(READ).generate_presigned_url("get_object", Params=signed, ExpiresIn=seconds))
        except BROKEN as error:
            raise self.broken(error) from error

    def broken(self, error: Exception) -> StoreDown:
        """No connection, no answer or no keys: S3 is left alone for a moment. Vendors' messages hold whole URLs,
        so only their kind is told."""
        what = "no AWS keys are set" if isinstance(error, NO_KEYS) else f"S3 does not answer ({type(error).__name__})"
        return self._tripped(StoreDown(what, retry_after=FAIL_FAST))

    def client(self, patience: float) -> Any:
        """This process's client whose answers may take `patience` seconds to go on."""
        with self._lock:
            if self._pid != os.getpid():  # the first use, or a fork since
                self._pid, self._session, self._clients = os.getpid(), boto3.session.Session(), {}
            if patience not in self._clients:
                self._clients[patience] = self._connect(patience)
            return self._clients[patience]

    def _refused(self, operation: str, error: ClientError, understood: tuple[str, ...]) -> Refusal | StoreDown:
        code = str(error.response["Error"].get("Code", ""))
        status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
        down = self._down(code, status)
        if code not in understood and status >= 500 and operation not in WRITES and code not in BUSY:
            return self._tripped(down)
        self._breaker.mend()  # it is there, and said no; one that cannot be written may well be read
        return Refusal(code) if code in understood else down

    def _down(self, code: str, status: int) -> StoreDown:
        full = code in FULL or status == INSUFFICIENT_STORAGE
        shown = re.sub(r"[^A-Za-z0-9.]", "", code)[:60]
        message = f"S3 answers {status} {shown} for the bucket {self.bucket}"
        return StoreDown(message, code="storage_full" if full else None, retry_after=FAIL_FAST)

    def _tripped(self, down: StoreDown) -> StoreDown:
        self._breaker.trip(down)
        return down

    def _style(self) -> str:
        """Where the bucket stands in URLs. By "auto" links name Amazon's first region, whatever the bucket's is: it
        redirects, and the signature names another host then. No certificate of Amazon's is for a bucket with dots."""
        if self._endpoint_url:
            return "path"
        return "auto" if "." in self.bucket else "virtual"

    def _connect(self, patience: float) -> Any:
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": self._style()},
            connect_timeout=CONNECT,
            read_timeout=patience,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=CONNECTIONS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        region = self._session.region_name or REGION
        client = self._session.client("s3", endpoint_url=self._endpoint_url, region_name=region, config=config)
        client.meta.events.register_first("needs-retry.s3", _impatient)
        if self._endpoint_url:
            client.meta.events.register_first("needs-retry.s3", _stay)
        return client


def _impatient(caught_exception: Exception | None, **_: Any) -> bool | None:
    """False, which is "no", where the time limit is used up: a second one would only be waited for as well."""
    return False if isinstance(caught_exception, SILENT) else None


def _stay(request_dict: Any, **_: Any) -> None:
    """A server of one's own has no regions: botocore would follow its redirects in circles (S3RegionRedirectorv2),
    so this says that it has done so."""
    request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True
