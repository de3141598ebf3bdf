"""The programs of tests/native against the objects of the installed build, where Python does not reach.

`nox -s portable` builds them with other compilers and for other processors, `nox -s thread_sanitizer`
those over threads.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradstep import _core
from support.built import objects
from support.effort import FULL, endurance
from support.paths import ROOT

NATIVE = ROOT / "tests/native"
# As CMakeLists.txt has it: no fused multiply-add in what constants are made of.
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", f"-I{ROOT / 'cpp'}"]
TABLE = NATIVE / "bits.txt"

Program = Callable[..., Path]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Build a program of tests/native, linked with objects of the installed build."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        pytest.skip("needs a C++ compiler: install one, or name it in CXX")
    folder = tmp_path_factory.mktemp("native")

    def build(name: str, *linked: str) -> Path:
        built = folder / name
        sources = [NATIVE / f"{name}.cpp", *(path for n, path in objects().items() if n in linked)]
        subprocess.run(
            [compiler, *FLAGS, "-o", built, *sources],
            check=True,
            timeout=300,
        )
        return built

    return build


def run(*command: str | Path) -> str:
    """Run a program that says itself what is wrong; return what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


KERNELS = ("levels", "kernels_baseline", "kernels_v3", "kernels_v4")


@endurance
def test_bits_of_every_level_size_alignment_and_cut(program: Program) -> None:
    said = run(program("bits", *KERNELS), TABLE, *(["--full"] if FULL else []))
    assert said.splitlines()[0].split() == ["levels:", *_core.isas()]


def test_a_level_needs_every_feature_and_register(program: Program) -> None:
    run(program("dispatch"))


@endurance
def test_a_sweep_reaches_every_element_once_whoever_comes(program: Program) -> None:
    run(program("sweep", "sweep", "strided"), *(["--full"] if FULL else []))


@endurance
def test_moments_that_sink_meet_no_denormal_number_but_once(program: Program) -> None:
    if platform.machine() not in ("x86_64", "AMD64", "aarch64", "arm64"):
        pytest.skip("reads the processor's exception flags; run on x86-64 or aarch64")
    run(program("denormals", *KERNELS), "--full" if FULL else "9000")


# The same table once more, through the core as Python drives it.

HYPERPARAMETERS = {
    "lr": 0.125,
    "beta": 0.9,
    "beta1": 0.9,
    "beta2": 0.999,
    "dampening": 0.75,
    "momentum": 0.7,
    "eps": 1e-4,
    "eps_root": 1e-8,
    "momentum_decay": 0.004,
    "threshold": 5.0,
    "lr_decay": 0.5,
    **dict.fromkeys(["bias_correction", "looks_ahead", "rectified"], True),
}
DECAYS: dict[str, dict[str, float | bool]] = {
    "none": {},
    "coupled": {"weight_decay": 0.01},
    "decoupled": {"weight_decay": 0.01, "decoupled": True},
}


@cache
def values(step: int, n: int) -> NDArray[np.float64]:
    """Return the parameter (step 0) or a gradient as tests/native/bits.cpp makes it."""
    mixed = (np.arange(n, dtype=np.uint64) * 4 + step + 1) * 2654435761 % 2**32
    numbers = np.ldexp(mixed.astype(np.float64) - 2.0**31, -31)
    if step == 0:
        return numbers
    return np.where(mixed % 19 == 0, 0, np.ldexp(numbers, (mixed % 97).astype(np.int64) - 83))


def crc32(array: NDArray[Any]) -> str:
    return f"{zlib.crc32(array.tobytes()):08x}"


# What is done to gradients before the update has rows of another form: no rule, and nothing to step.
ROWS = [line for line in TABLE.read_text().splitlines() if not line.startswith("gradients ")]


@pytest.mark.parametrize("rule", dict.fromkeys(row.split()[0] for row in ROWS))
def test_the_bits_of_the_table_through_python(rule: str) -> None:
    for line in ROWS:
        name, dtype, decay, size, *_ = line.split()
        if name != rule:
            continue
        w = values(0, int(size)).astype(dtype)
        stepper = _core.new_stepper()
        told = [(name, name, value) for name, value in (HYPERPARAMETERS | DECAYS[decay]).items()]
        states = [np.zeros_like(w) for _ in _core.state_names(rule)]
        stepper.add_parameter(stepper.add_group(rule, told), "w", w, states)
        for step in (1, 2, 3):
            stepper.step([values(step, int(size)).astype(dtype)])
        found = [f"w={crc32(w)}"]
        found += [f"{n}={crc32(s)}" for n, s in zip(_core.state_names(rule), states, strict=True)]
        assert " ".join([name, dtype, decay, size, *found]) == line
