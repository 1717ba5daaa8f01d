"""How a log line looks: one JSON object, or text for people; never a secret, a query string or a body."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from functools import lru_cache

_ENCODED = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode  # json.dumps makes a new one each time


SECRETIVE = ("botocore", "boto3", "s3transfer")  # below a warning they tell signatures, tokens and whole links


_TOKEN = re.compile(r"aapi(?:_|%5[fF])[A-Za-z0-9_%-]{20,}")  # also one that was cut, or not yet encoded


def hidden(text: str) -> str:
    """Without the tokens in it: npm's logout sends one in a path."""
    return _TOKEN.sub("***", text) if "aapi" in text else text


class JsonLines(logging.Formatter):
    """{"time", "level", "event", ...fields}, one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return hidden(_ENCODED(line))


class TextLines(logging.Formatter):
    """The same for reading at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        told = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
        line = f"{_time(record.created)} {record.levelname:<7} {record.getMessage()} {told}".rstrip()
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return hidden(line)


def configure(form: str, debug: bool = False) -> None:
    """Send everything to standard output in the given form ("json" or "text")."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    _gather_only_what_is_written()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for noisy in ("alembic", "psycopg", "psycopg.pool", "werkzeug", *SECRETIVE):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its warnings of a retry have the whole URL


def _gather_only_what_is_written() -> None:
    """No thread, process or line of code for each record (Python's Logging HOWTO, Optimization)."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


def _time(created: float) -> str:
    return f"{_second(int(created))}.{int(created % 1 * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
