"""Ways to break python/gradstep/checkpoint.py."""

from listing import CHECKPOINT, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/checkpoint.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: filled before all is checked",
            "    if strict and plan.problems:",
            "    if strict and plan.problems and not plan.commit():",
            "half a model is loaded",
        ),
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
            "checkpoints: a subclass loads in its base's way",
            '        if "state_dict" in vars(kind) or "load_state_dict" in vars(kind):\n            return False\n',
            "",
            "a subclass forgets its own state",
        ),
        Mutant(
            "checkpoints: kinds are not compared",
            '        elif here == there == "arrays":',
            '        elif here == "arrays":',
            "an error that says nothing",
        ),
        Mutant(
            "checkpoints: anything stands for a plain value",
            "                if not isinstance(leaf, _PLAIN)\n",
            "                if False\n",
            "a generator that is given is left as it is, without a word",
        ),
        Mutant(
            "checkpoints: structures are flattened",
            '    return Part("tree", whole)',
            '    return Part("arrays", arrays)',
            "a tree comes back as a dict of joined names",
        ),
        Mutant(
            "checkpoints: windows are returned",
            'return value.copy(order="K")',
            "return value",
            "one small array keeps all of a file in memory",
        ),
        Mutant(
            "checkpoints: what an object took is returned as well",
            " and name not in taken",
            "",
            "two owners of one state",
        ),
        Mutant(
            "checkpoints: tied arrays",
            "    if _place(target) != _place(first):",
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
            "checkpoints: strict is a part",
            'name == "strict" or ',
            "",
            "a part that cannot be loaded",
        ),
        Mutant(
            "checkpoints: what is not asked for",
            "                if name not in parts\n",
            "                if False\n",
            "strict=False hides what was left",
        ),
        Mutant(
            "checkpoints: live arrays in the background",
            "    live = [name for name, part in parts.items() if not _prepares(part)]",
            "    live = []",
            "weights of later steps are saved",
        ),
    ),
    *in_file(
        "python/gradstep/checkpoint.py",
        CHECKPOINT,
        Mutant(
            "checkpoints: what the file has besides",
            "            if key not in targets\n",
            "            if False\n",
            "a layer is forgotten",
        ),
    ),
]
