"""artifactapi: one address in front of every package registry a fleet uses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

__version__ = "0.1.0"


def create_app() -> Flask:
    """The WSGI application as the environment configures it; ConfigError where that is wrong."""
    from app import compose, config, logs, repositories  # only now: `artifactapi --help` needs none of it

    settings = config.from_environment(os.environ)
    logs.configure(settings.log_format, settings.debug)
    return compose.worker(settings, repositories.load(settings.config_path))
