// The choice of a level; see dispatch.hpp. Compiled for the baseline; calls no kernel.
#include "engine/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "engine/levels.hpp"

namespace gradstep {
namespace {

std::atomic<const KernelTable*> active{&baseline::table};

}  // namespace

const KernelTable& active_table() { return *active.load(std::memory_order_acquire); }

std::vector<std::string> available_isas() {
  const Levels levels = available_levels();
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(levels.count));
  for (int i = 0; i < levels.count; ++i) names.emplace_back(levels.tables[i]->isa);
  return names;
}

void use_isa(const std::string& name) {
  const Levels levels = available_levels();
  std::string known;
  for (int i = 0; i < levels.count; ++i) {
    const KernelTable* table = levels.tables[i];
    if (name == table->isa) {
      active.store(table, std::memory_order_release);
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument(
      "instruction-set level '" + name +
      "' is unknown or not supported by this processor; available: " + known);
}

void choose_isa() {
  // Once, while the module is imported.
  const char* wanted = std::getenv("GRADSTEP_ISA");  // NOLINT(concurrency-mt-unsafe)
  use_isa(wanted && *wanted ? wanted : available_isas().back());
}

}  // namespace gradstep
