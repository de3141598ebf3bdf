"""Ways to break python/gradstep/checkpoints/atomic_file.py."""

from listing import FILES, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/atomic_file.py",
        FILES,
        Mutant(
            "checkpoints: no flushing of the file",
            "        os.fsync(descriptor)\n",
            "        pass\n",
            "a power cut leaves an empty file",
        ),
        Mutant(
            "checkpoints: no flushing of the folder",
            "            _flush_folder(folder, path)\n",
            "            pass\n",
            "a power cut loses the renaming",
        ),
        Mutant(
            "checkpoints: renamed before it is flushed",
            "    write(write_all)\n",
            "    write(write_all)\n    os.replace(file.name, path)\n    os.link(path, file.name)\n",
            "a power cut leaves half a file",
        ),
        Mutant(
            "checkpoints: what was left is not emptied",
            "os.ftruncate(file.fileno(), 0)",
            "os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size)",
            "the end of an older file behind the new one",
        ),
        Mutant(
            "checkpoints: short writes end",
            "            while view:\n",
            "            if view:\n",
            "a file is cut short without an error",
        ),
        Mutant(
            "checkpoints: only errors are tidied up after",
            "            except BaseException:\n",
            "            except Exception:\n",
            "Ctrl-C leaves litter",
        ),
        Mutant(
            "checkpoints: what is another's is removed",
            "        elif _leads_to(temporary, file):",
            "        elif True:",
            "a save in another process fails",
        ),
        Mutant(
            "checkpoints: no lock",
            "LOCK_EX | fcntl.LOCK_NB",
            "LOCK_SH | fcntl.LOCK_NB",
            "two saves at once mix their bytes",
        ),
        Mutant(
            "checkpoints: a lock that is waited for",
            "fcntl.LOCK_EX | fcntl.LOCK_NB",
            "fcntl.LOCK_EX",
            "a save within a save never ends",
        ),
        Mutant(
            "checkpoints: the file under the lock is not looked at again",
            "                if _leads_to(temporary, file):\n",
            "                if True:\n",
            "the finished file of another process is emptied",
        ),
        Mutant(
            "checkpoints: links are followed at the temporary file",
            '("O_NOFOLLOW", "O_CLOEXEC"',
            '("O_CLOEXEC"',
            "somebody else's file is overwritten",
        ),
        Mutant(
            "checkpoints: descriptors are inherited",
            '"O_CLOEXEC", "O_BINARY"',
            '"O_BINARY"',
            "programs that are started hold the lock",
        ),
        Mutant(
            "checkpoints: links are replaced",
            "os.path.realpath(_checked",
            "os.path.abspath(_checked",
            "a link to the latest file becomes a file",
        ),
        Mutant(
            "checkpoints: forked children hold the lock",
            "after_in_child=lambda: [file.close() for file in [*_open]]",
            "after_in_child=lambda: None",
            "saves are refused for as long as a worker lives",
        ),
        Mutant(
            "checkpoints: no path in errors of open files",
            "    try:\n        yield\n    except OSError as error:\n        raise OSError(error.errno, error.strerror, path) from error",
            "    try:\n        yield\n    except OSError:\n        raise",
            "nobody knows which disk is full",
        ),
        Mutant(
            "checkpoints: a pipe is opened",
            '    if not stat.S_ISREG(found.st_mode):\n        raise OSError(errno.EINVAL, "not',
            '    if False:\n        raise OSError(errno.EINVAL, "not',
            "reading hangs",
        ),
        Mutant(
            "checkpoints: a folder is refused late",
            "    if found is not None:\n        _require_regular(path, found)\n    return path",
            "    return path",
            "all is written before it is refused",
        ),
        Mutant(
            "checkpoints: any folder may fail to be flushed",
            "        if error.errno in _NO_FLUSHING:",
            "        if True:",
            "a disk that fails goes unnoticed",
        ),
    ),
]
