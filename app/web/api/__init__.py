"""The JSON API: people, their tokens and projects, repositories and what is in them; all of it in /openapi.json.

shapes.py        what the JSON is made of
may.py           who may: asked before anything that was sent is read
auth.py          login and the like         tokens.py, users.py, projects.py    accounts
repositories.py  what there is to read      entries.py   what is in it
audit.py         who changed what           statistics.py
"""

from __future__ import annotations

from flask import Flask


def install(app: Flask) -> None:
    """Register every blueprint whose routes are documented."""
    from app.web import admin, admission, edges, explain, pulls
    from app.web.api import audit, auth, entries, members, projects, repositories, statistics, tokens, users
    from app.web.documented import document

    documented = document(app)
    for each in (admission, edges, pulls, explain, admin):
        documented.register_blueprint(each.blueprint)
    for own in (auth, tokens, users, projects, members, repositories, entries, audit, statistics):
        documented.register_blueprint(own.blueprint)
