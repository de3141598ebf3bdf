"""Around a step: gradients of micro-batches that are added up, and the scale of a loss."""

from gradstep.training.accumulation import Accumulator
from gradstep.training.loss_scaling import LossScaler

__all__ = ["Accumulator", "LossScaler"]
