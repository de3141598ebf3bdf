"""Ways to break python/gradstep/pytree.py."""

from listing import AVERAGING, ERRORS, OPTIMIZER, REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/pytree.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "keys too many: all are named",
            "got {_joined(unexpected)}, ",
            "got {_joined(tree)}, ",
            "who follows the advice leaves out what is wanted",
        ),
        Mutant(
            "rebound: a walk makes what is gone",
            "there = isinstance(tree, Mapping) and key in tree",
            "there = isinstance(tree, Mapping)",
            "KeyError, or new parameters in a defaultdict",
            REBINDING,
        ),
        Mutant(
            "the kind of a sequence is lost",
            "return type(treedef)(build(child) for child in treedef)",
            "return [build(child) for child in treedef]",
            "averages of a tuple are a list",
            AVERAGING,
        ),
    ),
]
