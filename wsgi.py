"""The WSGI application for any server; settings come from the environment."""

from app import create_app

application = create_app()
