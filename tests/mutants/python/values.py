"""Ways to break python/gradstep/values.py."""

from listing import ERRORS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/values.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "lists stay the caller's",
            "return tuple([e if isinstance(e, list | tuple) else frozen(e) for e in value])",
            "return value",
            "betas change behind the optimizer's back",
        ),
        Mutant(
            "states of old have no callables",
            "key = _CALLABLES if _CALLABLES in plain else _OLD_CALLABLES",
            "key = _CALLABLES",
            "a checkpoint of commit 4e867cd does not load",
            "tests/checkpoints/test_saved_earlier.py",
        ),
    ),
]
