"""The optimizer step of a NumPy model: in place, fused, on all cores, with the same bits everywhere.

Only names stand here. ``gradstep.optimizers`` has the rules, ``gradstep.functional`` the same as
functions, ``gradstep.schedules`` learning rates over time. What not every program needs is loaded
on first use.
"""

import importlib as _importlib
import os as _os
from typing import TYPE_CHECKING
from typing import Any as _Any

from gradstep import schedules
from gradstep.averaging import EWA, ewa
from gradstep.groups import by_name
from gradstep.optimizer import Optimizer
from gradstep.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Momentum,
    NAdam,
    RAdam,
    RMSprop,
)
from gradstep.parallel import cpu_info, get_num_threads, set_num_threads, threads

if TYPE_CHECKING:
    from gradstep import compat, distributed, functional
    from gradstep.accumulation import Accumulator
    from gradstep.background import BackgroundSave, save_in_background
    from gradstep.batches import MiniBatches
    from gradstep.checkpoint import Loaded, load, save
    from gradstep.inspection import Inspection, inspect
    from gradstep.scaling import LossScaler

__version__ = "0.1.0"

__all__ = [
    "EWA",
    "SGD",
    "Accumulator",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BackgroundSave",
    "Inspection",
    "Lion",
    "Loaded",
    "LossScaler",
    "MiniBatches",
    "Momentum",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "by_name",
    "compat",
    "cpu_info",
    "distributed",
    "ewa",
    "functional",
    "get_num_threads",
    "inspect",
    "load",
    "save",
    "save_in_background",
    "schedules",
    "set_num_threads",
    "threads",
]

# Loaded on first use: the module that each name is in, or is.
_LATER = {
    "Accumulator": "accumulation",
    "BackgroundSave": "background",
    "Inspection": "inspection",
    "Loaded": "checkpoint",
    "LossScaler": "scaling",
    "MiniBatches": "batches",
    "compat": "compat",
    "distributed": "distributed",
    "functional": "functional",
    "inspect": "inspection",
    "load": "checkpoint",
    "save": "checkpoint",
    "save_in_background": "background",
}

if not TYPE_CHECKING:  # to which all of them are there, and no other name is

    def __getattr__(name: str) -> _Any:
        if name not in _LATER:
            raise AttributeError(f"module 'gradstep' has no attribute {name!r}")
        module = _importlib.import_module(f"gradstep.{_LATER[name]}")
        found = module if name == _LATER[name] else getattr(module, name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return [*__all__, "__version__"]


# What launchers tell the processes that they start: MPICH's and Intel's, Open MPI's. In a job, a rank
# that raises before the ranks first meet ends it, too.
if any(name in _os.environ for name in ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")):
    _importlib.import_module("gradstep.distributed.ending").watch()
