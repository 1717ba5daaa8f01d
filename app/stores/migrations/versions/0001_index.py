"""The index: repositories with their epochs, entries, and the sequence of fences."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE fences AS bigint")
    op.execute(
        """
        CREATE TABLE repositories (
            name text COLLATE "C" PRIMARY KEY,
            epoch bigint NOT NULL,
            forgotten bigint NOT NULL DEFAULT 0
        )
        """
    )
    op.execute(  # times are unix seconds; text in the order of its bytes, so that a prefix is a range
        """
        CREATE TABLE entries (
            repository text COLLATE "C" NOT NULL,
            key_hash bytea NOT NULL,
            key text NOT NULL,
            path text COLLATE "C" NOT NULL,
            digest text COLLATE "C" NOT NULL,
            size bigint NOT NULL,
            content_type text NOT NULL,
            etag text,
            last_modified text,
            fetched double precision NOT NULL,
            checked double precision NOT NULL,
            fence bigint NOT NULL,
            retry_at double precision NOT NULL,
            failures integer NOT NULL,
            gone integer NOT NULL,
            PRIMARY KEY (repository, key_hash)
        )
        """
    )
    op.execute("CREATE INDEX entries_digest ON entries (digest)")
    # a b-tree's row ends at a third of a page: the beginning of a path is indexed, the rest is compared
    op.execute("CREATE INDEX entries_path ON entries (repository, left(path, 256))")
