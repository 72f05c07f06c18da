"""Imports run one way, and each room has its own piece of the outside world."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import snas_tune

ROOT = Path(snas_tune.__file__).parent

ROOMS = {
    # room: (rooms that it may use, packages from outside that it may use)
    "words": ((), ("filelock", "platformdirs")),
    "cloud": ((), ()),
    "data": (("words",), ("numpy", "PIL", "pyarrow", "datasets", "tqdm")),
    "front": (("words",), ("numpy", "pyarrow", "pandas")),
    "stopping": (("words", "front"), ("numpy", "pyarrow")),
    "pictures": (("words",), ("numpy", "matplotlib")),
    "training": (("words", "data"), ("numpy", "torch")),
    "space": (("words", "pictures", "training"), ("numpy", "platformdirs", "torch")),
    "search": (("words", "data", "training", "space"), ("numpy", "torch")),
    "export": (("words", "training", "space"), ("torch",)),
    "tensorboard_log": (("words", "front", "pictures"), ("numpy", "tensorboard", "tensorboardX")),
    "plugin": (("words", "pictures"), ("numpy", "tensorboard", "werkzeug")),
    "sweep": (
        (
            "words",
            "data",
            "front",
            "stopping",
            "pictures",
            "training",
            "space",
            "search",
            "tensorboard_log",
        ),
        ("numpy", "pyarrow", "torch", "ray", "optuna"),
    ),
    "cli": (
        (
            "words",
            "data",
            "front",
            "stopping",
            "pictures",
            "training",
            "space",
            "search",
            "export",
            "tensorboard_log",
            "sweep",
        ),
        ("torch", "tyro", "yaml", "tomli"),
    ),
}
WORDS = (
    "annealing",
    "architecture",
    "arguments",
    "checks",
    "config",
    "documents",
    "events",
    "files",
    "imports",
    "objective_checks",
    "owned",
    "results",
    "setting_checks",
    "text_checks",
    "values",
    "zips",
)


def room_of(module: str) -> str:
    """The room of a dotted name below snas_tune."""
    first = module.split(".")[1] if "." in module else "__init__"
    return "words" if first in WORDS else "cli" if first == "__main__" else first


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions and for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(str(node.module))
    return found


def modules() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_uses_only_what_its_room_may(path):
    name = ".".join(("snas_tune", *path.relative_to(ROOT).with_suffix("").parts))
    room = room_of(name)
    rooms, packages = ROOMS[room]
    for module in imports(path):
        top = module.split(".")[0]
        if top == "snas_tune":
            assert room_of(module) in (room, *rooms), f"{name} must not import {module}"
        elif top not in sys.stdlib_module_names:
            assert top in packages, f"{name} must not import {module}"


def test_every_room_is_listed():
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found == set(ROOMS) - {"words"}


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import snas_tune", ("torch", "ray", "pyarrow", "matplotlib", "tensorboard")),
        ("import snas_tune.search.search", ("ray", "pyarrow", "matplotlib")),
        ("import snas_tune.stopping", ("torch", "ray", "matplotlib", "optuna")),
        ("import snas_tune.front", ("torch", "ray", "matplotlib", "pandas")),
        ("import snas_tune.tensorboard_log", ("ray", "snas_tune.space", "snas_tune.training")),
        ("import snas_tune.pictures.svg", ("torch", "ray", "matplotlib", "numpy")),
        ("import snas_tune.data", ("torch", "ray", "pyarrow", "datasets")),
        ("import snas_tune.sweep", ("torch", "ray", "numpy", "optuna")),
        ("import snas_tune.cli.app", ("torch", "ray", "numpy", "pyarrow", "matplotlib")),
        ("import snas_tune.plugin.loader", ("torch", "ray", "numpy", "werkzeug", "pyarrow")),
        ("import snas_tune.plugin.routes", ("torch", "ray", "pyarrow", "matplotlib", "pandas")),
    ],
)
def test_importing_a_room_loads_nothing_from_outside_it(statement, unwanted):
    code = f"{statement}\nimport sys\nprint(*[m for m in {unwanted!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_can_be_read():
    assert sorted(snas_tune.__all__) == snas_tune.__all__
    for name in snas_tune.__all__:
        assert getattr(snas_tune, name).__name__ == name


def test_the_readme_names_every_module():
    readme = (ROOT.parent / "README.md").read_text()
    for path in modules():
        if path.name != "__init__.py":
            assert f"`{path.name}`" in readme, f"README's file map must name {path.name}"
