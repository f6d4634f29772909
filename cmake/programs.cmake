# SPDX-License-Identifier: Apache-2.0
# A folder below apps/, tests/ or benchmarks/ that holds a .cc file is one program.
#   apps/<name>/*.cc          -> bin/<name>
#   tests/<folder>/**.cc      -> bin/tests/test_<folder>, one ctest entry
#   benchmarks/<folder>/**.cc -> bin/bench/bench_<folder>
#   apps/support/: code that all apps share
#   tests/support/, tests/ops/samples/: code that all tests and benchmarks share

# These tests see what a user sees: they link librutile.so. All others reach internals.
set(rutile_shared_tests cuda_plugin device dist e2e gpu)

# Calls <function>(<name> <sources>...) for each folder below <root> that has sources.
function(rutile_each_program root function)
  file(GLOB_RECURSE files RELATIVE "${CMAKE_SOURCE_DIR}/${root}" CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${root}/*.cc")
  list(FILTER files EXCLUDE REGEX "^support/|^ops/samples/|^fuzz/|^stubs/|^[^/]*$")
  set(names ${files})
  list(TRANSFORM names REPLACE "/.*" "")
  list(REMOVE_DUPLICATES names)
  foreach(name IN LISTS names)
    set(sources ${files})
    list(FILTER sources INCLUDE REGEX "^${name}/")
    list(TRANSFORM sources PREPEND "${CMAKE_SOURCE_DIR}/${root}/")
    cmake_language(CALL ${function} ${name} ${sources})
  endforeach()
endfunction()

function(rutile_app name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE rutile rutile_app_support Threads::Threads)
endfunction()

# What tests and benchmarks share; objects, so that registrations in them are never dropped.
file(RELATIVE_PATH rutile_bin "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/bin")
add_library(rutile_test_settings INTERFACE)
# Relative, because the programs start at the source root: the same objects serve every checkout.
target_compile_definitions(rutile_test_settings INTERFACE RUTILE_SOURCE_DIR="." RUTILE_BIN_DIR="${rutile_bin}")

set(rutile_test_level "")
if(CMAKE_BUILD_TYPE STREQUAL "Release")  # most lines run once: a fifth of the compilers' time is worth more
  set(rutile_test_level -O1)
endif()
function(rutile_shared_objects target folder)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${folder}/*.cc")
  if(files)
    add_library(${target} OBJECT ${files})
    target_link_libraries(${target} PUBLIC rutile_headers rutile_test_settings)
    target_compile_options(${target} PRIVATE ${rutile_test_level})
    rutile_precompiled(${target} rutile_std_headers)
    set(rutile_test_objects ${rutile_test_objects} ${target} PARENT_SCOPE)
  endif()
endfunction()

function(rutile_test name)
  set(program test_${name})
  add_executable(${program} ${ARGN})
  target_compile_options(${program} PRIVATE ${rutile_test_level})
  set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/tests")
  rutile_precompiled(${program} rutile_test_headers)
  target_link_libraries(${program} PRIVATE rutile_test_main GTest::gmock GTest::gtest rutile_test_settings
                                           nlohmann_json::nlohmann_json Threads::Threads)
  if(name IN_LIST rutile_shared_tests)
    target_link_libraries(${program} PRIVATE rutile)
  else()
    target_link_libraries(${program} PRIVATE ${rutile_test_objects} rutile_internal)
  endif()
  if(name STREQUAL "device")
    target_link_libraries(${program} PRIVATE ${rutile_test_objects})
  endif()
  if(name MATCHES "^(device|e2e)$" AND TARGET rutile_fake)
    add_dependencies(${program} rutile_fake)
  endif()
  add_test(NAME ${program} COMMAND ${program} --gtest_brief=1 WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  # Threads that wait without spinning: on a busy machine the suite would otherwise take several times as long.
  set_tests_properties(${program} PROPERTIES LABELS cpu TIMEOUT 900 ENVIRONMENT "OMP_WAIT_POLICY=passive")
  rutile_order_test(${program})
endfunction()

# Two tests run at a time (make test). The long ones come first, so that none of them is left for the end; test_dist, which
# mostly waits, beside those that compute.
set(rutile_long_tests test_dist test_ops pytest_python test_e2e test_golden pytest_wheel test_cuda pytest_install test_device)
function(rutile_order_test name)
  list(FIND rutile_long_tests ${name} place)
  if(place GREATER_EQUAL 0)
    math(EXPR cost "100 - ${place}")
    set_tests_properties(${name} PROPERTIES COST ${cost})
  endif()
  if(name STREQUAL "test_dataset")  # holds the destructor of a pipeline to parts of a second
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
  if(name MATCHES "^pytest_(install|wheel)$")  # both build in the build tree and install from it
    set_tests_properties(${name} PROPERTIES RESOURCE_LOCK build_tree)
  endif()
endfunction()

function(rutile_benchmark name)
  set(program bench_${name})
  add_executable(${program} ${ARGN})
  set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/bench")
  target_link_libraries(${program} PRIVATE benchmark::benchmark benchmark::benchmark_main rutile_test_settings
                                           rutile_test_samples rutile_internal)
endfunction()

set(rutile_test_objects "")
if(RUTILE_TESTS OR RUTILE_BENCHMARKS)
  rutile_shared_objects(rutile_test_support tests/support)
  rutile_shared_objects(rutile_test_samples tests/ops/samples)
endif()

if(RUTILE_APPS AND TARGET rutile)
  # Each build looks which commit it is of; the file changes, and programs are linked again, only with it.
  set(rutile_build_info "${CMAKE_BINARY_DIR}/generated/build_info.cc")
  add_custom_target(rutile_build_info BYPRODUCTS "${rutile_build_info}"
    COMMAND "${CMAKE_COMMAND}" "-DSOURCE=${CMAKE_SOURCE_DIR}" "-DVERSION=${PROJECT_VERSION}"
            "-DIN=${CMAKE_SOURCE_DIR}/apps/support/build_info.cc.in" "-DOUT=${rutile_build_info}"
            -P "${CMAKE_SOURCE_DIR}/cmake/build_info.cmake"
    COMMENT "" VERBATIM)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/apps/support/*.cc")
  add_library(rutile_app_support OBJECT ${files} "${rutile_build_info}")
  add_dependencies(rutile_app_support rutile_build_info)
  target_link_libraries(rutile_app_support PUBLIC rutile_headers CLI11::CLI11)
  rutile_each_program(apps rutile_app)
endif()

if(RUTILE_TESTS)
  enable_testing()
  add_library(rutile_test_main STATIC "${CMAKE_SOURCE_DIR}/cmake/test_main.cc")
  target_compile_definitions(rutile_test_main PRIVATE RUTILE_TEST_ROOT="${CMAKE_SOURCE_DIR}")
  target_link_libraries(rutile_test_main PUBLIC GTest::gmock)
  # Their flags are those of programs, and those of files without a level of their own.
  rutile_precompile(rutile_test_headers <rutile/tests/support/precompiled.h>)
  if(TARGET rutile_test_headers)
    set_target_properties(rutile_test_headers PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(rutile_test_headers PRIVATE -fPIE ${rutile_test_level})
    target_link_libraries(rutile_test_headers PRIVATE rutile_headers rutile_test_settings GTest::gmock GTest::gtest)
  endif()
  rutile_each_program(tests rutile_test)
endif()

if(RUTILE_BENCHMARKS)
  rutile_each_program(benchmarks rutile_benchmark)
endif()

# The plugin for NCCL once more, over a stand-in for NCCL and between pretended devices.
if(RUTILE_TESTS AND TARGET rutile_fake)
  add_library(rutile_nccl_fake MODULE "${CMAKE_SOURCE_DIR}/dist/nccl/nccl.cc" "${CMAKE_SOURCE_DIR}/tests/stubs/nccl/stub.cc")
  target_compile_definitions(rutile_nccl_fake PRIVATE RUTILE_NCCL_DEVICE=kFake)
  target_link_libraries(rutile_nccl_fake PRIVATE rutile Threads::Threads)
  target_include_directories(rutile_nccl_fake PRIVATE "${CMAKE_BINARY_DIR}/generated/id")
  if(RUTILE_NCCL_FOUND)  # holds the stand-in against the declarations of NCCL itself
    target_include_directories(rutile_nccl_fake SYSTEM PRIVATE "${RUTILE_NCCL_INCLUDE}")
  else()
    target_include_directories(rutile_nccl_fake SYSTEM PRIVATE "${CMAKE_SOURCE_DIR}/tests/stubs/nccl/include")
  endif()
  target_link_options(rutile_nccl_fake PRIVATE "LINKER:--exclude-libs,ALL" "LINKER:-z,defs")
  if(TARGET test_dist)
    add_dependencies(test_dist rutile_nccl_fake rutile_fake)
  endif()
endif()

# The plugins are opened at run time: programs that need them do not name them when they are linked.
foreach(program test_dist)
  if(TARGET ${program} AND TARGET rutile_gloo)
    add_dependencies(${program} rutile_gloo)
  endif()
endforeach()
