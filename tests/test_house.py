"""The layout and import rules of the house hold."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("careplan", "cohorts", "app", "migrations")
MOST_LINES = 400
LONGEST_FUNCTION = 60
LARGEST_SHARE = 0.2
MOST_PARAMETERS = 8
MANY_PARAMETERS = {
    "careplan/declared/making.py:practice_of",  # the optional fields of a practice
    "cohorts/replay.py:replay",  # the independent settings of a virtual day, each with a usual value
}
TOO_LONG = {
    "migrations/versions/0001_first.py:upgrade",
}
DECLARATION = "careplan.therapies.glucose.declaration"
CORE = ("careplan.therapy", DECLARATION, "careplan.series", "careplan.world", "careplan.planning", "cohorts")
BEYOND = ("careplan.world.training", "careplan.world.latent_actions", "cohorts.gym")  # Lightning and gymnasium belong to them

# Imports each module of the core while everything but torch, torchdiffeq, numpy, pandas and what those need is hidden.
BARE = """
import importlib, pkgutil, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)

HIDDEN = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Hidden())
for name in sys.argv[2].split(","):
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if found.name not in sys.argv[3].split(","):
            importlib.import_module(found.name)
"""
HIDDEN = [
    *("sklearn", "sqlalchemy", "streamlit", "alembic", "lightning", "pytorch_lightning", "safetensors", "typer", "rich"),
    *("pyarrow", "pydantic", "pydantic_settings", "plotly", "httpx", "gymnasium", "python_calamine"),
]


def sources() -> Iterator[Path]:
    for folder in (*SOURCES, "tests", "benchmarks"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_nothing_imports_upward() -> None:
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_core_imports_on_a_bare_machine() -> None:
    done = run(sys.executable, "-c", BARE, ",".join(HIDDEN), ",".join(CORE), ",".join(BEYOND))
    assert done.returncode == 0, done.stderr


def test_the_bare_machine_hides_what_it_says() -> None:
    done = run(sys.executable, "-c", BARE, ",".join(HIDDEN), "careplan.store", "")
    assert "sqlalchemy is hidden" in done.stderr


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_package_is_over_a_fifth_of_the_product() -> None:
    lines = Counter(
        "/".join(path.relative_to(ROOT).parts[: 2 if folder == "careplan" else 1])
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*.py")
        for _ in path.read_text().splitlines()
    )
    assert {package: count for package, count in lines.items() if count > LARGEST_SHARE * lines.total()} == {}


# Where the words of one disease belong: its therapy, its virtual people, the readers of its devices and the codes of
# its exports, what researchers run; and the faces, which draw it: the app and the command line.
OF_A_DISEASE = re.compile(r"glucose|insulin|bolus|carbs|carbohydrate|mg/dl", re.I)
READERS = ("careplan/records", "careplan/formats", "careplan/datasets")
OUTSIDE = ("careplan/studies", *READERS, "careplan/interop", "careplan/cli", "cohorts", "app")
THEIR_ROOMS = ("careplan/therapies/glucose", *OUTSIDE)
# Of those rooms, the modules that serve any therapy all the same.
NEUTRAL = {
    f"{room}/{name}.py"
    for room, names in {
        "careplan/records": "blocks clock door grid head look settings text unpack web workbook",
        "careplan/interop": "sending tables",
        "careplan/cli": "__main__ audit database export serve shell therapies",
        "app": "main planning",
        "app/screens": "audit choose patients",
    }.items()
    for name in names.split()
}


def serves_any_therapy(path: Path) -> bool:
    name = str(path.relative_to(ROOT))
    return name in NEUTRAL or not name.startswith(tuple(f"{room}/" for room in THEIR_ROOMS))


def test_what_serves_any_therapy_names_no_disease() -> None:
    files = [path for folder in ("careplan", "cohorts", "app") for path in (ROOT / folder).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): OF_A_DISEASE.findall(path.read_text()) for path in files if serves_any_therapy(path)}
    assert len(found) > 60
    assert {path: words for path, words in found.items() if words} == {}


def test_modules_that_are_held_neutral_are_there() -> None:
    assert [name for name in sorted(NEUTRAL) if not (ROOT / name).exists()] == []


def test_functions_fit_a_screen() -> None:
    """Those that are longer are named, so that none is added; whoever shortens one takes it off the list."""
    found = {}
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION:
                    found[f"{path.relative_to(ROOT)}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert found.keys() <= TOO_LONG, {name: lines for name, lines in found.items() if name not in TOO_LONG}


def parameters(function: ast.FunctionDef) -> int:
    given = function.args
    named = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs) if each.arg not in ("self", "cls")]
    return len(named) + (given.vararg is not None) + (given.kwarg is not None)


def test_public_functions_take_few_parameters() -> None:
    """Beyond so many, what is asked is an object with named fields. A command's parameters are the options that people type."""
    found = {}
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree, name = ast.parse(path.read_text()), path.relative_to(ROOT)
            bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
            for node in (node for body in bodies for node in body if isinstance(node, ast.FunctionDef)):
                if parameters(node) > MOST_PARAMETERS and not node.name.startswith("_") and "cli" not in name.parts:
                    found[f"{name}:{node.name}"] = parameters(node)
    assert found.keys() == MANY_PARAMETERS, found


