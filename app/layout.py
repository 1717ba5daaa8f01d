"""Where things lie on this machine.

    DATA_DIR/         0711  nginx passes through it on its way to the blobs
    +-- blobs/        0711  sha256/ab/<hex>, quarantine/, journal/; nginx reads with the group of sha256/
    +-- spool/        0750  <key>.<fence>, downloads in progress; always on the filesystem of the blobs
    +-- postgres/     0700  the embedded server's files
    +-- valkey/       0700  the embedded server's working directory
    +-- run/          0700  lock and pid files, the configuration's snapshot, sockets
    +-- secrets/      0700  admin-token (0600)
    +-- metrics -> /dev/shm/...  0700  counters of every worker, made anew at start (metric_files.py)

With STORAGE_URL=file:///mnt/blobs the first two are /mnt/blobs and /mnt/blobs/spool; with s3:// blobs/ stays empty.
Where DATA_DIR is too long for a unix socket the sockets are in /tmp/artifactapi-<uid>-<hash of DATA_DIR>, 0700 and
this user's own.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from app.problems import ConfigError, Problem

LONGEST_SOCKET_PATH = 107  # bytes, unix(7): sun_path is 108 with its closing NUL
LONGEST_SOCKET_NAME = 16  # bytes; Postgres names its own .s.PGSQL.5432


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path of one node, from its absolute DATA_DIR and, where set, the directory STORAGE_URL names."""

    data_dir: Path
    storage: Path | None = None

    @property
    def blobs(self) -> Path:
        return self.storage or self.data_dir / "blobs"

    @property
    def spool(self) -> Path:
        return (self.storage or self.data_dir) / "spool"

    @property
    def postgres(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def valkey(self) -> Path:
        return self.data_dir / "valkey"

    @property
    def run(self) -> Path:
        return self.data_dir / "run"

    @property
    def secrets(self) -> Path:
        return self.data_dir / "secrets"

    @property
    def admin_token(self) -> Path:
        return self.secrets / "admin-token"

    @property
    def metrics(self) -> Path:
        return self.data_dir / "metrics"

    @property
    def sockets(self) -> Path:
        """The directory of the unix sockets: `run`, or one in /tmp where its path is too long."""
        if len(os.fsencode(self.run)) + 1 + LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH:
            return self.run
        mark = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path("/tmp") / f"artifactapi-{os.getuid()}-{mark}"  # noqa: S108 - TMPDIR may be long too

    def socket(self, name: str) -> Path:
        """The path of one socket, never longer than a unix socket's may be; names are short and ours."""
        if len(os.fsencode(name)) > LONGEST_SOCKET_NAME:
            raise ValueError(f"the socket name {name} is longer than {LONGEST_SOCKET_NAME} bytes")
        return self.sockets / name

    def prepare(self) -> None:
        """Make every directory that is missing; raises ConfigError if one cannot be made or is not safe."""
        try:
            for passed in (self.data_dir, self.blobs):
                _directory(passed, 0o711)
            _directory(self.spool, 0o750)
            for own in (self.postgres, self.valkey, self.run, self.secrets, self.sockets):
                _directory(own, 0o700)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}"
            raise ConfigError(Problem("", "DATA_DIR", reason)) from None
        for private in (self.run, self.secrets, self.sockets):
            _refuse_foreign(private)


def _directory(path: Path, mode: int) -> None:
    """Make a directory with exactly this mode; one that is there keeps the mode its operator gave it."""
    if path.is_dir():
        return
    path.mkdir(parents=True)
    path.chmod(mode)


def _refuse_foreign(path: Path) -> None:
    """Others must be able neither to plant a socket or a token in it nor to read one."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        reason = f"{path} is not a directory that only this user can enter: remove it, or chmod 700 and chown it"
        raise ConfigError(Problem("", "DATA_DIR", reason))
