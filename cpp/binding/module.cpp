// Python bindings, without logic.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>

#include "binding/averaged_block.hpp"
#include "binding/ewa_series.hpp"
#include "binding/gather.hpp"
#include "binding/hyperparameters.hpp"
#include "binding/overlap.hpp"
#include "binding/prepared_update.hpp"
#include "binding/staged_step.hpp"
#include "binding/stepper.hpp"
#include "engine/dispatch.hpp"
#include "engine/floating_point.hpp"
#include "engine/pool.hpp"
#include "engine/powers.hpp"
#include "engine/threads.hpp"

namespace py = pybind11;
using namespace gradstep;

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The compiled core of gradstep; its interface may change in any release.";
  try {
    choose_isa();
  } catch (const std::invalid_argument& error) {
    throw py::import_error(std::string("GRADSTEP_ISA: ") + error.what());
  }
  watch_forks();

  m.def("isas", &available_isas);
  m.def("isa", [] { return active_table().isa; });
  m.def("use_isa", &use_isa, py::arg("name"));

  m.def("has_openmp", &has_openmp);
  m.def("set_num_threads", &set_num_threads, py::arg("threads"));
  m.def("get_num_threads", &get_num_threads);
  m.def(
      "set_work_per_thread",
      [](std::int64_t asleep, std::int64_t awake) { set_work_per_thread({asleep, awake}); },
      py::arg("asleep"), py::arg("awake"));
  m.def("get_work_per_thread", [] {
    const WorkPerThread work = get_work_per_thread();
    return py::make_tuple(work.asleep, work.awake);
  });
  m.def("team_size", [](std::int64_t work) { return Team(work).size(); }, py::arg("work"));
  m.def("set_rendezvous", &set_rendezvous, py::arg("on"));
  m.def(
      "share_begin",
      [](std::int64_t total, int shares, int share) {
        if (total < 0 || share < 0 || share > shares || shares < 1) {
          throw py::value_error("share must be from 0 to shares, with shares >= 1 and total >= 0");
        }
        return share_begin(total, shares, share);
      },
      py::arg("total"), py::arg("shares"), py::arg("share"));

  m.def(
      "one_minus_power",
      [](double beta, std::int64_t t) {
        require_count("t", t);
        const DefaultFloatingPointMode mode;
        return one_minus_power(beta, t);
      },
      py::arg("beta"), py::arg("t"));
  m.def("ewa_series", &ewa_series, py::arg("values"), py::arg("averages"), py::arg("beta"),
        py::arg("bias_correction"));

  m.def("bytes_in_one_piece", &bytes_in_one_piece, py::arg("array"));
  m.def("gather", &gather, py::arg("arrays"), py::arg("order").noconvert(), py::arg("start"),
        py::arg("stop"));
  m.def("copy_in_rows", &copy_in_rows, py::arg("array"));

  m.def(
      "as_array",
      [](py::handle object, const std::string& name) {
        return as_array(object, {Label::plain, &name});
      },
      py::arg("object"), py::arg("name"));
  m.def("overlapping", &overlapping, py::arg("arrays"));
  m.def(
      "repeats_elements",
      [](const py::array& array) { return repeats_elements(memory_of(array, array.itemsize())); },
      py::arg("array").noconvert());
  m.def("state_names", &state_names, py::arg("rule"));
  m.def("is_number", &is_number, py::arg("value"));

  const auto checked_allocation = [](PyHeapTypeObject* heap_type) {
    heap_type->ht_type.tp_alloc = [](PyTypeObject* self, py::ssize_t count) {
      PyObject* made = PyType_GenericAlloc(self, count);
      if (!made) throw py::error_already_set();  // pybind11 does not look
      return made;
    };
  };
  const auto garbage_collected = [checked_allocation](PyHeapTypeObject* heap_type) {
    checked_allocation(heap_type);
    PyTypeObject* type = &heap_type->ht_type;
    type->tp_flags |= Py_TPFLAGS_HAVE_GC;
    type->tp_traverse = [](PyObject* self, visitproc visit, void* arg) -> int {
      Py_VISIT(Py_TYPE(self));
      if (!py::detail::is_holder_constructed(self)) return 0;
      return py::cast<const Stepper&>(py::handle(self)).traverse(visit, arg);
    };
    type->tp_clear = [](PyObject* self) -> int {
      if (py::detail::is_holder_constructed(self)) {
        py::cast<Stepper&>(py::handle(self)).clear_references();
      }
      return 0;
    };
  };
  [[maybe_unused]] const py::class_<PreparedUpdate> update(
      m, "PreparedUpdate", py::custom_type_setup(checked_allocation));
  py::class_<AveragedBlock>(m, "AveragedBlock", py::custom_type_setup(checked_allocation))
      .def("put_in", &AveragedBlock::put_in)
      .def("put_back", &AveragedBlock::put_back);
  py::class_<StagedStep>(m, "StagedStep", py::custom_type_setup(checked_allocation))
      .def_property_readonly("gradients", &StagedStep::gradients)
      .def_property_readonly("hyperparameters", &StagedStep::hyperparameters)
      .def("measure", &StagedStep::measure)
      .def("begin", &StagedStep::begin, py::arg("norm"), py::arg("not_finite"))
      .def("run", &StagedStep::run, py::arg("first"), py::arg("last"))
      .def("finish", &StagedStep::finish)
      .def("close", &StagedStep::close);
  m.def("commit", &PreparedUpdate::commit_all, py::arg("updates"));
  py::class_<Addition>(m, "Addition", py::custom_type_setup(checked_allocation))
      .def_readonly("states", &Addition::states);
  py::class_<Stepper>(m, "Stepper", py::custom_type_setup(garbage_collected))
      .def("add_group", &Stepper::add_group, py::arg("rule"), py::arg("core_args"),
           py::arg("given") = py::none(), py::arg("start") = py::none(),
           py::arg("mu_product") = py::none())
      .def("add_parameter", &Stepper::add_parameter, py::arg("group"), py::arg("name"),
           py::arg("w"), py::arg("states"))
      .def(
          "prepare_addition",
          [](Stepper& stepper, const std::vector<NewGroup>& groups,
             const std::vector<NewParameters>& parameters) {
            return stepper.prepare_addition(groups, parameters).release();
          },
          py::return_value_policy::take_ownership, py::arg("groups"), py::arg("parameters"))
      .def(
          "add",
          [](Stepper& stepper, Addition& addition, py::object flatten,
             const std::vector<py::tuple>& keys, bool listed, py::object layout, Addition* averages,
             py::object averages_layout, py::object walk) {
            stepper.add(addition, {std::move(flatten), keys, listed}, std::move(walk),
                        std::move(layout), averages, std::move(averages_layout));
          },
          py::arg("addition"), py::arg("flatten"), py::arg("keys"), py::arg("listed"),
          py::arg("layout"), py::arg("averages") = nullptr, py::arg("averages_layout") = py::none(),
          py::arg("walk") = py::none())
      .def_property_readonly("layout", &Stepper::layout)
      .def("follow", &Stepper::follow, py::arg("averages"))
      .def_property_readonly("followed", &Stepper::followed)
      .def("corrections", &Stepper::corrections)
      .def("require_ready", &Stepper::require_ready)
      .def("require_bound", &Stepper::require_bound)
      .def("step", &Stepper::step, py::arg("gradients"), py::arg("scale") = 1.0)
      .def(
          "staged_step",
          [](Stepper& stepper, py::handle gradients, py::handle scale) {
            return new StagedStep(stepper, gradients, scale);
          },
          py::return_value_policy::take_ownership, py::keep_alive<0, 1>(), py::arg("gradients"),
          py::arg("scale") = 1.0)
      .def(
          "prepare_change",
          [](Stepper& stepper, std::vector<Change> changes, std::optional<std::int64_t> t,
             std::optional<States> states, std::optional<py::dict> options,
             std::optional<std::int64_t> skipped,
             std::optional<std::vector<py::array>> parameters) {
            // Empty, so that nothing is lost with it where there is no memory to note it.
            const py::object update =
                py::cast(new PreparedUpdate, py::return_value_policy::take_ownership);
            py::cast<PreparedUpdate&>(update).prepare(
                stepper, {std::move(changes), t, std::move(states), std::move(options), skipped,
                          std::move(parameters)});
            return update;
          },
          py::arg("changes"), py::arg("t") = py::none(), py::arg("states") = py::none(),
          py::arg("options") = py::none(), py::arg("skipped") = py::none(),
          py::arg("parameters") = py::none())
      .def("snapshot", &Stepper::snapshot)
      .def(
          "averaged", [](Stepper& stepper) { return new AveragedBlock(stepper); },
          py::return_value_policy::take_ownership, py::keep_alive<0, 1>())
      .def("require_own", &Stepper::require_own)
      .def("get", &Stepper::get, py::arg("group"), py::arg("name"))
      .def("given", &Stepper::given, py::arg("group"))
      .def_property_readonly("options", &Stepper::options)
      .def_property_readonly("skipped", &Stepper::skipped)
      .def_property_readonly("norm", &Stepper::norm)
      .def_property_readonly("not_finite", &Stepper::not_finite)
      .def_property_readonly("t", &Stepper::t);
  // Not a constructor, which pybind11 calls where an exception of C++ ends the process; not a
  // unique_ptr, whose object it frees twice where there is no memory to note it, here and above.
  m.def(
      "new_stepper",
      [](std::int64_t t, const std::optional<py::dict>& options) {
        return new Stepper(t, options ? Options(*options, t) : Options());
      },
      py::return_value_policy::take_ownership, py::arg("t") = 0, py::arg("options") = py::none());
}
