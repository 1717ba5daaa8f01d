"""How the two kinds of our own processes are called, and what their environment tells them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import app
from app.layout import Layout
from app.supervisor.processes import Command, StartError

ROOT = Path(app.__file__).parent.parent  # also where our processes work: gunicorn imports from there first
INTERNAL = "ARTIFACTAPI_"  # names of settings that only the supervisor makes
SNAPSHOT = "remotes.json"  # in Layout.run
URLS = "urls.json"  # beside it


@dataclass(frozen=True, slots=True)
class Stores:
    """Where this node's stores are, embedded or not."""

    database_url: str
    redis_url: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, file: Path) -> Stores | None:
        """What the running supervisor wrote; None where none runs."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except PermissionError:
            raise StartError(f"{file} cannot be read: be the user that runs the server") from None


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """An operator's environment without what an outer supervisor may have put there."""
    return {name: value for name, value in environ.items() if not name.startswith(INTERNAL)}


def environment(layout: Layout, stores: Stores, token: str) -> dict[str, str]:
    """What the supervisor settled, as settings of its children, which read them as anyone's."""
    given = os.environ.get("PYTHONPATH", "")
    modules = [str(ROOT), *(str(Path(part).absolute()) for part in given.split(os.pathsep) if part)]
    return {
        "DATA_DIR": str(layout.data_dir),
        "DATABASE_URL": stores.database_url,
        "REDIS_URL": stores.redis_url,
        "ADMIN_TOKEN": token,
        "ARTIFACTAPI_SNAPSHOT": str(layout.run / SNAPSHOT),
        "ARTIFACTAPI_FILLS_SOCKET": str(layout.socket("fills.sock")),
        "PROMETHEUS_MULTIPROC_DIR": str(layout.metrics),
        "PYTHONPATH": os.pathsep.join(modules),
        "PYTHONUNBUFFERED": "1",
    }


def fills(layout: Layout, environ: Mapping[str, str], listener: int) -> Command:
    """The one process that downloads; it accepts on the inherited socket."""
    arguments = (sys.executable, "-P", "-m", "app.fills")
    given = {**environ, "ARTIFACTAPI_FILLS_FD": str(listener)}
    return Command("fills", arguments, layout.run / "fills.process", ROOT, given, sockets=(listener,))


def gunicorn(layout: Layout, environ: Mapping[str, str], listener: int) -> Command:
    """The workers' parent; never run where we were started, for an `app` that lies there is not ours."""
    settings = ("--no-control-socket", "-c", "python:app.supervisor.gunicorn_settings")
    arguments = (sys.executable, "-P", "-m", "gunicorn", *settings, "app:create_app()")
    given = {**environ, "ARTIFACTAPI_LISTEN_FD": str(listener)}
    return Command("gunicorn", arguments, layout.run / "gunicorn.process", ROOT, given, sockets=(listener,))
