"""Arrows between files run one way: C++ that knows no Python, and modules without circles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from support.paths import ROOT

CPP, PACKAGE = ROOT / "cpp", ROOT / "python/gradstep"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = (
    {"checks", "names", "_typing", "_version", "pytree", "schedules"}
    | {"transaction", "values", "averaging"},
    {"optimizers"},
    {"training", "batches", "checkpoints", "functional", "compat", "distributed"},
)


def included(source: Path, seen: set[str]) -> set[str]:
    """Return what a file includes, and what that includes, as it is written."""
    lines = re.findall(r'^\s*#\s*include\s*([<"])(.+?)[>"]', source.read_text(), re.MULTILINE)
    for bracket, name in lines:
        assert bracket == "<" or (CPP / name).exists(), f"{name}, from {source}, is not in cpp/"
        if name not in seen:
            seen.add(name)
            if bracket == '"':
                included(CPP / name, seen)
    return seen


@pytest.mark.parametrize("source", sorted((CPP / "engine").iterdir()), ids=lambda p: p.name)
def test_the_engine_knows_no_python(source: Path) -> None:
    python = re.compile(r"pybind11/|numpy/|(.*/)?Python\.h|binding/")
    assert not [name for name in included(source, set()) if python.match(name)]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a module imports anywhere, also for types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("gradstep"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            if (node.module or "").partition(".")[0] == "gradstep":
                for name in node.names:
                    module = f"{node.module}.{name.name}"
                    yield module if module in NAMES else str(node.module)


ARROWS = {name_of(path): set(imported(path)) - {"gradstep._core"} for path in MODULES}


def floor_of(module: str) -> int:
    room = module.partition(".")[2].partition(".")[0]
    return next((floor for floor, rooms in enumerate(FLOORS) if room in rooms), -1)


def test_modules_import_in_no_circle() -> None:
    assert {"gradstep.optimizers.base", "gradstep.checkpoints.api"} <= ARROWS.keys()
    TopologicalSorter(ARROWS).prepare()  # CycleError names a circle


def test_no_module_imports_through_the_face_of_the_package() -> None:
    # `python -m gradstep` stands outside.
    inside = ARROWS.keys() - {"gradstep.__main__"}
    assert [module for module in inside if "gradstep" in ARROWS[module]] == []


def test_every_module_has_a_floor() -> None:
    # The face, `python -m gradstep`, and what needs the core alone.
    outside = {"gradstep", "gradstep.__main__", "gradstep.thread_count"}
    assert {module for module in ARROWS if floor_of(module) < 0} == outside


@pytest.mark.parametrize("module", sorted(ARROWS))
def test_no_arrow_runs_up(module: str) -> None:
    if floor_of(module) >= 0:
        assert [to for to in ARROWS[module] if floor_of(to) > floor_of(module)] == []
