"""When an entry was last served, which eviction goes by."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # now() is evaluated once for all rows that are there, so none is written anew while the table is locked; a
    # volatile default (clock_timestamp) would rewrite the table (PostgreSQL, ALTER TABLE, "Notes").
    op.execute("ALTER TABLE entries ADD COLUMN used double precision NOT NULL DEFAULT extract(epoch FROM now())")
    # `used` is in no index: with room on its page, a row that is noted again costs no index a new tuple (HOT).
    op.execute("ALTER TABLE entries SET (fillfactor = 90)")
