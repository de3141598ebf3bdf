"""One step over arrays whose state the caller keeps: the optimizers as functions.

Each takes arrays, equally long lists of arrays, or dicts of them (nested as you like), updates them in
place and returns None. Gradients and state in dicts have the keys of the parameters, or each with a
leading ``d``, as courses keep them: ``v["dW1"]`` for ``parameters["W1"]``. Formulas, hyperparameters
and errors are those of the class that its docstring names. Each optimizer's function also takes
``scale=`` as its ``step`` does, and ``max_norm=``, ``clip_value=`` and ``nonfinite=``. A step that is
skipped leaves everything as it was and says nothing, so whoever counts `t` uses ``nonfinite="raise"``
and does not count what raised.

Where a function takes `t`, a hyperparameter may be a schedule, whose value after ``t − 1`` steps counts.
A β that bias correction divides by may not: that takes its values in all steps, which an optimizer keeps.
"""

from gradstep.optimizers.adagrad import adadelta, adagrad
from gradstep.optimizers.adam import adam, adamax, adamw
from gradstep.optimizers.ewa import ewa
from gradstep.optimizers.lion import lion
from gradstep.optimizers.nadam import nadam, radam
from gradstep.optimizers.rmsprop import rmsprop
from gradstep.optimizers.sgd import momentum, sgd

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ewa",
    "lion",
    "momentum",
    "nadam",
    "radam",
    "rmsprop",
    "sgd",
]
