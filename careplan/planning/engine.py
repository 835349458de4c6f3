"""Compiles native.cpp into libraries in a folder beside it, and says which of them is the engine of this machine.

The package's build runs this (`hatch_build.py`); `python careplan/planning/engine.py` compiles by hand. Of the standard library
alone: a build has nothing else, and the source needs a C++ compiler and neither torch's nor Python's headers.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(__file__).with_name("native.cpp")
FLAGS = ("-std=c++17", "-fPIC", "-shared", "-Wno-psabi", *(("-fopenmp",) if sys.platform == "linux" else ()))
FOLDER = SOURCE.with_name("compiled")  # no package: what walks over modules does not take a library for one
PLAIN, FAST = FOLDER / "native.so", FOLDER / "native-avx2.so"
TOLD = 300  # characters of what a compiler that fails says


def libraries() -> dict[Path, tuple[str, ...]]:
    """The libraries that a build makes, and the flags of each: one for every processor of this kind, and on x86-64 a fast one,
    beside which the other is compiled for little more than to be there, in two thirds of the time."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return {PLAIN: (*FLAGS, "-O3")}
    return {PLAIN: (*FLAGS, "-O2"), FAST: (*FLAGS, "-O3", "-mavx2", "-mfma")}


def digest() -> str:
    """SHA-256 of the source and of how it is compiled."""
    return hashlib.sha256(SOURCE.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def current(library: Path) -> bool:
    """Whether this library was compiled from this source, whose digest it holds; nothing of it is run to know."""
    return digest().encode() in library.read_bytes()


def build() -> None:
    """Compiles every library, all at once, and puts all in their places once all are whole. Raises RuntimeError where there is no
    compiler, or it fails; then what was there stays."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        raise RuntimeError("there is no C++ compiler")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        whole = {library: Path(scratch) / library.name for library in libraries()}
        with ThreadPoolExecutor() as several:
            list(several.map(lambda library: _compile(compiler, libraries()[library], whole[library]), whole))
        for library, made in whole.items():
            made.replace(library)


def _compile(compiler: str, flags: tuple[str, ...], library: Path) -> None:
    try:
        command = [compiler, *flags, f'-DCAREPLAN_SOURCE="{digest()}"', str(SOURCE), "-o", str(library)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{compiler} failed: {error.stderr.strip()[:TOLD]}") from error
    except OSError as error:
        raise RuntimeError(str(error)) from error


if __name__ == "__main__":
    build()
