"""Bodies that arrive in pieces: each a blob already, kept until the upload ends or is forgotten."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(  # area: what in the repository it is for; size: bytes that have come; touched: unix seconds
        """
        CREATE TABLE uploads (
            id text COLLATE "C" PRIMARY KEY,
            repository text COLLATE "C" NOT NULL,
            area text COLLATE "C" NOT NULL,
            size bigint NOT NULL DEFAULT 0,
            touched double precision NOT NULL
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX uploads_touched ON uploads (touched)")
    op.execute(
        """
        CREATE TABLE pieces (
            upload text COLLATE "C" NOT NULL REFERENCES uploads ON DELETE CASCADE,
            start bigint NOT NULL,
            size bigint NOT NULL,
            digest text COLLATE "C" NOT NULL,
            PRIMARY KEY (upload, start)
        )
        """
    )
    op.execute("CREATE INDEX pieces_digest ON pieces (digest)")
