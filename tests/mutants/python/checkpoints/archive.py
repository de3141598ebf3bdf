"""Ways to break python/gradstep/checkpoints/archive.py."""

from listing import ARCHIVE, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/archive.py",
        ARCHIVE,
        Mutant(
            "checkpoints: the checksum is not compared",
            "    if _digits(sha256) != digest:",
            "    if False:",
            "damaged weights are loaded",
        ),
        Mutant(
            "checkpoints: the checksum leaves the comment out",
            "        self._digest.update(data)\n",
            "        self._digest.update(data[:1000])\n",
            "no file can be read",
        ),
        Mutant(
            "checkpoints: any version is read",
            "    if int(version) != VERSION:",
            "    if False:",
            "a newer format is misread",
        ),
        Mutant(
            "checkpoints: members may lie anywhere",
            "            member.offset != at\n            or data[at",
            "            data[at",
            "members that overlap",
        ),
        Mutant(
            "checkpoints: local headers are not looked at",
            "            or data[at:begin].tobytes() != header\n",
            "",
            "two readers see two names",
        ),
        Mutant(
            "checkpoints: descriptors are not looked at",
            "            or data[end : end + len(descriptor)].tobytes() != descriptor\n",
            "",
            "NumPy refuses what is read here",
        ),
        Mutant(
            "checkpoints: entries are not looked at",
            "        if data[at : at + len(entry)].tobytes() != entry:",
            "        if False:",
            "deflated bytes are taken for numbers",
        ),
        Mutant(
            "checkpoints: the end is not looked at",
            "    if data[stop:-_DIGEST].tobytes() != _ends(len(members), size, start):",
            "    if False:",
            "other readers see fewer members",
        ),
        Mutant(
            "checkpoints: the directory may be anywhere",
            "    if start + size != stop:",
            "    if False:",
            "a directory behind the end",
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
            "checkpoints: arrays of any size",
            "    if math.prod(shape) * np.dtype(dtype).itemsize != end - begin:",
            "    if math.prod(shape) * np.dtype(dtype).itemsize > end - begin:",
            "bytes that belong to nothing",
        ),
        Mutant(
            "checkpoints: any header of an array",
            " or header != _npy_header(dtype, fortran, shape)",
            "",
            "other readers see another array",
        ),
        Mutant(
            "checkpoints: truth values of any byte",
            '    if dtype == "|b1" and',
            '    if dtype == "|b2" and',
            "truth values that are neither",
        ),
        Mutant(
            "checkpoints: an array that belongs to no part",
            "    if decoder.left:\n",
            "    if False:\n",
            "bytes nobody looks at",
        ),
        Mutant(
            "checkpoints: plain parts with arrays",
            '    if kind == "plain" and len(decoder.left) < before:',
            "    if False:",
            "arrays where plain values are meant",
        ),
        Mutant(
            "checkpoints: kinds are not looked at",
            " or not part.keys() <= set(KINDS)",
            "",
            "parts of an unknown kind",
        ),
        Mutant(
            "checkpoints: the order of an array is lost",
            "fortran = array.flags.f_contiguous and not array.flags.c_contiguous",
            "fortran = False",
            "arrays come back in another order",
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
            "checkpoints: stored arrays are called deflated",
            "_STORED, _MIDNIGHT, _DAY = 0, 0,",
            "_STORED, _MIDNIGHT, _DAY = 8, 0,",
            "NumPy cannot read it",
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
