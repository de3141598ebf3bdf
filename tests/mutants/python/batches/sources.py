"""Ways to break python/gradstep/batches/sources.py."""

from listing import BATCHES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/batches/sources.py",
        BATCHES,
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
    ),
]
