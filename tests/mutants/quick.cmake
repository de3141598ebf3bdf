# For run.py: reads pybind11 once for all files that need it, so that one is built again in less time.
function(read_pybind11_once)
  target_precompile_headers(_core PRIVATE <pybind11/numpy.h> <pybind11/stl.h>)
  foreach(without dispatch levels pool strided sweep threads)
    set_source_files_properties(cpp/${without}.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  endforeach()
endfunction()
cmake_language(DEFER CALL read_pybind11_once)
