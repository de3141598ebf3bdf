"""Ways to break python/gradstep/pytree.py."""

from listing import AVERAGING, COMPAT, ERRORS, GROUPS, OPTIMIZER, REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/pytree.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "every key may carry a d",
            'return f"d{key}" if d and not _holds_dict(child) else key',
            'return f"d{key}" if d else key',
            "nested gradients are refused",
        ),
        Mutant(
            "keys too many",
            "if unexpected:",
            "if False:",
            "a misspelt key goes unseen",
        ),
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
            "rebound: what is gone from a list",
            "there = isinstance(tree, list | tuple) and key < len(tree)",
            "there = isinstance(tree, list | tuple)",
            "list index out of range, and no word of which list",
            REBINDING,
        ),
        Mutant(
            "keys with a d are meant unless more are there without",
            "if led.found > plain.found:",
            "if led.found >= plain.found:",
            "an error that lists keys which nobody uses",
        ),
        Mutant(
            "names may stand twice",
            "if count > 1:",
            "if count > 2:",
            "one state for two parameters",
        ),
        Mutant(
            "the kind of a sequence is lost",
            "return type(treedef)(build(child) for child in treedef)",
            "return [build(child) for child in treedef]",
            "averages of a tuple are a list",
            AVERAGING,
        ),
        Mutant(
            "masks that are too long",
            "and len(mask) == len(treedef)",
            "and len(mask) >= len(treedef)",
            "a mask of something else goes unseen",
            COMPAT,
        ),
        Mutant(
            "masks with other keys",
            "and mask.keys() == treedef.keys()",
            "and mask.keys() >= treedef.keys()",
            "a misspelt key goes unseen",
            COMPAT,
        ),
        Mutant(
            "later positions count once",
            "return len(self._treedef) if isinstance(self._treedef, list | tuple) else 1",
            "return 1",
            "one name for two parameters",
            GROUPS,
        ),
    ),
]
