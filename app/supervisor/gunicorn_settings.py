"""How gunicorn runs the workers; read as `python:app.supervisor.gunicorn_settings`, so from any directory."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from app import compose as modules_of_a_worker  # noqa: F401  from its parent: one that died is back at once
from app import logs, metric_files
from app.config import from_environment
from app.web import heartbeat
from app.web.node import EXTENSION

_settings = from_environment(os.environ)
if _settings.bucket is not None:
    from app.stores import s3 as modules_of_its_store  # noqa: F401  likewise
_inherited = os.environ.get("ARTIFACTAPI_LISTEN_FD")


class Lines(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own messages in the form of all others; requests are logged by who finishes them."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        logs.configure(_settings.log_format, _settings.debug)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True


bind = f"fd://{_inherited}" if _inherited else _settings.bind
workers = _settings.workers
worker_class = "app.web.worker.Worker"  # sync, with our own words for what is not HTTP
preload_app = False  # a reload must read the snapshot again, and no client may be open before the fork
timeout = 60  # a worker's single response may take longer: whoever streams calls heartbeat.beat()
graceful_timeout = 30
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
accesslog = None
logger_class = Lines
loglevel = "warning"
control_socket_disable = True
forwarded_allow_ips = ",".join(str(network) for network in _settings.trusted_proxies)
forwarder_headers = ""  # by default a trusted peer's PATH_INFO header would replace the path
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  a heartbeat must not wait for a disk


def on_starting(server: Arbiter) -> None:
    """An inherited socket is not gunicorn's to unlink: what systemd passes it leaves alone, and so must ours."""
    server.systemd = bool(_inherited)


def pre_fork(server: Arbiter, worker: Worker) -> None:
    """What a worker has from its parent stays in pages that they share: its collector leaves it alone."""
    gc.freeze()


def post_worker_init(worker: Worker) -> None:
    """Let a long response tell gunicorn that its worker lives."""
    heartbeat.beat = worker.notify


def worker_exit(server: Arbiter, worker: Worker) -> None:
    """What it has counted and noted and not sent yet goes on its way."""
    if (flask := getattr(worker, "wsgi", None)) is not None:  # not where the application did not load
        flask.extensions[EXTENSION].finish.close()
        flask.extensions[EXTENSION].accounts.close()


def child_exit(server: Arbiter, worker: Worker) -> None:
    """A dead worker's gauges must not be summed on, and its counts go to those of all the dead."""
    try:
        metric_files.fold()
    except (OSError, ValueError) as error:
        server.log.warning("the counts of ended workers stay in their files: %s", error)
