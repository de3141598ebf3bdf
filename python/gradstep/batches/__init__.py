"""Mini-batches: the order of the examples in an epoch, and how they are copied into a batch."""

from gradstep.batches.minibatches import MiniBatches

__all__ = ["MiniBatches"]
