"""Ways to break python/gradstep/optimizers/state_dict.py."""

from listing import AVERAGED, CHECKPOINT, ERRORS, ONE_STEP, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/state_dict.py",
        f"{OPTIMIZER} {ERRORS} tests/optimizers/test_averaged.py",
        Mutant(
            "state of another dtype",
            "(saved.shape, saved.dtype) != (here.shape, here.dtype)",
            "saved.shape != here.shape",
            "moments are rounded without a word",
        ),
        Mutant(
            "members in another order",
            "sorted(theirs) != sorted(members)",
            "[*theirs] != [*members]",
            "a dict of another order cannot be loaded",
            CHECKPOINT,
        ),
        Mutant(
            "the average begins anew",
            "return changes, t, None, None, None, self._here",
            "return changes, 0, None, None, None, self._here",
            "its bias is corrected as in the first step",
            "tests/optimizers/test_averaged.py",
        ),
    ),
    *in_file(
        "python/gradstep/optimizers/state_dict.py",
        AVERAGED,
        Mutant(
            "old states lose their options",
            'if "options" in state else None',
            'if "options" in state else dict(DEFAULTS)',
            "a run that clips goes on without",
            ONE_STEP,
        ),
        Mutant(
            "averages of all groups from the start",
            'checks.count("start", start),\n                {},',
            "0,\n                {},",
            "loaded averages are corrected wrongly",
        ),
    ),
]
