"""Files that are there whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path


def in_one_move(path: Path, write: Callable[[Path], object]) -> None:
    """Has `write` write the file beside its place, then moves it there: however this ends, what was there stays until then.

    Raises OSError where the disk refuses; then nothing more is there than before.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        write(part)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
