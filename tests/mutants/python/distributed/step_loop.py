"""Ways to break python/gradstep/distributed/step_loop.py."""

from listing import DISTRIBUTED, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/distributed/step_loop.py",
        f"{DISTRIBUTED}::test_in_ranks",
        Mutant(
            "rebound: one rank steps without checking",
            "raise ValueError(_NO_EXAMPLES)\n        self.model.stepper.require_bound()",
            "raise ValueError(_NO_EXAMPLES)",
            "a model that never learns",
        ),
    ),
]
