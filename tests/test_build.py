"""The objects that were built: what they export, what they must not hold, and that docs run.

The objects stay under build/ when the package is installed from this checkout.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import gradstep as gs
from gradstep import _core

ROOT = Path(__file__).parents[1]


@cache
def objects() -> dict[str, Path]:
    """Return the object files by name, ``kernels_v3`` or ``sweep``, of the build that is installed."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    found = {
        (
            path.parents[1].name.removesuffix(".dir") if "kernels_" in str(path) else path.name[:-6]
        ): path
        for path in sorted(ROOT.glob(f"build/{tag}-*/CMakeFiles/**/*.cpp.o"))
    }
    if not found or not shutil.which("objdump"):
        pytest.skip("needs the build tree and binutils: run `pip install .` here, with objdump")
    return found


def tool(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(params=["kernels_baseline", "kernels_v3", "kernels_v4"])
def kernels(request: pytest.FixtureRequest) -> tuple[str, Path]:
    if request.param not in objects():
        pytest.skip(f"no object {request.param}: this level belongs to x86-64")
    return request.param, objects()[request.param]


def test_the_tests_run_against_this_checkout() -> None:
    installed = Path(gs.__file__).parent
    for source in (ROOT / "python/gradstep").glob("*.py"):
        assert (installed / source.name).read_text() == source.read_text(), (
            f"{source.name} differs from the installed one; run `pip install .` again"
        )


def test_one_exported_table_and_nothing_weak(kernels: tuple[str, Path]) -> None:
    name, path = kernels
    symbols = [line.split()[-2:] for line in tool("nm", "-C", path).splitlines()]
    level = name.removeprefix("kernels_")
    defined = [symbol for kind, symbol in symbols if kind in "TDRBGSC"]
    assert defined == [f"gradstep::{level}::table"]
    # Weak symbols (V, W, u) are what a linker merges: one level's code could stand in for another's.
    assert not [symbol for kind, symbol in symbols if kind in "vVwWu"]


def test_no_static_initialiser_and_no_call_out(kernels: tuple[str, Path]) -> None:
    _, path = kernels
    assert not re.search(r"\.init_array|\.ctors", tool("objdump", "-h", path))
    undefined = {line.split()[-1] for line in tool("nm", "-u", path).splitlines()}
    assert undefined <= {"_GLOBAL_OFFSET_TABLE_", "memset", "memcpy", "__stack_chk_fail"}


def instructions(path: Path) -> str:
    return tool("objdump", "-d", "--no-show-raw-insn", path)


def test_wide_instructions_stay_in_wide_objects() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("looks for x86-64 registers; run on x86-64")
    wide = {"kernels_v3", "kernels_v4"}
    assert wide <= set(objects())
    for name, path in objects().items():
        code = instructions(path)
        if name in wide:
            assert re.search(r"%ymm", code), name
        else:
            # VEX and EVEX instructions begin with a v; the baseline knows neither.
            assert not re.search(r"%[yz]mm|\tv[a-z0-9]+\s+.*%xmm", code), name
    assert "%zmm" in instructions(objects()["kernels_v4"])
    assert "%zmm" not in instructions(objects()["kernels_v3"])


def test_arithmetic_is_as_written(kernels: tuple[str, Path]) -> None:
    # No fused multiply-add, no reciprocal estimate; roots and divisions are vectors.
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("looks for x86-64 mnemonics; run on x86-64")
    code = instructions(kernels[1])
    assert not re.search(r"\tv?(fn?m(add|sub)|rcp|rsqrt)", code)
    for mnemonic in ("sqrtps", "sqrtpd", "divps", "divpd"):
        assert re.search(rf"\tv?{mnemonic}", code), mnemonic


def test_the_module_needs_no_flush_to_zero_at_load() -> None:
    # -ffast-math at link adds an object that sets the whole process to flush-to-zero.
    module = str(_core.__file__)
    if not shutil.which("nm"):
        pytest.skip("needs nm, of binutils")
    assert "set_fast_math" not in tool("nm", module)


def test_importing_leaves_the_floating_point_mode_alone() -> None:
    code = """
import numpy as np
def denormal():
    return float(np.float32(1e-38) * np.float32(1e-3)), float(np.array([5e-324])[0] * 1.0)
before = denormal()
import gradstep
assert before == denormal() and before[0] > 0 and before[1] > 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


MODULES = [m.name for m in pkgutil.iter_modules(gs.__path__) if not m.name.startswith("_core")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(f"gradstep.{name}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def public() -> list[tuple[str, object]]:
    listed = [(name, getattr(gs, name)) for name in gs.__all__]
    for module in (gs.functional, gs.schedules):
        listed += [(f"{module.__name__}.{n}", getattr(module, n)) for n in module.__all__]
    return [(name, thing) for name, thing in listed if callable(thing)]


@pytest.mark.parametrize(("name", "thing"), public(), ids=[name for name, _ in public()])
def test_public_docstrings_are_complete(name: str, thing: object) -> None:
    text = thing.__doc__ or ""
    if name not in ("Optimizer", "gradstep.schedules.Schedule"):
        assert ">>>" in text, "an example that runs"
    assert text.splitlines()[0].endswith((".", "`."))


def test_the_stub_names_what_the_core_has() -> None:
    stub = (ROOT / "python/gradstep/_core.pyi").read_text()
    named = set(re.findall(r"^(?:def|class) (\w+)", stub, re.MULTILINE))
    assert named == {name for name in dir(_core) if not name.startswith("_")}
    methods = set(
        re.findall(r"^    (?:def )?(\w+)", stub.split("class Stepper", 1)[1], re.MULTILINE)
    )
    assert methods - {"self"} == {n for n in dir(_core.Stepper) if not n.startswith("_")} | {
        "__init__"
    }
