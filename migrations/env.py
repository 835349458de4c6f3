"""Alembic's environment: given a connection by `careplan.store`, or opening one itself for the `alembic` command."""

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from careplan.store.database import make_engine
from careplan.store.schema import Base, UTCDateTime


def render_item(kind: str, item: object, _: AutogenContext) -> str | bool:
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCDateTime) else False


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        transactional_ddl=True,
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("careplan migrates a live database only")
given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    from careplan.settings import Settings

    with make_engine(Settings().database).execution_options(writer=True).begin() as connection:
        migrate(connection)
