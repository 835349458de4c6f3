"""From what a person hands over (a file, a folder, a ZIP, a ZIP in a folder) to the files in it."""

import gzip
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from careplan.records.events import RecordError
from careplan.records.text import find_files, natural

MOST_FILES = 5_000
MOST_BYTES = 2 * 1024**3  # of everything that ZIPs lay open
MOST_RATIO = 200  # text of recordings packs 5 to 50 times; a ZIP bomb a thousand times and more
RATIO_FROM = 32 * 1024**2  # bytes: a small file may pack as well as it likes
MOST_NESTED = 3  # ZIPs in ZIPs
CHUNK = 1024**2
GZIP, ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
WORKBOOK = "[Content_Types].xml"  # the entry that every Office Open XML file begins with


@dataclass(eq=False)
class Unpacked:
    """The files found, and how to name one to a person: what was laid open lies in a temporary folder."""

    files: list[Path] = field(default_factory=list)
    unreadable: dict[str, RecordError] = field(default_factory=dict)  # as a person knows the file -> what is wrong with it
    places: dict[str, str] = field(default_factory=dict)  # temporary folder -> the ZIP it was
    budget: int = MOST_BYTES

    def name(self, path: object) -> str:
        """The path as the person knows it: "export.zip/cgm_data_1.csv"."""
        text = str(path)
        for place, zipped in reversed(self.places.items()):
            text = text.replace(place, zipped)
        return text

    def named(self, error: RecordError) -> RecordError:
        """The error with the file as the person knows it."""
        return RecordError(self.name(error.problem), file=self.name(error.file), row=error.row, field=error.field)


@contextmanager
def unpacked(path: str | Path) -> Iterator[Unpacked]:
    """The files at `path`, those of ZIPs laid open for as long as the context lasts.

    Hidden files and those that operating systems leave in folders are passed over. Raises `RecordError` where a ZIP is
    damaged, locked by a password, holds a path that leads out of it, or more than `MOST_FILES`, `MOST_BYTES` or `MOST_RATIO`.
    """
    with TemporaryDirectory(prefix="careplan-") as folder:
        found = Unpacked()
        alone = not Path(path).is_dir()
        for file in find_files(path, "*"):
            if alone or not clutter(file.relative_to(path).parts):
                try:
                    lay_open(file, Path(folder), found, MOST_NESTED)
                except RecordError as error:
                    if alone:
                        raise found.named(error) from error
                    found.unreadable[found.name(file)] = found.named(error)
        try:
            yield found
        except RecordError as error:
            raise found.named(error) from error


def clutter(parts: tuple[str, ...]) -> bool:
    """Whether a path in a folder or a ZIP is an operating system's or an editor's own."""
    return any(part.startswith((".", "~$", "__MACOSX")) or part in ("Thumbs.db", "desktop.ini") for part in parts)


def lay_open(file: Path, folder: Path, found: Unpacked, depth: int) -> None:
    """Adds a file, or the files of a ZIP, to what was found. Raises `RecordError` where a ZIP is damaged, or lies too deep within
    others.
    """
    if not is_archive(file):
        found.files.append(file)
        return
    if depth == 0:
        raise RecordError(f"a ZIP within ZIPs, deeper than {MOST_NESTED}", file=file)
    place = folder / str(len(found.places)) / file.stem
    found.places[str(place)] = str(file)
    try:
        if starts(file, 2) == GZIP:
            with gzip.open(file) as one:
                write_out(one, place / file.stem, file.stat().st_size, found, file)
        else:
            with zipfile.ZipFile(file) as archive:
                extract(archive, file, place, found)
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError, zlib.error) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"a damaged ZIP, or one packed in a way that is not read: {error}", file=file) from error
    for inner in sorted((each for each in place.rglob("*") if each.is_file()), key=natural):
        lay_open(inner, folder, found, depth - 1)


def zipped(path: str | Path) -> bool:
    """Whether a path is a ZIP, or a folder with one in it."""
    place = Path(path)
    files = place.rglob("*") if place.is_dir() else [place]
    return any(is_archive(file) for file in files if file.is_file())


def is_archive(file: Path) -> bool:
    """Whether a file is a gzip, or a ZIP that holds files of its own: an xlsx is one file to a person. Raises `RecordError` where
    the file cannot be read.
    """
    try:
        start = starts(file, 4)
        if start not in ZIP:
            return start.startswith(GZIP)
        with zipfile.ZipFile(file) as archive:
            return WORKBOOK not in archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        return True
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}", file=file) from error


def starts(file: Path, length: int) -> bytes:
    """The first bytes of a file."""
    with file.open("rb") as opened:
        return opened.read(length)


def extract(archive: zipfile.ZipFile, file: Path, place: Path, found: Unpacked) -> None:
    """Writes the ZIP's files below `place`, counting what comes out rather than trusting what the ZIP says of itself. Raises
    `RecordError` where it has too many files, a path that leads out of it, or a password.
    """
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) + len(found.files) > MOST_FILES:
        raise RecordError(f"more than {MOST_FILES} files in a ZIP", file=file)
    for entry in entries:
        inside = PurePosixPath(entry.filename.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts or ":" in entry.filename:
            raise RecordError(f"a ZIP with a path that leads out of it: {entry.filename!r}", file=file)
        if clutter(inside.parts):
            continue
        if entry.flag_bits & 1:
            raise RecordError("a ZIP locked by a password: unlock it first", file=file)
        with archive.open(entry) as source:
            write_out(source, place / inside, entry.compress_size, found, file)


def write_out(source: IO[bytes] | gzip.GzipFile, target: Path, packed: int, found: Unpacked, file: Path) -> None:
    """Writes what unpacks from `packed` bytes of an archive to a file. Raises `RecordError` where that is more than any
    recording.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with target.open("wb") as kept:
        while part := source.read(CHUNK):
            size += len(part)
            found.budget -= len(part)
            if found.budget < 0 or (size > RATIO_FROM and size > MOST_RATIO * max(packed, 1)):
                shutil.rmtree(target.parent)
                raise RecordError(f"a ZIP that unpacks to more than any recording: {target.name!r}", file=file)
            kept.write(part)
