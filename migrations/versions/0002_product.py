"""The insulin's brand beside an event."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("event", sa.Column("product", sa.String(), nullable=False, server_default=sa.text("''")))
