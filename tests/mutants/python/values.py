"""Ways to break python/gradstep/values.py."""

from listing import ERRORS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/values.py",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "lists stay the caller's",
            "return tuple([e if isinstance(e, list | tuple) else own(e) for e in value])",
            "return value",
            "betas change behind the optimizer's back",
        ),
    ),
]
