"""`gunicorn wsgi:application` in this directory reads this file; the package ships the settings."""

from app.supervisor.gunicorn_settings import *  # noqa: F403
