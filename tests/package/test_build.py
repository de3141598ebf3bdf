"""The objects that were built: what they export, what they must not hold, and that docs run.

The objects stay under build/ when the package is installed from this checkout.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
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
from support.built import objects, tool
from support.paths import ROOT


def needs_binutils() -> None:
    if not shutil.which("objdump"):
        pytest.skip("looks into objects with nm and objdump; install binutils")


@pytest.fixture(params=["kernels_baseline", "kernels_v3", "kernels_v4"])
def kernels(request: pytest.FixtureRequest) -> tuple[str, Path]:
    needs_binutils()
    if request.param not in objects():
        pytest.skip(f"no object {request.param}: this level belongs to x86-64")
    return request.param, objects()[request.param]


def test_the_tests_run_against_this_checkout() -> None:
    installed, checkout = Path(gs.__file__).parent, ROOT / "python/gradstep"
    for source in checkout.rglob("*.py"):
        name = source.relative_to(checkout)
        assert (installed / name).read_text() == source.read_text(), (
            f"{name} differs from the installed one; run `pip install .` again"
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


@cache
def instructions(path: Path) -> str:
    return tool("objdump", "-d", "--no-show-raw-insn", path)


def test_wide_instructions_stay_in_wide_objects() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("looks for x86-64 registers; run on x86-64")
    needs_binutils()
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


# What came after SSE2, without the v that stands before a wide one. Not here: `tzcnt`, which older
# processors run as the `bsf` that it is a form of, and `pause` and `endbr64`, which they skip.
NEWER = re.compile(
    r"""addsubp[sd] | h(add|sub)p[sd] | lddqu | mov(d|sl|sh)dup | fisttp.* | monitor | mwait
    | cmpxchg16b | [ls]ahf | pabs[bwd] | palignr | ph(add|sub)(w|d|sw) | pmaddubsw | pmulhrsw
    | pshufb | psign[bwd] | p?blendv?(p[sd]|b|w) | dpp[sd] | extractps | insertps | movntdqa
    | mpsadbw | packusdw | pcmp(eq|gt)q | pextr[bdq] | pinsr[bdq] | pm(ax|in)(sb|sd|ud|uw)
    | phminposuw | pmov[sz]x.* | pmuldq | pmulld | ptest | round[ps][sd] | pcmp[ei]str[im]
    | (crc32|popcnt|lzcnt|movbe)[bwlq]? | (andn|bextr|blsi|blsr|blsmsk|bzhi|mulx|pdep|pext)[lq]?
    | (rorx|sarx|shlx|shrx|adcx|adox)[lq]? | aes.* | pclmul.* | sha(1|256).* | rdrand.* | rdseed.*
    | rdtscp | prefetchw.* | xsave.* | xrstor.*""",
    re.VERBOSE,
)


def newer(path: Path) -> set[str]:
    # Mnemonics, with what may stand before them: `lock cmpxchg16b`.
    begun = set(re.findall(r"\t([a-z0-9. ]+)", instructions(path)))
    words = {word.removeprefix("v") for text in begun for word in text.split()}
    return {word for word in words if NEWER.fullmatch(word)}


def test_the_baseline_holds_no_instruction_beyond_sse2() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("looks for x86-64 mnemonics; run on x86-64")
    needs_binutils()
    for name, path in objects().items():
        # The wide objects show that the search finds what there is.
        assert bool(newer(path)) == (name in ("kernels_v3", "kernels_v4")), (name, newer(path))
    # XCR0 is read where CPUID allows it, and nowhere else.
    readers = {name for name, path in objects().items() if "\txgetbv" in instructions(path)}
    assert readers == {"levels"}


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


PEERS = (gs.compat.torch, gs.compat.keras, gs.compat.optax)
# Without what needs MPI or scikit-learn.
ELSEWHERE = ("gradstep._core", "gradstep.distributed.", "gradstep.compat.sklearn")
MODULES = [
    module.name
    for module in pkgutil.walk_packages(gs.__path__, "gradstep.")
    if not module.name.startswith(ELSEWHERE)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def public() -> list[tuple[str, object]]:
    listed = [(name, getattr(gs, name)) for name in gs.__all__]
    for module in (gs.functional, gs.schedules, *PEERS):
        listed += [(f"{module.__name__}.{n}", getattr(module, n)) for n in module.__all__]
    return [(name, thing) for name, thing in listed if callable(thing)]


@pytest.mark.parametrize(("name", "thing"), public(), ids=[name for name, _ in public()])
def test_public_docstrings_are_complete(name: str, thing: object) -> None:
    text = thing.__doc__ or ""
    if name not in ("Optimizer", "gradstep.schedules.Schedule"):
        assert ">>>" in text, "an example that runs"
    assert text.splitlines()[0].endswith((".", "`."))


@pytest.mark.parametrize(
    "thing",
    [thing for _, thing in public() if isinstance(thing, type) and issubclass(thing, gs.Optimizer)],
    ids=lambda thing: f"{thing.__module__}.{thing.__name__}",
)
def test_docstrings_of_optimizers_name_every_argument(thing: type[gs.Optimizer]) -> None:
    # `a, b : type` and `**options` are how numpydoc lists them.
    text = thing.__doc__ or ""
    described = text.partition("Parameters\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    ([*\w, ]+?)(?: : .*)?$", described, re.MULTILINE)
    named = {each.strip().lstrip("*") for entry in entries for each in entry.split(",")}
    taken = set(inspect.signature(thing).parameters)
    assert taken - ({"options", "hyperparameters"} if thing is gs.Optimizer else set()) <= named


def test_the_stub_names_what_the_core_has() -> None:
    stub = (ROOT / "python/gradstep/_core.pyi").read_text()
    named = set(re.findall(r"^(?:def|class) (\w+)", stub, re.MULTILINE))
    assert named == {name for name in dir(_core) if not name.startswith("_")}
    methods = set(
        re.findall(r"^    (?:def )?(\w+)", stub.split("class Stepper", 1)[1], re.MULTILINE)
    )
    assert methods - {"self"} == {n for n in dir(_core.Stepper) if not n.startswith("_")}
