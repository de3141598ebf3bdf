"""Ways to break python/gradstep/distributed/sharded.py."""

from listing import DISTRIBUTED, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/distributed/sharded.py",
        f"{DISTRIBUTED}::test_in_ranks",
        Mutant(
            "rebound: one rank steps without a look",
            "raise ValueError(_NO_EXAMPLES)\n            self._require_bound()",
            "raise ValueError(_NO_EXAMPLES)",
            "a model that never learns",
        ),
        Mutant(
            "rebound: averaged of ranks does not look",
            "self._require_bound()\n                    block =",
            "block =",
            "a model is judged that is not the average",
        ),
        Mutant(
            "rebound: a state of ranks does not look",
            'with self._agreed("state_dict"):\n                self._require_bound()',
            'with self._agreed("state_dict"):',
            "the moments of arrays that are in no model are saved",
        ),
    ),
]
