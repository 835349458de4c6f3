"""Small changes of a source file that its tests should notice, each one a replacement of a few bytes.

Of Python: a comparison moved by its edge, or turned round where it has none, `and` for `or`, a `not` dropped, one arithmetic
operator for another, a number moved by a tenth or by one, `True` for `False`, `min` for `max`, `any` for `all`, a check or a
call that is dropped, an entry of a mapping that is left out, a clock read as UTC. Of C++: the comparisons, the logic and the
choices of the lines that hold a mask.
"""

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
COMPARISONS |= {"is not": "is", "is": "is not", "not in": "in", "in": "not in"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "/", "%": "*", "**": "*", "&": "|", "|": "&"}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "maximum": "minimum", "minimum": "maximum"}
UNTOUCHED = {"strict", "device", "dtype", "yield_per", "ensure_ascii", "separators"}  # arguments that no result depends on
MASK = re.compile(r"CLOSED|valid\[|pruned|finite|budget|\bover\b|ELIGIBLE|BROKEN|f\.edges|room")


@dataclass(frozen=True)
class Mutant:
    """Bytes `start` to `end` of a file's source replaced by `text`; `within`: the definition that this is a part of."""

    path: str
    source: bytes
    start: int
    end: int
    text: bytes
    within: bytes

    @property
    def mutated(self) -> bytes:
        return self.source[: self.start] + self.text + self.source[self.end :]

    @property
    def line(self) -> int:
        """The number of the line that changes, from 1."""
        return self.source.count(b"\n", 0, self.start) + 1

    @property
    def was(self) -> str:
        """The lines that change, without their indentation; joined where they are several."""
        return _lines(self.source, self.start, self.end)

    @property
    def becomes(self) -> str:
        return _lines(self.mutated, self.start, self.start + len(self.text))

    @property
    def name(self) -> str:
        """What tells a mutant from all others of its file, and stays when lines above it come and go."""
        first = self.source.rfind(b"\n", 0, self.start) + 1
        around = self.source[:first].decode().splitlines()[-3:]
        return " | ".join([*(line.strip() for line in around), self.was, self.becomes])

    @property
    def diff(self) -> str:
        before, after = (text.decode().splitlines(keepends=True) for text in (self.source, self.mutated))
        return "".join(difflib.unified_diff(before, after, self.path, self.path, n=1))


def mutants(root: Path, path: str, only: tuple[str, ...] = ()) -> list[Mutant]:
    """All mutants of a file under `root`; of the functions, classes and constants called `only`, where any are named."""
    source = (root / path).read_bytes()
    if path.endswith(".cpp"):
        found, parts = list(_cpp(source)), [(0, len(source))]
    else:
        python = _Python(source, only)
        found, parts = python.found, [python.at(node) for node in ast.parse(source).body]
    made = sorted({(start, end, text.encode()) for start, end, text in found if source[start:end] != text.encode()})
    around = {start: source[first:last] for start, _, _ in made for first, last in parts if first <= start < last}
    return [Mutant(path, source, start, end, text, around[start]) for start, end, text in made]


def _lines(source: bytes, start: int, end: int) -> str:
    first, last = source.rfind(b"\n", 0, start) + 1, source.find(b"\n", max(start, end - 1))
    return " ".join(line.strip() for line in source[first : last if last >= 0 else None].decode().splitlines())


