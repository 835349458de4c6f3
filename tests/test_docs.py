"""What the documentation points at is there: links, paths of files, and names of the code."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("careplan", "cohorts", "app", "benchmarks", "tests", "docs", "migrations")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

LINK = re.compile(r"\]\(([^)\s#]+)(?:#[\w-]+)?\)")
# A path as it is written in prose: its first folder is one of the project's, and it ends like a file.
PATH = re.compile(rf"(?<![\w/.-])((?:{'|'.join(FOLDERS)})/[\w./-]+\.(?:py|md|cpp|json|css|sh))\b")
NAME = re.compile(r"(?<![\w./])((?:careplan|cohorts)(?:\.[A-Za-z_]\w*)+)(?![\w/]|\.\w)")
FACES = ("clinic", "evaluation", "interop", "planning", "records", "store", "world")
DOCTESTED = (
    *("careplan.breach", "careplan.clock", "careplan.planning.actions", "careplan.planning.safety", "careplan.world.question"),
    *("careplan.therapies.glucose.declaration", "cohorts.catalogue", "cohorts.population", "cohorts.replay"),
)
SAID_WHOLE = ("careplan.evaluation", "careplan.planning", "careplan.records", "careplan.world", "cohorts")
FENCE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def texts(path: Path) -> Iterator[str]:
    """What a person reads of a file: all of a page; the docstrings and comments of a module."""
    text = path.read_text()
    if path.suffix != ".py":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    yield from (line.partition("#")[2] for line in text.splitlines() if "#" in line)


def exists(name: str) -> bool:
    """Whether a dotted name imports, or is an attribute of something that does."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError as error:
            if error.name is None or not ".".join(parts[:end]).startswith(error.name):
                raise
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_there_is_something_to_read() -> None:
    assert len(PAGES) > 10 and len(SOURCES) > 100
    assert sum(len(LINK.findall(path.read_text())) for path in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_path_that_is_named_exists() -> None:
    named = {(label(path), found) for path in (*PAGES, *SOURCES) for text in texts(path) for found in PATH.findall(text)}
    assert named
    assert sorted((where, found) for where, found in named if not (ROOT / found).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_name_of_the_code_is_there(page: Path) -> None:
    names = set(NAME.findall(re.sub(r"careplan\.(?:db|app)\b", "", page.read_text())))
    assert sorted(name for name in names if not exists(name)) == []


def test_the_table_of_where_to_change_what_names_what_its_files_define() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    table = page.partition("## Where to change what\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    for row in rows:
        quoted = re.findall(r"`([^`]+)`", row)
        code = "\n".join((ROOT / name).read_text() for name in quoted if name.endswith(".py"))
        names = [name for name in quoted if name.isidentifier()]
        assert [name for name in names if not re.search(rf"^(?: *(?:def|class) )?{name}\b", code, re.M)] == [], row


def test_every_attack_names_a_test_that_there_is() -> None:
    """Of each table of the page of threats whose last column is of tests: in the file of the row, else of the table, else of
    `test_attacks`."""
    rows, file = 0, ""
    for line in (ROOT / "docs" / "reference" / "threats.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        named = re.findall(r"`(tests/[\w/]+\.py)`", cells[-1])
        if re.match(r"\| what is done [^|]*\|", line):
            file = named[0] if named else "tests/store/test_attacks.py"
        elif not line.startswith("|"):
            file = ""
        elif file and not line.startswith("|---"):
            rows += 1
            tests = re.findall(r"`(test_\w+)`", cells[-1])
            there = (ROOT / (named[0] if named else file)).read_text()
            assert tests and all(f"def {name}(" in there for name in tests), line
    assert rows > 25


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_every_import_of_a_snippet_works(page: Path) -> None:
    for snippet in FENCE.findall(page.read_text()):
        for node in ast.walk(ast.parse(snippet)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert missing == [], f"{node.module} has no {missing}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)


BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=label)
def test_every_name_that_a_benchmark_imports_is_there(benchmark: Path) -> None:
    """By name, since what it measures beside us need not be installed."""
    for node in ast.walk(ast.parse(benchmark.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FOLDERS:
            missing = [name.name for name in node.names if not exists(f"{node.module}.{name.name}")]
            assert missing == [], f"{node.module} has no {missing}"


# What snippets read: a recording as our table, under the names that pages use. A page that reads an address that is nobody's,
# or data sets that are not here, is not run.
ELSEWHERE = (".example", "PATH", "AZT1D/")
TABLE = "patient,time,channel,value\n" + "\n".join(
    f"anna,2024-03-{1 + minute // 1440:02d} {minute % 1440 // 60:02d}:{minute % 60:02d},glucose,{120 + minute % 50}"
    for minute in range(0, 3 * 1440, 5)
)
FENCED = [page for page in PAGES if FENCE.search(page.read_text())]


@pytest.mark.parametrize("page", FENCED, ids=label)
def test_every_snippet_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snippets of a page, one after the other in one namespace, in a folder with a recording under their names."""
    (tmp_path / "inbox" / "anna").mkdir(parents=True)
    for name in ("anna.csv", "inbox/anna/anna.csv"):
        (tmp_path / name).write_text(TABLE)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as bundle:
        bundle.write(tmp_path / "anna.csv", "anna.csv")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for snippet in FENCE.findall(page.read_text()):
        if not any(word in snippet for word in ELSEWHERE):
            exec(compile(snippet, label(page), "exec"), names)


def test_a_face_shows_what_it_says_and_nothing_else() -> None:
    """In a process of its own, one name at a time, as somebody at a prompt would ask; a module of that name is not meant."""
    kind = "assert not isinstance({0}, types.ModuleType) or not hasattr({0}, '{0}'), 'the module instead of what it holds: {0}'"
    lines = ["import types"]
    for face in ("careplan", "cohorts", *(f"careplan.{name}" for name in FACES)):
        module = importlib.import_module(face)
        assert len(set(module.__all__)) == len(module.__all__) > 0 and module.__doc__
        lines += [f"from {face} import {name}\n{kind.format(name)}" for name in module.__all__]
        with pytest.raises(AttributeError):
            module.no_such_name  # noqa: B018
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", DOCTESTED)
def test_examples_in_docstrings_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize("face", SAID_WHOLE)
def test_public_functions_say_what_they_take_give_and_raise(face: str) -> None:
    module, wanting = importlib.import_module(face), []
    for name in module.__all__:
        found = getattr(module, name)
        if not inspect.isfunction(found):
            continue
        whole = inspect.unwrap(found)
        body = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(whole))))
        wants = {
            "Args:": len(inspect.signature(whole).parameters) > 0,
            "Returns:": inspect.signature(whole).return_annotation not in (None, "None"),
            "Raises:": any(isinstance(node, ast.Raise) and node.exc is not None for node in body),
        }
        wanting += [f"{name} {part}" for part, wanted in wants.items() if wanted and part not in (found.__doc__ or "")]
    assert wanting == []
