# For run.py: each file by itself, but pybind11 read once for all of them, so that one that has changed
# is built again in less time.
function(read_pybind11_once)
  target_precompile_headers(_core PRIVATE <pybind11/numpy.h> <pybind11/stl.h>)
  set_source_files_properties(${engine} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()
set(CMAKE_UNITY_BUILD OFF)  # a mutant changes one file
cmake_language(DEFER CALL read_pybind11_once)
