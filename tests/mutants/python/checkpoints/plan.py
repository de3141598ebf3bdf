"""Ways to break python/gradstep/checkpoints/plan.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoints/plan.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: shapes are not compared",
            "(saved.shape, saved.dtype) != (target.shape, target.dtype)",
            "saved.dtype != target.dtype",
            "rows are repeated to fill an array",
        ),
        Mutant(
            "checkpoints: dtypes are not compared",
            "(saved.shape, saved.dtype) != (target.shape, target.dtype)",
            "saved.shape != target.shape",
            "weights are rounded",
        ),
        Mutant(
            "checkpoints: read-only arrays",
            "    if not target.flags.writeable:",
            "    if False:",
            "an error in the middle of a load",
        ),
        Mutant(
            "checkpoints: own objects are not put back",
            "                for restore in reversed(undo):\n",
            "                for restore in ():\n",
            "half of a run is loaded",
        ),
        Mutant(
            "checkpoints: an object that refused is not put back",
            "                    undo[-1]()  # it may",
            "                    pass  # it may",
            "half of an object is loaded",
        ),
        Mutant(
            "checkpoints: own objects keep what they gave",
            "copy.deepcopy(part.state_dict())",
            "part.state_dict()",
            "nothing is put back",
        ),
        Mutant(
            "checkpoints: only errors are put back after",
            "        except BaseException:\n            if not done[0]:",
            "        except Exception:\n            if not done[0]:",
            "Ctrl-C leaves half a run",
        ),
        Mutant(
            "checkpoints: kinds are not compared",
            '        elif here == there == "arrays":',
            '        elif here == "arrays":',
            "an error that says nothing",
        ),
        Mutant(
            "checkpoints: what an object took is returned as well",
            " and name not in taken",
            "",
            "two owners of one state",
        ),
        Mutant(
            "checkpoints: tied arrays",
            "    if _extent(target) != _extent(first):",
            "    if True:",
            "what was saved can never be loaded",
        ),
        Mutant(
            "checkpoints: two values for one memory",
            "    if all(one.tobytes() == other.tobytes() for one, other in pieces):",
            "    if pieces:",
            "the later of two arrays wins, without a word",
        ),
        Mutant(
            "checkpoints: tied arrays in another order",
            "key=lambda axis: -abs(like.strides[axis])",
            "key=lambda axis: axis",
            "W and W.T cannot be loaded",
        ),
        Mutant(
            "checkpoints: what is not asked for",
            "                if name not in parts\n",
            "                if False\n",
            "strict=False hides what was left",
        ),
        Mutant(
            "checkpoints: what the file has besides",
            "            if key not in targets\n",
            "            if False\n",
            "a layer is forgotten",
        ),
    ),
    *in_file(
        "python/gradstep/checkpoints/plan.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: anything stands for a plain value",
            "                if not isinstance(leaf, PLAIN)\n",
            "                if False\n",
            "a generator that is given is left as it is, without a word",
        ),
    ),
]
