"""The numbers of the journal's records, which tell whether a database is behind the journal."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("CREATE SEQUENCE notes AS bigint")
    # Until now records had the numbers of fences. A new database has drawn none, and none of these either.
    op.execute("SELECT setval('notes', last_value) FROM fences WHERE is_called")
