# SPDX-License-Identifier: Apache-2.0
# tests/fuzz/<reader>.cc -> bin/fuzz/<reader>, a libFuzzer program (clang). A reader needs core, io and dataset alone,
# so that 'make fuzz' compiles little.
if(NOT RUTILE_FUZZ)
  return()
endif()
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  message(FATAL_ERROR "RUTILE_FUZZ needs clang, which has libFuzzer: cmake --preset fuzz")
endif()

add_library(rutile_read_checkpoint OBJECT "${CMAKE_SOURCE_DIR}/train/read_checkpoint.cc"
                                          "${CMAKE_SOURCE_DIR}/train/checksum.cc")
target_link_libraries(rutile_read_checkpoint PUBLIC rutile_headers)
add_custom_target(fuzzers)
file(GLOB files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/fuzz/*.cc")
foreach(file IN LISTS files)
  cmake_path(GET file STEM name)
  add_executable(fuzz_${name} "${file}")
  set_target_properties(fuzz_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/fuzz")
  target_link_libraries(fuzz_${name} PRIVATE rutile_headers rutile_core rutile_io rutile_dataset rutile_read_checkpoint
                                             ${rutile_uses_io} Threads::Threads ${CMAKE_DL_LIBS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers fuzz_${name})
endforeach()
