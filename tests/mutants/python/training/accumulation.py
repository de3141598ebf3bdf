"""Ways to break python/gradstep/training/accumulation.py."""

from listing import Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/training/accumulation.py",
        "tests/training/test_accumulation.py",
        Mutant("sums: not the mean", "1.0 / count)", "1.0)", "steps several times too long"),
        Mutant(
            "sums: one too late",
            "if not (complete or count == self._every):",
            "if not (complete or count > self._every):",
            "batches of one more",
        ),
        Mutant(
            "sums: a step taken twice",
            "if self._adder.given(0) == self._done():",
            "if True:",
            "after an interruption a batch counts twice",
        ),
        Mutant(
            "sums: not begun anew",
            "self._replacement(0, None, zeros)",
            "self._replacement(0, None, self._sums)",
            "old gradients in every batch",
        ),
        Mutant(
            "sums: interrupted batches are not finished",
            "        self._finish()  # if an interruption came between adding and stepping\n",
            "",
            "a batch of one micro-batch too many",
        ),
        Mutant(
            "sums: a flush that fails goes on later",
            "            else:\n                _core.commit([self._replacement(count, None, None)])\n",
            "",
            "what comes next is no more of the batch",
        ),
        Mutant(
            "sums: flush says that it stepped",
            "return self._optimizer.t > t",
            "return True",
            "a refused step, and none at all, look like one that was taken",
        ),
        Mutant(
            "sums: a loaded count is dropped",
            "_replacement(count, None, sums)",
            "_replacement(0, None, sums)",
            "batches are cut elsewhere",
        ),
    ),
]
