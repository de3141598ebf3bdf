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
            "rebound: dicts of as many entries",
            "nullptr, &value) || child.ptr() != value)",
            "nullptr, &value))",
            "a model that never learns",
        ),
        Mutant(
            "rebound: lists of as many entries",
            "if (child.ptr() != PyList_GET_ITEM(container, position++)) return false;",
            "",
            "a model that never learns",
        ),
        Mutant(
            "rebound: other containers",
            "return found.is(child);",
            "return true;",
            "a list of parameters that never learns",
        ),
        Mutant(
            "rebound: what is removed",
            "PyErr_Clear();\n  return false;",
            "PyErr_Clear();\n  return true;",
            "what was removed is stepped on",
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
