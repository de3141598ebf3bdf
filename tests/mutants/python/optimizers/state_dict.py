"""Ways to break python/gradstep/optimizers/state_dict.py."""

from listing import AVERAGED, CHECKPOINT, ERRORS, GROUPS, ONE_STEP, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/optimizers/state_dict.py",
        f"{OPTIMIZER} {ERRORS} tests/optimizers/test_averaged.py",
        Mutant(
            "another optimizer's state",
            "or theirs != self._optimizer:",
            "or False:",
            "Adam loads AdamW's state",
        ),
        Mutant(
            "any state is loaded",
            "if self._strict and (self._missing or self._unexpected):",
            "if False:",
            "half of a state is loaded",
        ),
        Mutant(
            "state of another dtype",
            "(saved.shape, saved.dtype) != (here.shape, here.dtype)",
            "saved.shape != here.shape",
            "moments are rounded without a word",
        ),
        Mutant(
            "half of a parameter's state",
            "None if problems else [",
            "None if not saved else [",
            "with strict=False, an error instead of what fits",
            CHECKPOINT,
        ),
        Mutant(
            "other members, strictly",
            "if not named or (self._strict and sorted(theirs) != sorted(members)):",
            "if not named:",
            "a group gets another one's rate",
            GROUPS,
        ),
        Mutant(
            "members in another order",
            "sorted(theirs) != sorted(members)",
            "[*theirs] != [*members]",
            "a dict of another order cannot be loaded",
            CHECKPOINT,
        ),
        Mutant(
            "other members, not strictly",
            "if not named or (self._strict and sorted(theirs) != sorted(members)):",
            "if not named or sorted(theirs) != sorted(members):",
            "nothing of an optimizer is loaded where a parameter is new",
            CHECKPOINT,
        ),
        Mutant(
            "options are forgotten",
            'options = self._options(state["options"]) if "options" in state else None',
            "options = None",
            "a resumed run clips no longer",
            "tests/core/test_one_step.py tests/optimizers/test_averaged.py",
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
        Mutant(
            "states without averages",
            "        if given is None:\n            self._missing.append(",
            "        if given is None:\n            [].append(",
            "averages of another run go on",
        ),
        Mutant(
            "states with averages",
            "        if self._averages is None:\n            self._unexpected.append(",
            "        if self._averages is None:\n            [].append(",
            "averages are dropped without a word",
        ),
    ),
]
