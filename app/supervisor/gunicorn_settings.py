"""How gunicorn runs the workers; read as `python:app.supervisor.gunicorn_settings`, so from any directory."""

from __future__ import annotations

import os
from pathlib import Path

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker
from prometheus_flask_exporter.multiprocess import GunicornInternalPrometheusMetrics

from app import logs
from app.config import from_environment
from app.web import heartbeat

_settings = from_environment(os.environ)
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


def post_worker_init(worker: Worker) -> None:
    """Let a long response tell gunicorn that its worker lives."""
    heartbeat.beat = worker.notify


def child_exit(server: Arbiter, worker: Worker) -> None:
    """A dead worker's gauges must not be summed on."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        GunicornInternalPrometheusMetrics.mark_process_dead_on_child_exit(worker.pid)
