"""What indexes say of other files (lists), and two more fields of an entry."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE entries ADD COLUMN until double precision NOT NULL DEFAULT 0")
    op.execute("ALTER TABLE entries ADD COLUMN kept text NOT NULL DEFAULT ''")
    op.execute(  # found by a hash, because a b-tree's row ends at a third of a page and a listing may be a path
        """
        CREATE TABLE lists (
            repository text COLLATE "C" NOT NULL,
            listing_hash bytea NOT NULL,
            id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
            listing text COLLATE "C" NOT NULL,
            root text COLLATE "C" NOT NULL,
            fence bigint NOT NULL,
            PRIMARY KEY (repository, listing_hash)
        )
        """
    )
    op.execute(  # no foreign key: a check for each of a hundred thousand rows would cost more than the rows
        """
        CREATE TABLE listed (
            repository text COLLATE "C" NOT NULL,
            key_hash bytea NOT NULL,
            list bigint NOT NULL,
            algorithm text COLLATE "C" NOT NULL,
            value text COLLATE "C" NOT NULL,
            PRIMARY KEY (repository, key_hash, list)
        )
        """
    )
    op.execute("CREATE INDEX listed_list ON listed (list)")