class _Python(ast.NodeVisitor):
    """Collects `(start, end, text)`; messages, annotations and decorators are left as they are."""

    def __init__(self, source: bytes, only: tuple[str, ...]) -> None:
        self.source, self.found = source, list[tuple[int, int, str]]()
        self.starts = [0, *(match.end() for match in re.finditer(b"\n", source))]
        for node in ast.parse(source).body:
            if not only or set(_names(node)) & set(only):
                self.visit(node)

    def at(self, node: ast.AST) -> tuple[int, int]:
        start = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def put(self, node: ast.AST, text: str) -> None:
        self.found.append((*self.at(node), text))

    def swap(self, left: ast.AST, right: ast.AST, table: dict[str, str]) -> None:
        """The operator between two operands."""
        first, last = self.at(left)[1], self.at(right)[0]
        between = re.sub(rb"#[^\n]*", lambda match: b" " * len(match[0]), self.source[first:last])
        match = re.search(rb"not in|is not|\b(?:in|is|and|or)\b|[-+*/%<>=!&|@^]+", between)
        if match is not None:
            other = table.get(match[0].decode())
            if other is not None:
                self.found.append((first + match.start(), first + match.end(), other))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None), *node.body):
            self.visit(part)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """What an error says."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """What a message says."""

    def visit_If(self, node: ast.If) -> None:
        self.put(node.test, "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.put(node.test, "False")
        self.put(node.test, "True")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for left, right in zip([node.left, *node.comparators], node.comparators, strict=False):
            self.swap(left, right, COMPARISONS)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.swap(left, right, {"and": "or", "or": "and"})
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.swap(node.left, node.right, ARITHMETIC)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        start = self.at(node)[0]
        token = re.match(rb"not\s+|[-~]", self.source[start:])
        if token is not None:
            self.found.append((start, start + token.end(), ""))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.put(node, str(not value))
        elif isinstance(value, int):
            self.put(node, str(value + 1))
        elif isinstance(value, float):
            self.put(node, "1.0" if value == 0 else repr(10 * value if not 0.01 <= value < 1e4 else round(1.1 * value, 12)))

    def visit_Dict(self, node: ast.Dict) -> None:
        if len(node.keys) > 1 and all(isinstance(key, ast.Constant | ast.JoinedStr) for key in node.keys):
            for key, value in zip(node.keys, node.values, strict=True):
                end = self.at(value)[1]
                after = re.match(rb"\s*\)*\s*,?", self.source[end:])
                if key is not None and after is not None:
                    self.found.append((self.at(key)[0], end + after.end(), ""))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        if name in NAMES:
            self.found.append((self.at(called)[1] - len(name), self.at(called)[1], NAMES[name]))
        if name == "tz_convert" and node.args and not isinstance(node.args[0], ast.Constant):
            self.put(node.args[0], '"UTC"')
        if name in ("clamp", "strip", "dropna") and isinstance(called, ast.Attribute):
            self.found.append((self.at(called)[1] - len(name) - 1, self.at(node)[1], ""))
        self.visit(called)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg not in UNTOUCHED:
                self.visit(keyword.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.put(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.put(node, "pass")
        self.swap(node.target, node.value, {"+=": "-=", "-=": "+=", "*=": "/=", "|=": "=", "&=": "="})
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant | ast.JoinedStr):
            self.put(node, "pass")
        self.generic_visit(node)


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _cpp(source: bytes) -> Iterator[tuple[int, int, str]]:
    """Comparisons, logic and choices of the lines that hold a mask; the heads of loops stay as they are."""
    tokens = {"&&": "||", "||": "&&", ">": ">=", "<=": "<", "<": "<=", "|=": "=", "&=": "=", "!": "", "--": ""}
    begin = 0
    for row in source.decode().splitlines(keepends=True):
        code = row.split("//")[0]
        head = re.match(r"\s*for \(.*?\) (?=\S)|\s*", code)
        skipped = head.end() if head is not None else 0
        if MASK.search(code[skipped:]) and not re.match(r"\s*(template|#|constexpr|struct|for \()", code[skipped:]):
            for match in re.finditer(r"(?<= )(&&|\|\||>|<=|<|\|=|&=)(?= )|!(?!=)|--", code[skipped:]):
                yield begin + skipped + match.start(), begin + skipped + match.end(), tokens[match[0]]
            for match in re.finditer(r"[=?(|] ?([^=?;(]*?) \? ", code[skipped:]):  # a choice that is always, and never, taken
                for text in ("true", "false"):
                    yield begin + skipped + match.start(1), begin + skipped + match.end(1), text
            if match := re.match(r"\s*if \((.*?)\) (?=\S)", code):
                yield begin + match.start(1), begin + match.end(1), "false"
        begin += len(row.encode())
