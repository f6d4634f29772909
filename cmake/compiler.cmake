# SPDX-License-Identifier: Apache-2.0
include(CheckLinkerFlag)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-g")

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "g++ ${CMAKE_CXX_COMPILER_VERSION} is too old: Rutile needs g++ 12 or newer (Debian: g++).")
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)

# "rutile/core/tensor.h" is found the same way here and after an install.
file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/include")
file(CREATE_LINK "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/include/rutile" SYMBOLIC)

add_compile_options(-Wall -Wextra)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 raises these falsely inside inlined std::sort, std::string and std::vector; the asan preset finds the real ones.
  add_compile_options(-Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread -Wno-restrict)
endif()
if(RUTILE_WERROR)
  add_compile_options(-Werror)
endif()

# Paths in messages, __FILE__ and debug information start at the source root, in every checkout alike
# (a compiler cache may hand the compiler relative names). The last option that fits wins.
file(RELATIVE_PATH rutile_up "${CMAKE_BINARY_DIR}" "${CMAKE_SOURCE_DIR}/")
foreach(prefix "${CMAKE_SOURCE_DIR}/" "${rutile_up}" "${CMAKE_BINARY_DIR}/include/rutile/" "include/rutile/")
  add_compile_options("-ffile-prefix-map=${prefix}=")
endforeach()

if(RUTILE_SANITIZE)
  add_compile_options(-O1 -fsanitize=${RUTILE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-maybe-uninitialized)  # false in the standard library's code when it is instrumented
  endif()
  add_link_options(-fsanitize=${RUTILE_SANITIZE})
endif()

set(RUTILE_LINKER "default")
foreach(linker mold lld)
  check_linker_flag(CXX "-fuse-ld=${linker}" RUTILE_LINKS_WITH_${linker})
  if(RUTILE_LINKS_WITH_${linker})
    add_link_options("-fuse-ld=${linker}")
    set(RUTILE_LINKER ${linker})
    break()
  endif()
endforeach()

# Relative paths in the cache's keys: every checkout of this tree shares the same entries. What ccache asks for where
# headers are precompiled: it looks at their contents, whatever macros and times there are.
set(RUTILE_LAUNCHER "none")
if(RUTILE_CCACHE)
  find_program(RUTILE_CCACHE_PROGRAM ccache)
  if(RUTILE_CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
        "${RUTILE_CCACHE_PROGRAM}")
    set(RUTILE_LAUNCHER "ccache")
  endif()
endif()

# Headers that the compiler reads once for many sources: a quarter of the time that most sources take. Sources include
# what they use all the same; only g++ lets them have more flags than the headers had.
#   rutile_precompile(<name> <headers>...)  makes them, with the flags that are set so far
#   rutile_precompiled(<target> <name>)     lets the target use them
file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/empty.cc" CONTENT "")
function(rutile_precompile name)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_library(${name} OBJECT "${CMAKE_BINARY_DIR}/generated/empty.cc")
    target_precompile_headers(${name} PRIVATE ${ARGN})
  endif()
endfunction()
function(rutile_precompiled target name)
  if(TARGET ${name})
    target_precompile_headers(${target} REUSE_FROM ${name})
  endif()
endfunction()
