"""Jobs of prefetching: looked up by those who asked for them, and worked through by one node at a time."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(  # task: what is to be fetched; holder, leased: which process is at it, and until when others wait
        """
        CREATE TABLE jobs (
            id text COLLATE "C" PRIMARY KEY,
            repository text COLLATE "C" NOT NULL,
            author text NOT NULL,
            source text NOT NULL,
            task text NOT NULL,
            state text NOT NULL DEFAULT 'queued',
            reason text NOT NULL DEFAULT '',
            total bigint NOT NULL DEFAULT 0,
            done bigint NOT NULL DEFAULT 0,
            stored bigint NOT NULL DEFAULT 0,
            failed bigint NOT NULL DEFAULT 0,
            bytes bigint NOT NULL DEFAULT 0,
            failures text NOT NULL DEFAULT '[]',
            attempts integer NOT NULL DEFAULT 0,
            created double precision NOT NULL,
            started double precision NOT NULL DEFAULT 0,
            finished double precision NOT NULL DEFAULT 0,
            holder text NOT NULL DEFAULT '',
            leased timestamptz NOT NULL DEFAULT '-infinity'
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX jobs_created ON jobs (created, id)")
    op.execute("CREATE INDEX jobs_open ON jobs (created) WHERE state IN ('queued', 'running')")
