"""How a log line looks, in both forms."""

from __future__ import annotations

import json
import logging
import sys

from app.logs import JsonLines, TextLines


def _record(**fields: object) -> logging.LogRecord:
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "flush of %s", ("alma",), None)
    record.created = 1_700_000_000.25
    record.__dict__["fields"] = fields
    return record


def test_json_is_one_object_a_line() -> None:
    line = JsonLines().format(_record(path="/a\nb", status=200))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z", "level": "warning", "event": "flush of alma",
        "path": "/a\nb", "status": 200,
    }  # fmt: skip


def test_text_quotes_what_a_client_wrote() -> None:
    line = TextLines().format(_record(path='/a\nb"', status=200))
    assert line == '2023-11-14T22:13:20.250Z WARNING flush of alma path="/a\\nb\\"" status=200'


def test_an_exception_is_told_whole_in_the_log() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = _record()
        record.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(JsonLines().format(record))["exception"]
    assert "ValueError: why" in TextLines().format(record)
