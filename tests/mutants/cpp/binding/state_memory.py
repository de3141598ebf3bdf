"""Ways to break cpp/binding/state_memory.cpp."""

from listing import OPTIMIZER, Mutant, in_file

MUTANTS = [
    *in_file(
        "cpp/binding/state_memory.cpp",
        OPTIMIZER,
        Mutant(
            "state begins anywhere",
            'numpy.attr("zeros")(kinds',
            'numpy.attr("empty")(kinds',
            "the first steps are random",
        ),
        Mutant(
            "state lies otherwise than its parameter",
            "address % like.itemsize() == 0 ? address % cache_line : 0",
            "address % like.itemsize() == 0 ? 0 : 0",
            "slower steps",
        ),
    ),
]
