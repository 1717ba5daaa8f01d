"""The JSON API: people, their tokens and projects, repositories and what is in them; all of it in /openapi.json.

shapes.py        what the JSON is made of
may.py           who may: asked before anything that was sent is read
auth.py          login and the like         tokens.py, users.py, projects.py    accounts
repositories.py  what there is to read      entries.py   what is in it
artifacts.py     what is stored anywhere     prefetch.py, tasks.py   what is fetched ahead of clients
audit.py         who changed what           statistics.py
"""

from __future__ import annotations

from flask import Flask


def install(app: Flask) -> None:
    """Register every blueprint whose routes are documented."""
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
