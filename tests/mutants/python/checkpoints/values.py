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
            "checkpoints: no end of digits",
            "    if len(digits) > _DIGITS + 1:",
            "    if len(digits) > 10**9:",
            "a forged number takes minutes",
        ),
        Mutant(
            "checkpoints: an array may be named twice",
            "self.left.pop(content)",
            "self.left[content]",
            "two parameters share one memory",
        ),
        Mutant(
            "checkpoints: names lead elsewhere",
            '    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted',
            "    return quoted",
            "unzip writes outside of its folder",
        ),
    ),
]
