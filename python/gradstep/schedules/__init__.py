"""Learning-rate schedules: immutable callables from a count to a rate.

Every formula is in this package, with its checks. Optimizers count the steps and use the rate.
"""

from gradstep.schedules.base import Constant, Scaled, Schedule
from gradstep.schedules.compose import Joined, Warmup, join, warmup
from gradstep.schedules.config import from_config, to_config
from gradstep.schedules.cycles import Cosine, CosineRestarts, OneCycle
from gradstep.schedules.decay import (
    ExponentialDecay,
    InverseSqrtDecay,
    InverseTimeDecay,
    Linear,
    Piecewise,
    Polynomial,
    StepDecay,
)

__all__ = [
    "Constant",
    "Cosine",
    "CosineRestarts",
    "ExponentialDecay",
    "InverseSqrtDecay",
    "InverseTimeDecay",
    "Joined",
    "Linear",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "Scaled",
    "Schedule",
    "StepDecay",
    "Warmup",
    "from_config",
    "join",
    "to_config",
    "warmup",
]
