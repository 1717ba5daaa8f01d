"""Which blueprints are documented: all of the JSON API, and of the rest what has JSON to tell."""

from __future__ import annotations

from flask import Flask

from app.web import admin, admission, edges, explain, pulls, setup
from app.web.api import (
    artifacts,
    audit,
    auth,
    entries,
    members,
    prefetch,
    projects,
    repositories,
    statistics,
    tokens,
    users,
)
from app.web.documented import document


def install(app: Flask) -> None:
    """Register every blueprint whose routes are documented."""
    documented = document(app)
    for each in (admission, edges, pulls, explain, setup, admin):
        documented.register_blueprint(each.blueprint)
    for own in (
        auth,
        tokens,
        users,
        projects,
        members,
        repositories,
        entries,
        artifacts,
        prefetch,
        audit,
        statistics,
    ):
        documented.register_blueprint(own.blueprint)
