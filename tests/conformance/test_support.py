"""Determining support: GET /v2/ (end-1)."""

from __future__ import annotations

from tests.conformance.asking import Api


def test_the_base_of_the_api_says_that_this_is_a_registry(api: Api) -> None:
    """Determining Support (end-1), MUST: 200 where the specification is implemented, whatever upstream does."""
    assert api.go(api.base).status == 200
    with api.upstream.stopped():
        assert api.go(api.base).status == 200
