# SPDX-License-Identifier: Apache-2.0
# Every dependency is found here and nowhere else. docs/dependencies.md gives the reason and the licence of each.

# Stops with the package's name, and with the switch to go on without it where there is one.
function(rutile_missing what package switch)
  set(text "${what} was not found or is too old.\n  Install it: ${package}\n  ('make setup' installs everything.)")
  if(switch)
    string(APPEND text "\n  Or go on without it: -D${switch}=OFF")
  endif()
  message(FATAL_ERROR "${text}")
endfunction()

# rutile_need(<package> <version or ""> <what to install> <switch or ""> [<find_package arguments>...])
macro(rutile_need name version package switch)
  find_package(${name} ${version} QUIET ${ARGN})
  if(NOT ${name}_FOUND)
    rutile_missing("${name} ${version}" "${package}" "${switch}")
  endif()
endmacro()

# The virtual environment of 'make setup' serves as a prefix, also without a preset.
set(RUTILE_VENV "${CMAKE_SOURCE_DIR}/.venv")
if(EXISTS "${RUTILE_VENV}" AND NOT RUTILE_VENV IN_LIST CMAKE_PREFIX_PATH)
  list(APPEND CMAKE_PREFIX_PATH "${RUTILE_VENV}")
endif()

rutile_need(Threads "" "apt-get install libc6-dev" "")
rutile_need(ZLIB 1.2 "apt-get install zlib1g-dev" "")
rutile_need(Eigen3 3.4 "apt-get install libeigen3-dev" "" NO_MODULE)
rutile_need(nlohmann_json 3.10 "apt-get install nlohmann-json3-dev" "")

if(RUTILE_OPENMP)
  rutile_need(OpenMP "" "apt-get install g++ (its libgomp)" RUTILE_OPENMP COMPONENTS CXX)
  add_compile_definitions(RUTILE_OPENMP=1)
else()
  add_compile_definitions(RUTILE_OPENMP=0)
  add_compile_options(-Wno-unknown-pragmas)
endif()

if(RUTILE_ONEDNN)
  # pip installs what it builds wheels with into a place of its own, which Python knows.
  if(RUTILE_WHEEL AND NOT dnnl_DIR)
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c "import importlib.metadata as m, os
for f in m.files('onednn-devel-cpu-gomp') or []:
    if f.name == 'dnnl-config.cmake': print(os.path.dirname(os.path.normpath(f.locate())))"
      OUTPUT_VARIABLE rutile_dnnl OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(rutile_dnnl)
      set(dnnl_DIR "${rutile_dnnl}" CACHE PATH "The CMake package of oneDNN" FORCE)
    endif()
  endif()
  rutile_need(dnnl 3.0 "pip install onednn-devel-cpu-gomp (into .venv)" RUTILE_ONEDNN CONFIG)
  if(RUTILE_OPENMP AND NOT DNNL_CPU_RUNTIME STREQUAL "OMP")
    rutile_missing("A oneDNN that runs on OpenMP (this one: ${DNNL_CPU_RUNTIME})"
                   "pip install onednn-devel-cpu-gomp (into .venv)" RUTILE_ONEDNN)
  endif()
  add_compile_definitions(RUTILE_ONEDNN=1)
else()
  add_compile_definitions(RUTILE_ONEDNN=0)
endif()

if(RUTILE_APPS)
  rutile_need(CLI11 2.1 "apt-get install libcli11-dev" RUTILE_APPS)
endif()

if(RUTILE_TESTS)
  rutile_need(GTest 1.12 "apt-get install libgtest-dev libgmock-dev" RUTILE_TESTS)
endif()

if(RUTILE_BENCHMARKS)
  rutile_need(benchmark 1.7 "apt-get install libbenchmark-dev" RUTILE_BENCHMARKS)
endif()

if(RUTILE_PYTHON)
  if(NOT Python_EXECUTABLE AND EXISTS "${RUTILE_VENV}/bin/python")
    set(Python_EXECUTABLE "${RUTILE_VENV}/bin/python" CACHE FILEPATH "The interpreter to build the extension for")
  endif()
  rutile_need(Python 3.9 "apt-get install python3-dev python3-venv" RUTILE_PYTHON
              COMPONENTS Interpreter Development.Module)
  execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
                  OUTPUT_VARIABLE rutile_pybind11 OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(PYBIND11_FINDPYTHON ON)
  rutile_need(pybind11 2.13 "pip install pybind11 (into .venv)" RUTILE_PYTHON
              CONFIG HINTS "${rutile_pybind11}")
endif()

# Plugins: without them one process is all there is, which the library says when it is asked for more.
# rutile_find_plugin(<switch> <what to install> <header> <library> <hints>...) sets <switch>_FOUND,
# <switch>_INCLUDE and <switch>_LIBRARY.
function(rutile_find_plugin switch package header library)
  set(${switch}_FOUND OFF PARENT_SCOPE)
  if(NOT ${switch})
    return()
  endif()
  find_path(${switch}_INCLUDE "${header}" HINTS ${ARGN} PATH_SUFFIXES include)
  find_library(${switch}_LIBRARY NAMES ${library} HINTS ${ARGN} PATH_SUFFIXES lib lib64)
  mark_as_advanced(${switch}_INCLUDE ${switch}_LIBRARY)
  if(${switch}_INCLUDE AND ${switch}_LIBRARY)
    set(${switch}_FOUND ON PARENT_SCOPE)
  elseif(NOT ${switch} STREQUAL "AUTO")
    rutile_missing("${header} with ${library}" "${package}" "${switch}")
  endif()
endfunction()
rutile_find_plugin(RUTILE_GLOO "apt-get install libgloo-dev" gloo/rendezvous/context.h gloo)
rutile_find_plugin(RUTILE_NCCL "NVIDIA's NCCL and the CUDA toolkit" nccl.h nccl /usr/local/cuda)
if(RUTILE_NCCL_FOUND)
  find_library(RUTILE_CUDART_LIBRARY NAMES cudart HINTS /usr/local/cuda PATH_SUFFIXES lib lib64)
  mark_as_advanced(RUTILE_CUDART_LIBRARY)
  if(NOT RUTILE_CUDART_LIBRARY OR NOT EXISTS "${RUTILE_NCCL_INCLUDE}/cuda_runtime_api.h")
    set(RUTILE_NCCL_FOUND OFF)
  endif()
endif()
