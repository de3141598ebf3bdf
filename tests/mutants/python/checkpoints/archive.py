"""Ways to break python/gradstep/checkpoints/archive.py."""

from listing import ARCHIVE, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/archive.py",
        ARCHIVE,
        Mutant(
            "checkpoints: local headers are not looked at",
            "            or data[at:begin].tobytes() != header\n",
            "",
            "two readers see two names",
        ),
        Mutant(
            "checkpoints: entries are not looked at",
            "        if data[at : at + len(entry)].tobytes() != entry:",
            "        if False:",
            "deflated bytes are taken for numbers",
        ),
        Mutant(
            "checkpoints: members may stand twice",
            "    if at != start or len(spans) != len(members):",
            "    if at != start:",
            "which of the two is meant is chance",
        ),
        Mutant(
            "checkpoints: bytes that no member has",
            "    if at != start or len(spans) != len(members):",
            "    if len(spans) != len(members):",
            "other readers see something else",
        ),
        Mutant(
            "checkpoints: any header of an array",
            " or header != _npy_header(dtype, fortran, shape)",
            "",
            "other readers see another array",
        ),
        Mutant(
            "checkpoints: a Fortran array in the order of C",
            '        order="F" if fortran else "C",\n    )\n    for',
            '        order="C",\n    )\n    for',
            "weights are shuffled",
        ),
        Mutant(
            "checkpoints: arrays are not aligned",
            "padding = -end % _ALIGNMENT",
            "padding = -end % 2",
            "slow or refused where alignment is needed",
        ),
        Mutant(
            "checkpoints: the CRC of a chunk",
            "crc = zlib.crc32(chunk, crc)",
            "crc = zlib.crc32(chunk)",
            "NumPy cannot read it",
        ),
        Mutant(
            "checkpoints: a second copy in memory",
            "_CHUNK = 1 << 20",
            "_CHUNK = 1 << 29",
            "saving needs as much memory again",
        ),
    ),
]
