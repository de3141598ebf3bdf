"""The optimizers, a file for each family; the formulas that run are in cpp/engine/rules.hpp."""

from gradstep.optimizers.adagrad import Adadelta, Adagrad
from gradstep.optimizers.adam import Adam, Adamax, AdamW
from gradstep.optimizers.lion import Lion
from gradstep.optimizers.nadam import NAdam, RAdam
from gradstep.optimizers.rmsprop import RMSprop
from gradstep.optimizers.sgd import SGD, Momentum

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Momentum",
    "NAdam",
    "RAdam",
    "RMSprop",
]
