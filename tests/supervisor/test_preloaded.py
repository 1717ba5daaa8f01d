"""gunicorn's parent has imported all that a worker needs: one that died, or a reload, costs no second of imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys, threading
import app.supervisor.gunicorn_settings
before = set(sys.modules)
from app import create_app
create_app()
imported = sorted(name for name in set(sys.modules) - before if name.startswith("app."))
print(json.dumps([imported, threading.active_count(), "jwt" in sys.modules]))
"""
FILES = {"STORAGE_URL": ""}
BUCKET = {"STORAGE_URL": "s3://bucket", "S3_ENDPOINT_URL": "http://127.0.0.1:9"}


@pytest.mark.parametrize("storage", [FILES, BUCKET], ids=["files", "s3"])
def test_a_worker_has_nothing_left_to_import(tmp_path: Path, storage: dict[str, str]) -> None:
    given = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "ADMIN_TOKEN": "a-token-of-at-least-thirty-two-letters",
        "DATA_DIR": str(tmp_path),
        "CONFIG_PATH": str(ROOT / "remotes.json"),
        **{name: value for name, value in storage.items() if value},
    }
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **given}
    made = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, check=True, capture_output=True, cwd=tmp_path
    )
    imported, threads, signatures = json.loads(made.stdout)
    assert imported == []
    assert not signatures, "PyJWT is for those who have OIDC_ISSUERS"
    assert threads == 1  # none may be there before the fork
