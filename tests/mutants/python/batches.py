"""Ways to break python/gradstep/batches.py."""

from listing import BATCHES, CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/batches.py",
        BATCHES,
        Mutant(
            "any list is a seed",
            "return all(map(is_whole, given))",
            "return True",
            "NumPy crashes in a list that holds itself",
        ),
        Mutant(
            "any number is an integer",
            "            _require_integers(state)\n",
            "",
            "NumPy makes integers of complex numbers in a random state",
        ),
        Mutant(
            "shards overlap",
            "start + size * (rank + 1) // ranks",
            "start + size",
            "examples come twice",
        ),
        Mutant(
            "a broken-off epoch is under way",
            "if iterator is None:  # broken off",
            "if False:",
            "a resumed run finishes what the run itself has left",
        ),
        Mutant(
            "a resumed epoch has a new order",
            "self._generator_at(here.order_from).permutation",
            "self._generator.permutation",
            "some examples come twice, others never",
        ),
        Mutant(
            "the batch in hand is not counted",
            "return _Place(self.epoch, position, self.order_from)",
            "return _Place(self.epoch, position - 1, self.order_from)",
            "a resumed run repeats a batch",
        ),
        Mutant(
            "an iterator serves one thread",
            "with one_at_a_time:",
            "if True:",
            "threads that share it get batches twice",
        ),
        Mutant(
            "memory maps are loaded",
            "if self.in_pieces or self._mapped or",
            "if self.in_pieces or",
            "no memory left for a large file",
        ),
        Mutant(
            "batches are views",
            'self.restored(self.rows[cut].copy(order="K"))',
            "self.restored(self.rows[cut])",
            "changing a batch changes the data",
        ),
        Mutant(
            "each rank has its own order",
            "if self._ranks > 1 and self._shuffle and seed is None:",
            "if False:",
            "examples come twice on different ranks",
        ),
    ),
    *in_file(
        "python/gradstep/batches.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: a checkpoint without the random state",
            "random=[(self._generator.bit_generator, random)]",
            "random=[]",
            "another order after loading",
        ),
    ),
]
