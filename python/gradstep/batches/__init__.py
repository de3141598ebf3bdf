"""Mini-batches: the order of an epoch, and the way its examples are copied."""

from gradstep.batches.minibatches import MiniBatches

__all__ = ["MiniBatches"]
