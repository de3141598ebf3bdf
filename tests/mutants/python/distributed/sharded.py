"""Ways to break python/gradstep/distributed/sharded.py."""

from listing import DISTRIBUTED, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/distributed/sharded.py",
        f"{DISTRIBUTED}::test_in_ranks",
        Mutant(
            "rebound: averaged of ranks does not check",
            "loop.model.stepper.require_bound()\n                    block =",
            "block =",
            "the user evaluates a model that is not the average",
        ),
        Mutant(
            "rebound: a state of ranks does not check",
            'with loop.agreement("state_dict"):\n                model.stepper.require_bound()',
            'with loop.agreement("state_dict"):',
            "the moments of arrays that are in no model are saved",
        ),
    ),
]
