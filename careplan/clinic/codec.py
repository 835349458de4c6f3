"""Our frozen dataclasses to plain JSON values and back, checked on the way in."""

from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

T = TypeVar("T")


def dump(value: Any) -> Any:
    """A dataclass, or a sequence of them, as JSON values."""
    if isinstance(value, tuple | list):
        return [dump(item) for item in value]
    return _adapter(cast(Any, type(value))).dump_python(value, mode="json")


def load(kind: type[T], body: Any) -> T:
    """The dataclass `kind` that `dump` gave. Raises `ValueError` naming the field that does not fit."""
    return cast(T, _adapter(cast(Any, kind)).validate_python(body))


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
