"""The schema's migration, whatever else uses the database meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from app.errors import StoreDown
from app.stores.connections import parameters
from app.stores.statements import number

LOCK, PAUSE, TRIES = "300ms", 0.7, 180  # of a migration, for three minutes

log = logging.getLogger(__name__)


def migrate(database_url: str) -> None:
    """Bring the schema up to this version; by several processes at once, one does it and the others wait.

    A schema that is ahead (a newer version was here already) is left as it is: steps only ever expand. The
    version before goes on serving: it waits LOCK at most, and where a table is in use for longer, we do.
    Raises StoreDown.
    """
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    engine = sa.create_engine(
        "postgresql+psycopg://", poolclass=sa.NullPool, creator=lambda: psycopg.connect(**parameters(database_url))
    )
    try:
        with engine.connect() as connection:  # the lock ends with the connection
            connection.execute(sa.text("SELECT pg_advisory_lock(:lock)"), {"lock": number("schema", "")})
            connection.commit()
            current = MigrationContext.configure(connection).get_current_revision()
            connection.rollback()
            if current is None or current in known:
                config.attributes["connection"] = connection
                connection.exec_driver_sql(f"SET lock_timeout = '{LOCK}'")
                connection.commit()
                _insist(lambda: command.upgrade(config, "head"), connection)
    except (psycopg.Error, sa.exc.SQLAlchemyError) as error:
        raise StoreDown(f"Postgres: the schema is not migrated: {error}") from error


def _insist(upgrade: Callable[[], None], connection: Any) -> None:
    """Try until no transaction holds what must be locked; whoever waits for a lock holds up all that come after."""
    for left in reversed(range(TRIES)):
        try:
            upgrade()
            break
        except Exception as error:
            if not left or not isinstance(getattr(error, "orig", error), psycopg.errors.LockNotAvailable):
                raise
            connection.rollback()
            log.warning("the schema waits for a transaction that holds a table: %s", error)
        time.sleep(PAUSE)
