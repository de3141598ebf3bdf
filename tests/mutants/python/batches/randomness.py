"""Ways to break python/gradstep/batches/randomness.py."""

from listing import BATCHES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/batches/randomness.py",
        BATCHES,
        Mutant(
            "any list is a seed",
            "return all(map(is_whole, given))",
            "return True",
            "NumPy crashes in a list that holds itself",
        ),
    ),
]
