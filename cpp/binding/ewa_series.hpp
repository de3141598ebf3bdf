// The exponentially weighted average of a whole series: its checks, its corrections and the pages
// it is written to. The loop is the level's (kernels.cpp), the formula the rule's (rules.hpp).
#pragma once

#include <pybind11/numpy.h>

namespace gradstep {

// averages[i] = the average of values[0..i] along axis 0, divided by 1 − βⁱ⁺¹ where
// `bias_correction`. Both C-contiguous, of one dtype and shape, at least one-dimensional.
void ewa_series(const pybind11::array& values, const pybind11::array& averages,
                pybind11::handle beta, bool bias_correction);

}  // namespace gradstep
