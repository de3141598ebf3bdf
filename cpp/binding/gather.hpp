// Chosen examples of arrays, copied into dense batches, and all examples of an array, copied so
// that each lies in one piece. Of any dtype whose values are plain bytes. Not here: which examples
// are chosen, and which arrays are worth a copy (python/gradstep/batches).
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <vector>

namespace gradstep {

// In all of these the examples are counted by axis 0. TypeError where the values are no plain
// bytes: references would have to be counted.

// The bytes of an example that lie in one piece: all of them, or those of its innermost axes.
std::int64_t bytes_in_one_piece(const pybind11::array& array);

// For each array a new C-contiguous one with its examples order[start], …, order[stop − 1].
// `order` may hold more: the first examples after `stop` are fetched ahead. IndexError where one
// does not exist; nothing was read then.
std::vector<pybind11::array> gather(
    const std::vector<pybind11::array>& arrays,
    const pybind11::array_t<std::int64_t, pybind11::array::c_style>& order, std::int64_t start,
    std::int64_t stop);

// A C-contiguous copy. For arrays that count the examples by their innermost axis, of which NumPy's
// own copy walks one at a time through all of the memory.
pybind11::array copy_in_rows(const pybind11::array& array);

}  // namespace gradstep
