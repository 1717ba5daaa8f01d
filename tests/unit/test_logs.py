"""How a log line looks, in both forms."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest

import app.upstream.dial  # noqa: F401 (silences urllib3 when it is imported)
from app.logs import SECRETIVE, JsonLines, TextLines, configure
from app.stores.s3_client import S3


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


def test_a_token_in_a_path_is_not_in_the_log() -> None:
    for token in ("aapi_" + "x-_" * 14 + "x", "aapi%5F" + "x" * 43, "aapi_" + "x" * 30):
        for form in (JsonLines(), TextLines()):
            line = form.format(_record(path=f"/repository/npm/-/user/token/{token}", status=403))
            assert "xxx" not in line and "x-_" not in line
            assert "/repository/npm/-/user/token/***" in line
    assert "/aapi_client-1.0.tar.gz" in JsonLines().format(_record(path="/aapi_client-1.0.tar.gz"))


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


@pytest.fixture
def settled() -> Iterator[None]:
    """Every logger's level, and the root's handlers, are put back."""
    root = logging.getLogger()
    loggers = [
        root,
        *map(logging.getLogger, ("urllib3", "alembic", "psycopg", "psycopg.pool", "werkzeug", *SECRETIVE)),
    ]
    handlers, levels = list(root.handlers), [each.level for each in loggers]
    yield
    root.handlers[:] = handlers
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("debug", [False, True])
def test_a_retry_does_not_tell_its_url(capsys: pytest.CaptureFixture[str], debug: bool) -> None:
    configure("json", debug)
    logging.getLogger("urllib3.connectionpool").warning("Retrying: %s", "/x?signature=hidden")
    logging.getLogger("app.fetch").warning("ours")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "ours"


@pytest.mark.usefixtures("settled")
def test_no_link_and_no_key_of_s3_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ACCESS_KEY_ID", "anid"), ("SECRET_ACCESS_KEY", "hidden"), ("SESSION_TOKEN", "atoken")):
        monkeypatch.setenv(f"AWS_{name}", value)
    configure("json", debug=True)
    link = S3("bucket", "http://127.0.0.1:9").link(600, Key="sha256/ab/abc")
    out = capsys.readouterr().out
    assert "X-Amz-Signature=" in link
    assert not [each for each in (link.partition("X-Amz-Signature=")[2][:64], "hidden", "atoken") if each in out]
