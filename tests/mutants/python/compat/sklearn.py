"""Ways to break python/gradstep/compat/sklearn.py."""

from listing import SKLEARN, Mutant, in_file

MUTANTS = [
    *in_file(
        "python/gradstep/compat/sklearn.py",
        SKLEARN,
        Mutant(
            "sklearn: not mended after an exception",
            "        _enter(key)\n        yield\n    finally:",
            "        _enter(key)\n        yield\n    except GeneratorExit:",
            "scikit-learn stays changed",
        ),
        Mutant(
            "sklearn: the inner with ends it",
            "        if _inside <= {key}:",
            "        if True:",
            "what is left of the outer with is scikit-learn's own",
        ),
        Mutant(
            "sklearn: what another has taken back is put there again",
            "                if getattr(place, name) is ours:\n",
            "                if True:\n",
            "a class of somebody else's comes back",
        ),
        Mutant(
            "sklearn: interrupted on the way out",
            "        except BaseException:  # interrupted on the way out\n            _leave(key)\n            raise\n",
            "        except ZeroDivisionError:\n            raise\n",
            "scikit-learn stays changed",
        ),
        Mutant(
            "sklearn: changed before it is noted",
            "                _changed.append((place, name, getattr(place, name), ours))\n                setattr(place, name, ours)\n",
            "                before = getattr(place, name)\n                setattr(place, name, ours)\n                _changed.append((place, name, before, ours))\n",
            "an interruption between the two leaves scikit-learn changed",
        ),
        Mutant(
            "sklearn: moments are not taken over",
            "            for i, arrays in enumerate(bound.state.values()):\n",
            "            for i, arrays in enumerate(()):\n",
            "training begins anew",
        ),
        Mutant(
            "sklearn: any version that begins alike",
            '".".join(numbers[:2]) in TESTED',
            "version.startswith(TESTED)",
            "a version nobody tried",
        ),
        Mutant(
            "sklearn: state is lost in copies",
            '        state["_saved"] = {',
            '        state["_lost"] = {',
            "a copy trains from zero moments",
        ),
        Mutant(
            "sklearn: bound to old arrays",
            "            or any(new is not old for new, old in zip(params, self._params, strict=True))\n",
            "",
            "a copy trains the original",
        ),
        Mutant(
            "sklearn: gradients are narrowed",
            "            or any(g.dtype.itemsize > w.itemsize for g, w in zip(grads, self._worked, strict=True))\n",
            "            or False\n",
            "float64 targets: the curve parts from scikit-learn's",
        ),
        Mutant(
            "sklearn: updated in the parameter's type",
            "types = [np.result_type(np.float32, *arrays) for arrays in of_each]",
            "types = [np.result_type(np.float32, arrays[0]) for arrays in of_each]",
            "float64 targets: the curve parts from scikit-learn's",
        ),
    ),
]
