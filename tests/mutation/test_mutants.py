"""The mutation run itself: what it changes, and that its targets, their tests and its excuses are there."""

import ast
from pathlib import Path

import pytest

from tests.mutation.__main__ import ROOT, equivalents, why
from tests.mutation.mutants import mutants
from tests.mutation.served import bodies, imported
from tests.mutation.targets import TARGETS

SOURCE = '''
"""A docstring with 5 > 3 and not a number."""
LIMIT = 5.0


def check(value: float, most: float = 30) -> bool:
    """At most 5."""
    if not value <= LIMIT and value > 0:
        raise ValueError(f"{value} is above {5 + 5}, expected at most 5")
    told.append(value)
    tested = {"low": value >= 1.5, "high": value * 2 < most}
    tested["zone"] = time.tz_convert(zone).hour == 3
    return all(tested.values())
'''


def test_each_small_change_of_python_is_one_mutant(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(SOURCE)
    found = {mutant.becomes for mutant in mutants(tmp_path, "one.py")}
    assert found == {
        "LIMIT = 5.5",
        "def check(value: float, most: float = 31) -> bool:",
        "if False:",
        "if value <= LIMIT and value > 0:",
        "if not value < LIMIT and value > 0:",
        "if not value <= LIMIT or value > 0:",
        "if not value <= LIMIT and value >= 0:",
        "if not value <= LIMIT and value > 1:",
        "pass",
        'tested = { "high": value * 2 < most}',
        'tested = {"low": value >= 1.5, }',
        'tested = {"low": value > 1.5, "high": value * 2 < most}',
        'tested = {"low": value >= 1.65, "high": value * 2 < most}',
        'tested = {"low": value >= 1.5, "high": value / 2 < most}',
        'tested = {"low": value >= 1.5, "high": value * 3 < most}',
        'tested = {"low": value >= 1.5, "high": value * 2 <= most}',
        'tested["zone"] = time.tz_convert("UTC").hour == 3',
        'tested["zone"] = time.tz_convert(zone).hour != 3',
        'tested["zone"] = time.tz_convert(zone).hour == 4',
        "return any(tested.values())",
    }


def test_each_small_change_of_a_mask_in_c_is_one_mutant(tmp_path: Path) -> None:
    code = "for (int k = 0; k < n; ++k) open[k] = k < f.edges && valid[k] ? prior[k] : CLOSED;\nint rest = a > b;\n"
    (tmp_path / "one.cpp").write_text(code)
    found = {mutant.becomes.partition(") open[k] = ")[2] for mutant in mutants(tmp_path, "one.cpp")}
    assert found == {
        "k <= f.edges && valid[k] ? prior[k] : CLOSED;",
        "k < f.edges || valid[k] ? prior[k] : CLOSED;",
        "true ? prior[k] : CLOSED;",
        "false ? prior[k] : CLOSED;",
    }


def test_only_what_is_asked_for_is_changed(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(SOURCE)
    assert [mutant.becomes for mutant in mutants(tmp_path, "one.py", only=("LIMIT",))] == ["LIMIT = 5.5"]


@pytest.mark.parametrize("name", TARGETS)
def test_the_mutants_of_a_target_are_programs_and_its_tests_are_there(name: str) -> None:
    target = TARGETS[name]
    found = mutants(ROOT, target.path, target.only)
    assert len(found) > 20 and len({mutant.name for mutant in found}) == len(found)
    if target.path.endswith(".py"):
        for mutant in found:
            ast.parse(mutant.mutated)
    assert all((ROOT / test.partition("::")[0]).exists() for test in target.tests)


def test_every_excuse_is_of_a_mutant_that_there_is() -> None:
    excuses = equivalents()
    used = {
        (mutant.path, mutant.was, mutant.becomes)
        for target in TARGETS.values()
        for mutant in mutants(ROOT, target.path, target.only)
        if why(mutant, excuses)
    }
    assert sorted(set(excuses) - used) == []
    assert all(len(reason) > 20 for reason in excuses.values())


def test_only_a_change_within_a_function_is_put_in_place_of_it() -> None:
    """A constant, a default, a field of a class and a comprehension of a module are computed when it is imported."""
    kept = "class Kept:", "    most = 7", "    def held(self, x=3):", "        return [y > 0 for y in x]"
    before = "\n".join(("TOP = 5", *kept, "ALL = [n > 1 for n in ()]"))
    code = compile(before, "one.py", "exec")
    for was, becomes in (("TOP = 5", "TOP = 6"), ("most = 7", "most = 8"), ("x=3", "x=4"), ("n > 1", "n >= 1")):
        assert imported(compile(before.replace(was, becomes), "one.py", "exec")) != imported(code)
    after = compile(before.replace("y > 0", "y >= 0"), "one.py", "exec")
    assert imported(after) == imported(code)
    assert [(one.co_qualname, one != other) for one, other in bodies(code, after)] == [("Kept.held", True)]
