"""Ways to break python/gradstep/training/accumulation.py."""

from listing import Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/training/accumulation.py",
        "tests/training/test_accumulation.py",
        Mutant(
            "sums: a step taken twice",
            "if self._adder.given(0) == self._done():",
            "if True:",
            "after an interruption a batch counts twice",
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
    ),
]
