"""The optimizer step of a NumPy model: in place, fused, on all cores, with the same bits everywhere.

Only names stand here. ``gradstep.optimizers`` has the rules, ``gradstep.functional`` the same as
functions, ``gradstep.schedules`` learning rates over time.
"""

from gradstep import compat, distributed, functional, schedules
from gradstep.accumulation import Accumulator
from gradstep.averaging import EWA, ewa
from gradstep.background import BackgroundSave, save_in_background
from gradstep.batches import MiniBatches
from gradstep.checkpoint import Loaded, load, save
from gradstep.groups import by_name
from gradstep.inspection import Inspection, inspect
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
