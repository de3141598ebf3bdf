"""What `import gradstep` loads, what comes on first use, and that either way it is the same."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import gradstep as gs
import gradstep.thread_count as parallel
from gradstep import averaging, schedules
from support.processes import output, outputs

# Names that are loaded on first use, and what `import gradstep` must not load for them.
LATER = {
    "Accumulator": ["gradstep.training"],
    "BackgroundSave": ["gradstep.checkpoints"],
    "Inspection": [],
    "Loaded": ["json", "urllib.parse", "hashlib", "zlib"],
    "LossScaler": [],
    "MiniBatches": ["gradstep.batches"],
    "compat": ["gradstep.compat"],
    "distributed": ["gradstep.distributed", "concurrent.futures", "subprocess", "tempfile"],
    "functional": ["gradstep.functional"],
    "inspect": [],
    "load": [],
    "save": [],
    "save_in_background": [],
}


def test_import_leaves_out_what_is_loaded_on_first_use() -> None:
    modules = [module for modules in LATER.values() for module in modules]
    loaded = f"""
import sys, numpy
before = {{*sys.modules}}
import gradstep
print(*sorted(({{*sys.modules}} - before) & {{*{modules!r}}}))
"""
    assert output(loaded) == ""


def test_first_use_loads_a_name_and_keeps_it() -> None:
    codes = [
        f"""
import sys, gradstep as gs
assert "{name}" not in vars(gs)
found = gs.{name}
assert found is vars(gs)["{name}"]
print(*({{*{[module for module in modules if module.startswith("gradstep.")]!r}}} - {{*sys.modules}}))
"""
        for name, modules in LATER.items()
    ]
    assert dict(zip(LATER, outputs(*codes), strict=True)) == dict.fromkeys(LATER, "")


FIRST = [
    "import gradstep as gs; gs.compat.torch.Adam",
    "import gradstep.compat.torch; gradstep.compat.torch.Adam",
    "from gradstep.compat import torch; torch.Adam",
    "from gradstep import compat; compat.torch.Adam",
    "from gradstep import distributed; distributed.Sharded",
    "import gradstep.distributed; gradstep.distributed.Sharded",
    "from gradstep.distributed import Sharded",
    "from gradstep import *; save, load, inspect, MiniBatches, compat.torch, distributed.Sharded",
    "from gradstep import inspect; assert inspect.__name__ == 'inspect'",
    "import gradstep.checkpoints.inspection, gradstep as gs; assert callable(gs.inspect)",
]


def test_each_way_to_a_name_works_first() -> None:
    assert dict(zip(FIRST, outputs(*FIRST), strict=True)) == dict.fromkeys(FIRST, "")


def test_names_are_listed_before_they_are_loaded() -> None:
    listed = output("import gradstep as gs; print(*dir(gs))").split()
    assert {*gs.__all__} <= {*listed}
    assert not {"accumulation", "_LATER"} & {*listed}


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'gradstep' has no attribute 'Adan'$"):
        gs.Adan  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match=r"^cannot import name 'Adan' from 'gradstep'"):
        from gradstep import Adan  # type: ignore[attr-defined]  # noqa: F401


def test_in_a_job_a_rank_is_watched_from_the_start() -> None:
    code = "import sys; before = sys.excepthook; import gradstep; print(sys.excepthook is before)"
    launchers = ["PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"]
    ranks = [f"import os; os.environ[{launcher!r}] = '0'; {code}" for launcher in launchers]
    assert outputs(*ranks, code) == ["False"] * 3 + ["True"]


def callables(module: ModuleType) -> Iterator[Any]:
    """Yield the public functions, classes, methods and properties of a module."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
            continue
        yield pytest.param(thing, id=f"{module.__name__}.{name}")
        for key, member in vars(thing).items() if inspect.isclass(thing) else ():
            method = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if inspect.isfunction(method) and not key.startswith("_"):
                yield pytest.param(method, id=f"{module.__name__}.{name}.{key}")


@pytest.mark.parametrize(
    "thing", [each for module in (schedules, averaging, parallel) for each in callables(module)]
)
def test_type_hints_of_public_callables_can_be_read(thing: Any) -> None:
    hints = typing.get_type_hints(thing)
    assert "return" in hints or inspect.isclass(thing)
