"""Ways to break python/gradstep/checkpoints/values.py."""

from listing import ARCHIVE, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/values.py",
        ARCHIVE,
        Mutant(
            "checkpoints: tuples become lists",
            'return {"$tuple": self._list(value, path)}',
            "return self._list(value, path)",
            "a state is refused, or differs",
        ),
        Mutant(
            "checkpoints: keys become text",
            "all(map(_is_name, mapping))",
            "True",
            "keys come back as other keys",
        ),
        Mutant(
            "checkpoints: keys that look like marks",
            ' and key[:1] != "$"',
            "",
            "a value comes back as another",
        ),
        Mutant(
            "checkpoints: surrogates are joined",
            "        if _is_text(value):\n            return value\n",
            "        return value\n",
            "text comes back as other text",
        ),
        Mutant(
            "checkpoints: no end of depth",
            "        if len(path) > _DEPTH:",
            "        if len(path) > 10**9:",
            "a list that holds itself ends in a RecursionError",
        ),
        Mutant(
            "checkpoints: no end of depth on the way in",
            "        if depth > _DEPTH:",
            "        if depth > 10**9:",
            "a forged file ends in a RecursionError",
        ),
        Mutant(
            "checkpoints: no end of values",
            "        if self._repeats > _REPEATS:",
            "        if False:",
            "saving never ends",
        ),
        Mutant(
            "checkpoints: no end of digits",
            "    if len(digits) > _DIGITS + 1:",
            "    if len(digits) > 10**9:",
            "a forged number takes minutes",
        ),
        Mutant(
            "checkpoints: infinity out of digits",
            "    if not math.isfinite(number):",
            "    if False:",
            "forged numbers that save cannot write",
        ),
        Mutant(
            "checkpoints: keys may stand twice",
            '    if len(found) != len(pairs):\n        raise ValueError("a key stands twice")',
            '    if False:\n        raise ValueError("a key stands twice")',
            "which of the two is meant is chance",
        ),
        Mutant(
            "checkpoints: keys of a dict may stand twice",
            '        if len(found) != len(pairs):\n            raise ValueError("a key stands twice in',
            '        if False:\n            raise ValueError("a key stands twice in',
            "which of the two is meant is chance",
        ),
        Mutant(
            "checkpoints: an array may be named twice",
            "self.left.pop(content)",
            "self.left[content]",
            "two parameters share one memory",
        ),
        Mutant(
            "checkpoints: marks beside keys",
            "            if len(value) == 1:\n",
            "            if True:\n",
            "values are dropped",
        ),
        Mutant(
            "checkpoints: masks are dropped",
            "        if isinstance(array, np.ma.MaskedArray):",
            "        if False:",
            "masked numbers come back as numbers",
        ),
        Mutant(
            "checkpoints: names that stand twice",
            "        while name in self.arrays:",
            "        while False:",
            "one array comes back as another",
        ),
        Mutant(
            "checkpoints: names lead elsewhere",
            '    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted',
            "    return quoted",
            "unzip writes outside of its folder",
        ),
        Mutant(
            "checkpoints: halves of surrogate pairs on the way in",
            "    if not _is_text(value):\n        raise",
            "    if False:\n        raise",
            "text that save would have written otherwise",
        ),
        Mutant(
            "checkpoints: scalars of any length",
            "    if len(data) != np.dtype(dtype).itemsize:",
            "    if len(data) < np.dtype(dtype).itemsize:",
            "bytes that belong to nothing",
        ),
    ),
]
