// Which instruction-set level is in use, by name. What a processor runs: levels.hpp.
#pragma once

#include <string>
#include <vector>

#include "engine/kernels.hpp"

namespace gradstep {

// The table in use. A step reads it once, so switching never mixes two levels within a step.
const KernelTable& active_table();

// The levels that were built and that this processor and its operating system run, lowest first.
std::vector<std::string> available_isas();

// Switches to a level by name. Throws std::invalid_argument, naming the available ones, where the
// level is unknown or cannot run here.
void use_isa(const std::string& name);

// At import: the level that GRADSTEP_ISA names, otherwise the highest available.
void choose_isa();

}  // namespace gradstep
