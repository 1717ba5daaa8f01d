"""Who pulled what: artifacts once each, and a row for each minute in which a client pulled one."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(  # id: a hash of the other three; seen: the last day (since 1970) on which somebody pulled it
        """
        CREATE TABLE pulled (
            id uuid PRIMARY KEY,
            repository text COLLATE "C" NOT NULL,
            path text COLLATE "C" NOT NULL,
            digest bytea NOT NULL,
            seen integer NOT NULL
        ) WITH (fillfactor = 90)
        """
    )
    op.execute("CREATE INDEX pulled_path ON pulled (repository, left(path, 256))")
    op.execute("CREATE INDEX pulled_digest ON pulled (digest) WHERE digest <> ''")
    # The minute (since 1970) comes first: rows are added at the end of the primary key, and pruned at its beginning.
    op.execute(
        """
        CREATE TABLE pulls (
            artifact uuid NOT NULL,
            bytes bigint NOT NULL,
            minute integer NOT NULL,
            requests integer NOT NULL,
            client inet NOT NULL,
            PRIMARY KEY (minute, artifact, client)
        ) WITH (fillfactor = 90)
        """
    )
    op.execute("CREATE INDEX pulls_artifact ON pulls (artifact, minute)")
    op.execute("CREATE INDEX pulls_client ON pulls (client, minute)")
