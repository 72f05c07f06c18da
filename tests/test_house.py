"""The house: no circle of files, no long file or function, no long list of arguments."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

import snas_tune

PACKAGE = Path(snas_tune.__file__).parent
ROOT = PACKAGE.parent

MOST_LINES = 350
MOST_ARGUMENTS = 8
MEDIAN_LINES = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return sorted(
        path
        for folder in (PACKAGE, ROOT / "examples", ROOT / "benchmarks", ROOT / "tests")
        for path in folder.rglob("*.py")
    )


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, known: set[str]) -> set[str]:
    """The files of the package that a file imports, in functions and for type hints, too.

    ``from package import name`` reads the file of ``name`` if it is one, else the package's own.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in whole}
    return found & known


def circle(graph: dict[str, set[str]]) -> list[str]:
    """A circle of a graph, its first name repeated at the end; empty if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := walk(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def test_a_circle_is_found_wherever_it_is():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"a"}}) == ["a", "a"]


def test_no_files_import_each_other_in_a_circle_type_hints_included():
    paths = {dotted(path): path for path in PACKAGE.rglob("*.py")}
    # A room's __init__ names its rooms' files for readers and is imported by none of them.
    graph = {name: imports_of(path, set(paths)) for name, path in paths.items()}
    assert circle(graph) == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_a_reader_can_keep(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES


def functions(tree: ast.AST, public: bool = True) -> Iterator[tuple[Function, bool]]:
    """Every function with whether it and all that it stands in are public."""
    for node in ast.iter_child_nodes(tree):
        name = getattr(node, "name", "")
        shown = public and (not name.startswith("_") or name == "__init__")
        if isinstance(node, Function):
            yield node, shown
            yield from functions(node, False)
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, shown)
        else:
            yield from functions(node, public)


def count_arguments(function: Function) -> int:
    """The arguments of a call: neither ``self`` nor ``cls``, nor ``*rest`` and ``**rest``."""
    arguments = function.args
    named = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def test_no_public_function_takes_more_arguments_than_a_caller_can_keep():
    many = [
        f"{path.relative_to(ROOT)}: {function.name} takes {count_arguments(function)}"
        for path in PACKAGE.rglob("*.py")
        for function, public in functions(ast.parse(path.read_text()))
        if public and count_arguments(function) > MOST_ARGUMENTS
    ]
    assert many == []


def test_the_median_function_is_short():
    lengths = [
        (function.end_lineno or 0) - function.lineno + 1
        for path in PACKAGE.rglob("*.py")
        for function, _ in functions(ast.parse(path.read_text()))
    ]
    assert statistics.median(lengths) <= MEDIAN_LINES


def test_the_formatters_own_layout_is_kept():
    mark = "fmt" + ": "
    assert [path for path in sources() if mark + "skip" in path.read_text()] == []
