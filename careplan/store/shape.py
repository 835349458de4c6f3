"""Whether a database has the tables, keys and triggers that this version makes, and SQLite finds its file whole."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, inspect
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.exc import DatabaseError

from .schema import Base, keys_of

UNREADABLE = (sqlite3.DatabaseError, DatabaseError)  # what a damaged file raises: the scans ask the driver itself

Found = TypeVar("Found")


def missing(connection: Connection) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """By table, that it is not there, or which columns or keys it lacks."""
    there = inspect(connection)
    names = set(there.get_table_names())
    for table in Base.metadata.sorted_tables:
        if table.name not in names:
            yield table.name, "the table is missing", ()
        elif lacking := sorted({*table.columns.keys()} - {column["name"] for column in there.get_columns(table.name)}):
            yield table.name, "the table lacks columns", tuple(lacking)


def lost_keys(connection: Connection) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """By table, that it has lost a key by which each row is there once."""
    there = inspect(connection)
    for table in Base.metadata.sorted_tables:
        for key in {*keys_of(table)} - _unique(there, table.name):
            yield table.name, "the table has lost a key, so that a row may be there more than once", key


def damage(connection: Connection) -> Iterator[str]:
    """What SQLite itself finds wrong with its file: an index that does not agree with its table hides rows or invents them."""
    if connection.dialect.name != "sqlite":
        return
    try:
        told = [str(text) for (text,) in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
    except UNREADABLE as error:
        told = [_reason(error)]
    yield from (f"SQLite finds its file damaged: {' '.join(text.split())}" for text in told if text != "ok")


def readable(connection: Connection, read: Callable[[], Found], undo: Callable[[], None]) -> Found | str:
    """What a scan finds, or why the database cannot be read.

    Text that is no UTF-8 is read once more, with what is wrong in it marked, after `undo`, so that it is found to differ.
    """
    try:
        return read()
    except UNREADABLE as error:
        undo()
        if "decode" not in str(error):
            return f"cannot be read: {_reason(error)}"
    driver: Any = connection.connection.driver_connection
    driver.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        return read()
    except UNREADABLE as error:
        undo()
        return f"cannot be read: {_reason(error)}"
    finally:
        driver.text_factory = str


def _unique(there: Inspector, name: str) -> set[tuple[str, ...]]:
    found = [each["column_names"] for each in there.get_unique_constraints(name)]
    return {tuple(there.get_pk_constraint(name)["constrained_columns"]), *(tuple(map(str, names)) for names in found)}


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
