"""Ways to break python/gradstep/batches/minibatches.py."""

from listing import BATCHES, CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/batches/minibatches.py",
        BATCHES,
        Mutant(
            "shards overlap",
            "start + size * (rank + 1) // ranks",
            "start + size",
            "examples come twice",
        ),
        Mutant(
            "a resumed epoch has a new order",
            "generator_at(self._generator, here.order_from).permutation",
            "self._generator.permutation",
            "some examples come twice, others never",
        ),
        Mutant(
            "an iterator serves one thread",
            "with one_at_a_time:",
            "if True:",
            "threads that share it get batches twice",
        ),
        Mutant(
            "each rank has its own order",
            "if self._ranks > 1 and self._shuffle and seed is None:",
            "if False:",
            "examples come twice on different ranks",
        ),
    ),
    *in_file(
        "python/gradstep/batches/minibatches.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: a checkpoint without the random state",
            "random=[(self._generator.bit_generator, random)]",
            "random=[]",
            "another order after loading",
        ),
    ),
]
