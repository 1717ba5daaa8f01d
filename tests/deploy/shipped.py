"""Knows how the files that deploy a node are read: settings, the Dockerfile, the manifest of Kubernetes."""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from app.config import DOCUMENTED, Settings, from_environment
from app.supervisor.embedded import GRACE
from app.supervisor.supervisor import LONGEST_STOP
from tests.deploy.front import DEPLOY
from tests.stack import ROOT

NAMES = {each.name for each in DOCUMENTED} | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
STOPPING = 2 * LONGEST_STOP + 2 * GRACE  # seconds: gunicorn, fills, and both embedded stores


def settings_of(environment: dict[str, str], *more: str) -> Settings:
    """What the server makes of it; every name is one that it, or boto3, reads."""
    assert environment.keys() <= NAMES | set(more), environment.keys() - NAMES
    return from_environment(environment)


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def image() -> dict[str, str]:
    """ENV of the last stage."""
    return dict(pair.split("=", 1) for pair in shlex.split(one("ENV")))


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    begins = max(number for number, (kind, _) in enumerate(found) if kind == "FROM")
    return found[begins:]


def one(kind: str) -> str:
    (found,) = (rest for name, rest in last_stage() if name == kind)
    return found


def kubernetes() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")))
