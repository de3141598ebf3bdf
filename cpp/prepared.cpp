// Doing what is prepared; see prepared.hpp.
#include "prepared.hpp"

#include "threads.hpp"

namespace gradstep {

void commit(const std::vector<Prepared*>& prepared, const std::vector<Swap>& swaps) {
  std::vector<py::object> before;  // also keeps what goes until all is done
  for (const auto& [object, dict] : swaps) before.push_back(object.attr("__dict__"));
  for (std::size_t i = 0; i < swaps.size(); ++i) {
    try {
      swaps[i].first.attr("__dict__") = swaps[i].second;
    } catch (...) {
      for (std::size_t j = 0; j < i; ++j) swaps[j].first.attr("__dict__") = before[j];
      throw;
    }
  }
  const WholeForForks whole;
  for (Prepared* one : prepared) one->commit();
}

}  // namespace gradstep
