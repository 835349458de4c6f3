"""Python's garbage collector, held back while a reader makes millions of values."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def few_collections() -> Iterator[None]:
    """Keeps Python from looking for cycles again and again among the millions of values of a large document, which has none."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
