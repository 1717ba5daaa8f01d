"""`artifactapi` as an operator runs it beside a node of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from tests.http.node import TOKEN, Node
from tests.stack import INHERITED, ROOT


@dataclass(frozen=True, slots=True)
class Told:
    status: int
    out: str
    errors: str


def artifactapi(node: Node, *arguments: str, **settings: str) -> Told:
    """One command with that node's settings."""
    own = {
        "CONFIG_PATH": str(node.settings.config_path),
        "DATA_DIR": str(node.settings.data_dir),
        "DATABASE_URL": node.settings.database_url or "",
        "REDIS_URL": node.settings.redis_url or "",
        "ADMIN_TOKEN": TOKEN,
        "PYTHONPATH": str(ROOT),
    }
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = [sys.executable, "-m", "app.cli", *arguments]
    done = subprocess.run(
        command, env=kept | own | settings, cwd=node.root, capture_output=True, text=True, timeout=60, check=False
    )
    return Told(done.returncode, done.stdout, done.stderr)
