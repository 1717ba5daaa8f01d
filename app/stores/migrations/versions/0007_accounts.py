"""Accounts: users, tokens, projects, members, trust in issuers, repositories made through the API, the trail."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for statement in (USERS, PROJECTS, TOKENS, MEMBERS, TRUSTS, DEFINED, AUDIT, CHANGES):
        op.execute(statement)
    op.execute("CREATE INDEX tokens_user ON tokens (user_id)")
    op.execute("CREATE INDEX tokens_project ON tokens (project_id)")
    op.execute("CREATE INDEX members_user ON members (user_id)")
    op.execute("CREATE INDEX trusts_issuer ON trusts (issuer)")
    op.execute("CREATE INDEX defined_project ON defined (project_id)")
    op.execute("CREATE INDEX audit_repository ON audit (repository, id) WHERE repository <> ''")
    op.execute("CREATE INDEX audit_user ON audit (user_name, id)")
    op.execute("INSERT INTO account_changes (count) VALUES (0)")


# times are unix seconds, 0 for never
USERS = """
    CREATE TABLE users (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        email text COLLATE "C" NOT NULL UNIQUE,
        full_name text NOT NULL,
        password text NOT NULL,
        admin boolean NOT NULL,
        disabled boolean NOT NULL DEFAULT false,
        created double precision NOT NULL
    )
    """
PROJECTS = """
    CREATE TABLE projects (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        description text NOT NULL,
        created double precision NOT NULL
    )
    """
# secret: the sha256 of what clients send; exactly one of user_id and project_id
TOKENS = """
    CREATE TABLE tokens (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        secret bytea NOT NULL UNIQUE,
        name text NOT NULL,
        kind text COLLATE "C" NOT NULL,
        user_id bigint REFERENCES users ON DELETE CASCADE,
        project_id bigint REFERENCES projects ON DELETE CASCADE,
        role smallint,
        scopes text[] NOT NULL,
        created double precision NOT NULL,
        expires double precision NOT NULL,
        used double precision NOT NULL DEFAULT 0,
        revoked double precision NOT NULL DEFAULT 0,
        CHECK ((user_id IS NULL) <> (project_id IS NULL))
    )
    """
MEMBERS = """
    CREATE TABLE members (
        project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
        user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
        role smallint NOT NULL,
        PRIMARY KEY (project_id, user_id)
    )
    """
TRUSTS = """
    CREATE TABLE trusts (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
        issuer text COLLATE "C" NOT NULL,
        audience text NOT NULL,
        claims jsonb NOT NULL,
        role smallint NOT NULL
    )
    """
# no cascade: a project is not dropped while it has repositories
DEFINED = """
    CREATE TABLE defined (
        name text COLLATE "C" PRIMARY KEY,
        project_id bigint NOT NULL REFERENCES projects,
        definition jsonb NOT NULL,
        created double precision NOT NULL
    )
    """
# user_name and no reference: the trail outlives its users
AUDIT = """
    CREATE TABLE audit (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at double precision NOT NULL,
        user_name text COLLATE "C" NOT NULL,
        client text NOT NULL,
        action text COLLATE "C" NOT NULL,
        path text NOT NULL,
        status integer NOT NULL,
        request_id text NOT NULL,
        repository text COLLATE "C" NOT NULL,
        detail text NOT NULL
    )
    """
# one row: how often something was taken away or altered; copies of before are no longer believed
CHANGES = "CREATE TABLE account_changes (count bigint NOT NULL)"
