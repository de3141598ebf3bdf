"""Ways to break cpp/binding/gradients.cpp."""

from listing import ERRORS, OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/gradients.cpp",
        f"{OPTIMIZER} {ERRORS}",
        Mutant(
            "gradients too many",
            "if (PyDict_GET_SIZE(dict) != static_cast<py::ssize_t>(keys.size())) return false;",
            "",
            "a misspelt key goes unseen",
            ERRORS,
        ),
    ),
]
