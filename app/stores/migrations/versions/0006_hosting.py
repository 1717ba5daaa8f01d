"""What indexes say of hosted files, which indexes are behind, and which files are indexes."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _descriptions()
    _scopes()
    _generated()


def _descriptions() -> None:
    op.execute(  # about: a text of the host's own; also: further scopes that change with this one
        """
        CREATE TABLE descriptions (
            repository text COLLATE "C" NOT NULL,
            key_hash bytea NOT NULL,
            scope text COLLATE "C" NOT NULL,
            also text[] NOT NULL,
            about text NOT NULL,
            PRIMARY KEY (repository, key_hash)
        )
        """
    )
    op.execute("CREATE INDEX descriptions_scope ON descriptions (repository, md5(scope))")


def _scopes() -> None:
    op.execute(  # changed: how often a file came or went; built: the value of it that the index files tell of
        """
        CREATE TABLE scopes (
            repository text COLLATE "C" NOT NULL,
            hash bytea NOT NULL,
            scope text COLLATE "C" NOT NULL,
            changed bigint NOT NULL,
            built bigint NOT NULL DEFAULT 0,
            files bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (repository, hash)
        ) WITH (fillfactor = 70)
        """
    )
    op.execute("CREATE INDEX scopes_unbuilt ON scopes (repository) WHERE built < changed")
    op.execute("CREATE INDEX scopes_names ON scopes (repository, left(scope, 256)) WHERE files > 0")


def _generated() -> None:
    op.execute(  # expires: unix seconds from which a superseded file may go
        """
        CREATE TABLE generated (
            repository text COLLATE "C" NOT NULL,
            key_hash bytea NOT NULL,
            key text NOT NULL,
            scope text COLLATE "C" NOT NULL,
            lasting boolean NOT NULL,
            expires double precision,
            PRIMARY KEY (repository, key_hash)
        )
        """
    )
    op.execute("CREATE INDEX generated_scope ON generated (repository, md5(scope))")
