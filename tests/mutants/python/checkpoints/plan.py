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
            "checkpoints: own objects are not put back",
            "                for restore in reversed(undo):\n",
            "                for restore in ():\n",
            "half of a run is loaded",
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
    ),
]
