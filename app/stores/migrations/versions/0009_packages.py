"""Which package a hosted file is of, for virtual repositories: what a local member has is looked for nowhere else."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE entries ADD COLUMN package text NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX entries_package ON entries (repository, md5(package)) WHERE package <> ''")
