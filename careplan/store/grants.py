"""The rights of PostgreSQL's application role: what careplan needs at work, and nothing that could undo the record."""

from sqlalchemy import text

from .database import Database
from .errors import StoreError
from .schema import Base

CHANGED = {
    "course": "UPDATE",
    "import_batch": "UPDATE",
    "personalisation": "UPDATE",
    "draft": "UPDATE, DELETE",
    "source": "UPDATE, DELETE",
    "event": "DELETE",
    "job": "UPDATE, DELETE",
    "worklist": "UPDATE, DELETE",
}


def grant(database: Database, role: str) -> None:
    """Lets a role read every table, insert into each, and change only the rows that are ever changed.

    The role must own nothing here and be no superuser: an owner can disable the triggers. Raises `StoreError` where it does.
    """
    with database.engine.begin() as connection:
        if connection.dialect.name != "postgresql":
            raise StoreError(f"{database.url}: roles are PostgreSQL's; an SQLite file belongs to whoever may write it")
        found = connection.execute(text("SELECT rolsuper FROM pg_roles WHERE rolname = :role"), {"role": role}).scalar()
        if found is None:
            raise StoreError(f"there is no role {role!r}: CREATE ROLE it first, with LOGIN")
        owned = connection.execute(text("SELECT tablename FROM pg_tables WHERE tableowner = :role"), {"role": role}).scalars()
        if found or list(owned):
            raise StoreError(f"role {role!r} is a superuser or owns tables, and could disable what keeps the record")
        name = connection.dialect.identifier_preparer.quote(role)
        connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        connection.execute(text(f"GRANT SELECT ON alembic_version TO {name}"))
        for table in Base.metadata.sorted_tables:
            rights = ", ".join(["SELECT", "INSERT", *filter(None, [CHANGED.get(table.name)])])
            connection.execute(text(f'GRANT {rights} ON "{table.name}" TO {name}'))
