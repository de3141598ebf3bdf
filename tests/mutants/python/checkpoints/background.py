"""Ways to break python/gradstep/checkpoints/background.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/background.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: the thread is a daemon",
            "daemon=False",
            "daemon=True",
            "the last checkpoint is lost at the end",
        ),
        Mutant(
            "checkpoints: a second save does not wait",
            "            _last_save._finish()",
            "            pass",
            "two copies in memory, and the older may win",
        ),
        Mutant(
            "checkpoints: the error of a save is not raised",
            "        if self._error is not None and not self._raised:",
            "        if False:",
            "a run without checkpoints",
        ),
        Mutant(
            "checkpoints: the error of a save is raised twice",
            "            self._raised = True\n            raise self._error\n        return ended",
            "            raise self._error\n        return ended",
            "a later save is refused for an old error",
        ),
        Mutant(
            "checkpoints: a forked child waits",
            "        if os.getpid() != self._process:\n            raise",
            "        if False:\n            raise",
            "a child hangs",
        ),
        Mutant(
            "checkpoints: errors hold the copies",
            "            traceback.clear_frames(error.__traceback__)\n",
            "",
            "memory of a failed save is never given back",
        ),
        Mutant(
            "checkpoints: the folder of the moment",
            'os.path.abspath(atomic_file.text(path)) if atomic_file.text(path) else ""',
            "atomic_file.text(path)",
            "the file lands elsewhere",
        ),
    ),
]
