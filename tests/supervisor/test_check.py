"""`artifactapi check`: what it lists, and the warnings that leave its exit status 0."""

from __future__ import annotations

from tests.stack import Stack
from tests.supervisor.test_cli import artifactapi

HUB = {"package": "docker", "base_url": "http://127.0.0.1:9", "default": True, "immutable_patterns": ["^team/"]}


def test_lists_of_mirrors_are_shown(stack: Stack) -> None:
    keys = {"package": "rpm", "metalink": "http://127.0.0.1:9/metalink?key=sesame"}
    stack.configure({"remotes": {"mirrored": keys}})
    status, out, errors = artifactapi(stack, "check")
    assert (status, errors) == (0, "")
    assert out.splitlines()[1] == "  mirrored: remote rpm http://127.0.0.1:9/metalink?***"  # it may hold a key


def test_a_collision_is_a_warning(stack: Stack) -> None:
    team = {"package": "docker", "base_url": "http://127.0.0.1:9"}
    other = {"base_url": "http://127.0.0.1:9"}
    stack.configure({"remotes": {"hub": HUB, "team": team, "other": other}})
    status, out, errors = artifactapi(stack, "check")
    assert (status, len(out.splitlines())) == (0, 4)
    (line,) = errors.splitlines()
    assert line.startswith(f"artifactapi: warning: {stack.config}: remotes.hub: ")
    assert "team/..." in line


def test_two_defaults_are_an_error(stack: Stack) -> None:
    stack.configure({"remotes": {"hub": HUB, "quay": HUB}})
    status, out, errors = artifactapi(stack, "check")
    assert (status, out) == (1, "")
    assert (
        errors == f"artifactapi: {stack.config}: remotes.quay.default: remotes.hub is that already: only one can be\n"
    )