def raised(function: ast.FunctionDef) -> list[ast.Raise]:
    """The errors that a function raises itself: nothing of a function within it, and no error that it only passes on."""
    found, rest = [], list[ast.AST](function.body)
    while rest:
        node = rest.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" not in ast.unparse(node.exc):
            found.append(node)
        rest.extend(ast.iter_child_nodes(node))
    return found


def public_functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Those of a module and of its public classes, whatever branch they are defined in; none within another function."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef):
            if not each.name.startswith("_"):
                yield each
        elif not (isinstance(each, ast.ClassDef) and each.name.startswith("_")):
            yield from public_functions(each)


def test_public_functions_say_what_they_raise() -> None:
    """A command's errors are the one line that a person reads, so commands are left out."""
    silent, count = [], 0
    for folder in ("careplan", "cohorts", "app"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT)
            if "cli" in name.parts:
                continue
            for function in filter(raised, public_functions(ast.parse(path.read_text()))):
                count += 1
                if not re.search(r"\braises?\b", ast.get_docstring(function) or "", re.I):
                    silent.append(f"{name}:{function.lineno}: {function.name}")
    assert count > 200
    assert silent == []


def test_nothing_names_a_package_registry_or_this_machine() -> None:
    registries = r"pypi\.org|pythonhosted|/simple\b|index-url|find-links|npmjs|deb\.debian"
    address = re.compile(registries + r"|/work/(?:main|shared)|/opt/", re.I)
    named = [ROOT / name for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", ".ci/run", "alembic.ini")]
    documents = sorted((ROOT / "docs").rglob("*.md"))
    texts = [path for path in (*named, *documents, *sources()) if path.exists() and path != Path(__file__)]
    found = {str(path.relative_to(ROOT)): address.findall(path.read_text()) for path in texts}
    assert {path: hits for path, hits in found.items() if hits} == {}


def test_no_data_and_no_pickle_is_in_the_house() -> None:
    kept = run("git", "ls-files").stdout.splitlines()
    if not kept:
        pytest.skip("not a git checkout")
    assert [path for path in kept if path.endswith((".pkl", ".pt", ".pth", ".ckpt", ".xls", ".xlsx", ".db", ".parquet"))] == []


# One home for the bands of glucose and for a day in minutes. Published borders of error grids and of physiology, a kidney's
# threshold and a man's weight are other things of the same size.
BANDS_AT = {54.0, 180.0}
OTHER_THINGS = (
    "careplan/therapies/glucose/bands.py",
    "careplan/therapies/glucose/error_grids.py",
    "cohorts/assorted.py",
    "cohorts/padova.py",
)
OF_A_PICTURE = re.compile(r"minutes >= -180|first = -180|, 180\)|days=180")


def test_bands_and_days_have_one_home() -> None:
    found = []
    for folder in ("careplan", "cohorts", "app"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name, lines = str(path.relative_to(ROOT)), path.read_text().splitlines()
            numbers = [node for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.Constant)]
            found += [
                f"{name}:{node.lineno}: {lines[node.lineno - 1].strip()}"
                for node in numbers
                if type(node.value) in (int, float)
                and node.value in BANDS_AT
                and name not in OTHER_THINGS
                and not OF_A_PICTURE.search(lines[node.lineno - 1])
            ]
            found += [f"{name}: {line}" for line in lines if re.match(r"\w*DAY\b.*= (24 \* 60|1440|288)", line)]
    assert [line for line in found if not line.startswith("careplan/minutes.py")] == []
