"""Ways to break python/gradstep/batches/epoch.py."""

from listing import BATCHES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/batches/epoch.py",
        BATCHES,
        Mutant(
            "a broken-off epoch is under way",
            "if iterator is None:  # broken off",
            "if False:",
            "a resumed run finishes what the run itself has left",
        ),
        Mutant(
            "the batch in hand is not counted",
            "return EpochPosition(self.epoch, position, self.order_from)",
            "return EpochPosition(self.epoch, position - 1, self.order_from)",
            "a resumed run repeats a batch",
        ),
    ),
]
