"""Times as people write them."""

from __future__ import annotations

import pytest

from app import config, times
from app.problems import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0d", 0), ("90s", 90), ("5m", 300), ("12h", 43200), ("30d", 2592000), ("999999d", times.LONGEST)],
)
def test_a_length(text: str, seconds: int) -> None:
    assert times.length(text) == seconds
    assert config.from_environment({"PULLS_KEEP": text}).pulls_keep == seconds


@pytest.mark.parametrize("text", ["30", "-1d", "1.5h", "d", "30 days", "forever", "٣d", "9999999999s"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(ConfigError, match="PULLS_KEEP"):
        config.from_environment({"PULLS_KEEP": text})


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T12:00:00Z", "2026-11-21T12:00", "2026-11-21T13:00:00+01:00", "2026-11-21 12:00:00.000+00:00"],
)
def test_a_moment(text: str) -> None:
    assert times.moment(text) == 1795262400.0
    assert times.written(times.moment(text)) == "2026-11-21T12:00:00Z"


def test_a_day_begins_at_midnight_utc() -> None:
    assert times.written(times.moment("2026-11-21")) == "2026-11-21T00:00:00Z"
