"""The optimizer step of a NumPy model: in place, fused, on all cores, with the same bits everywhere.

Only names stand here. ``gradstep.optimizers`` has the rules, ``gradstep.functional`` the same as
functions, ``gradstep.schedules`` learning rates over time. What not every program needs is loaded
on first use.
"""

import importlib as _importlib
import os as _os
from typing import TYPE_CHECKING
from typing import Any as _Any

import gradstep.schedules as schedules
from gradstep._version import __version__ as __version__
from gradstep.averaging import EWA, ewa
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
from gradstep.optimizers.base import Optimizer
from gradstep.optimizers.selection import by_name
from gradstep.thread_count import cpu_info, get_num_threads, set_num_threads, threads

if TYPE_CHECKING:
    from gradstep import compat, distributed, functional
    from gradstep.batches import MiniBatches
    from gradstep.checkpoints import (
        BackgroundSave,
        Inspection,
        Loaded,
        inspect,
        load,
        save,
        save_in_background,
    )
    from gradstep.training import Accumulator, LossScaler

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
    "Accumulator": "training",
    "BackgroundSave": "checkpoints",
    "Inspection": "checkpoints",
    "Loaded": "checkpoints",
    "LossScaler": "training",
    "MiniBatches": "batches",
    "compat": "compat",
    "distributed": "distributed",
    "functional": "functional",
    "inspect": "checkpoints",
    "load": "checkpoints",
    "save": "checkpoints",
    "save_in_background": "checkpoints",
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
    _importlib.import_module("gradstep.distributed.shutdown").install_hooks()
