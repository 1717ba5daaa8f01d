"""What alembic runs: every missing step in one transaction, on the connection that migrate() brings."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
