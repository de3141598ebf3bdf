"""Ways to break cpp/binding/containers.cpp."""

from listing import REBINDING, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/containers.cpp",
        REBINDING,
        Mutant(
            "rebound: same memory is not enough",
            "leaf.is(parameter.w) || is_same_memory(leaf, parameter.w, parameter.name)",
            "leaf.is(parameter.w)",
            "params['W'] = params['W'][...] is refused",
            REBINDING,
        ),
        Mutant(
            "rebound: other containers",
            "return found.is(child);",
            "return true;",
            "a list of parameters that never learns",
        ),
        Mutant(
            "rebound: a look makes what is gone",
            "PyDict_Check(container) ? PySequence_Contains(container, key.ptr()) : 1;",
            "1;",
            "a defaultdict has new parameters, which no optimizer steps",
        ),
        Mutant(
            "rebound: containers are held for ever",
            "Py_VISIT(entry.container.ptr());",
            "",
            "a model that holds its optimizer is never freed",
        ),
    ),
]
