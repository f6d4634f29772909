# SPDX-License-Identifier: Apache-2.0
# One OBJECT library per folder of cmake/layers.txt, all linked into librutile.so. No list of sources is kept
# anywhere: a .cc that appears in a folder is built at the next 'make build'.

set(rutile_plugin_folders "kernels/cuda" "kernels/fake" "dist/nccl" "dist/gloo")

# Third-party libraries by folder. They are private: none may appear in a header that users include.
set(rutile_uses_io ZLIB::ZLIB nlohmann_json::nlohmann_json)
set(rutile_uses_dataset ZLIB::ZLIB nlohmann_json::nlohmann_json)
set(rutile_uses_kernels Eigen3::Eigen $<TARGET_NAME_IF_EXISTS:DNNL::dnnl>)
set(rutile_uses_graph nlohmann_json::nlohmann_json)
set(rutile_uses_train nlohmann_json::nlohmann_json)
set(rutile_uses_profile nlohmann_json::nlohmann_json)

# Reads cmake/layers.txt into rutile_folders and rutile_edges_<folder>.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/cmake/layers.txt")
file(STRINGS "${CMAKE_SOURCE_DIR}/cmake/layers.txt" rutile_layers REGEX "^[a-z]+:")
foreach(line IN LISTS rutile_layers)
  string(REGEX MATCH "^([a-z]+): *(.*)$" _ "${line}")
  set(edges "${CMAKE_MATCH_2}")
  if(NOT edges STREQUAL "*")  # python and apps are not part of the library
    list(APPEND rutile_folders ${CMAKE_MATCH_1})
    separate_arguments(rutile_edges_${CMAKE_MATCH_1} UNIX_COMMAND "${edges}")
  endif()
endforeach()

# The sources of a folder, without the plugins below it and what this build leaves out.
function(rutile_sources folder out)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${folder}/*.cc")
  foreach(plugin IN LISTS rutile_plugin_folders)
    list(FILTER files EXCLUDE REGEX "/${plugin}/")
  endforeach()
  if(NOT RUTILE_ONEDNN)
    list(FILTER files EXCLUDE REGEX "/kernels/cpu/dnnl_[^/]*$")
  endif()
  set(${out} "${files}" PARENT_SCOPE)
endfunction()

add_library(rutile_headers INTERFACE)
target_include_directories(rutile_headers INTERFACE "$<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/include>"
                                                    "$<INSTALL_INTERFACE:include>")
target_compile_features(rutile_headers INTERFACE cxx_std_20)

set(rutile_private_libraries Threads::Threads ${CMAKE_DL_LIBS} $<TARGET_NAME_IF_EXISTS:OpenMP::OpenMP_CXX>)
set(rutile_objects "")       # in link order
set(rutile_object_folders "")

function(rutile_object_library target)
  add_library(${target} OBJECT ${ARGN})
  target_link_libraries(${target} PUBLIC rutile_headers)
  target_compile_definitions(${target} PRIVATE RUTILE_BUILDING=1)
endfunction()

set(headers <algorithm> <atomic> <cmath> <functional> <map> <memory> <mutex> <optional> <set> <sstream> <string>
            <unordered_map> <vector>)
rutile_precompile(rutile_std_headers ${headers})
rutile_precompile(rutile_openmp_headers ${headers})  # for folders whose sources compute on several threads
if(RUTILE_OPENMP AND TARGET rutile_openmp_headers)
  target_link_libraries(rutile_openmp_headers PRIVATE OpenMP::OpenMP_CXX)
endif()

set(rutile_isa_sources "")
set(rutile_eigen_sources "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(RUTILE_X86 ON)
else()
  set(RUTILE_X86 OFF)
endif()

foreach(folder IN LISTS rutile_folders)
  rutile_sources(${folder} files)
  if(folder STREQUAL "kernels")
    set(rutile_isa_sources ${files})
    list(FILTER rutile_isa_sources INCLUDE REGEX "/kernels/cpu/isa/")
    list(FILTER files EXCLUDE REGEX "/kernels/cpu/isa/")
    set(rutile_eigen_sources ${files})
    list(FILTER rutile_eigen_sources INCLUDE REGEX "/kernels/cpu/eigen_[^/]*$")
    list(FILTER files EXCLUDE REGEX "/kernels/cpu/eigen_[^/]*$")
  endif()
  if(NOT files)
    continue()
  endif()
  rutile_object_library(rutile_${folder} ${files})
  if(folder MATCHES "^(core|kernels)$")
    rutile_precompiled(rutile_${folder} rutile_openmp_headers)
  else()
    rutile_precompiled(rutile_${folder} rutile_std_headers)
  endif()
  list(APPEND rutile_objects "$<TARGET_OBJECTS:rutile_${folder}>")
  list(APPEND rutile_object_folders ${folder})
  foreach(edge IN LISTS rutile_edges_${folder})
    if(TARGET rutile_${edge})
      target_link_libraries(rutile_${folder} PUBLIC rutile_${edge})
    endif()
  endforeach()
  target_link_libraries(rutile_${folder} PRIVATE ${rutile_uses_${folder}})
  list(APPEND rutile_private_libraries ${rutile_uses_${folder}})
endforeach()
target_include_directories(rutile_core PRIVATE "${CMAKE_BINARY_DIR}/generated/id")
# Loops of the fast kernels become vectors also where their length is not known.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND TARGET rutile_kernels)
  file(GLOB rutile_cpu_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cpu/*.cc)
  list(FILTER rutile_cpu_sources EXCLUDE REGEX "/eigen_[^/]*$")
  set_source_files_properties(${rutile_cpu_sources} PROPERTIES COMPILE_OPTIONS -fvect-cost-model=dynamic)
endif()
foreach(folder core kernels)  # core/thread sets the number of threads
  if(RUTILE_OPENMP AND TARGET rutile_${folder})
    target_link_libraries(rutile_${folder} PRIVATE OpenMP::OpenMP_CXX)
  endif()
endforeach()

# Kernels for newer instruction sets. Their objects come last in the link: where an inline function of some header
# exists in several objects, the linker keeps the first one, so no code for a newer machine reaches the common path.
set(rutile_kernel_level -O3)
if(RUTILE_SANITIZE)
  # Expression templates and unrolled loops with a check at every pointer take a compiler minutes a file.
  set(rutile_kernel_level -O1)
  if(RUTILE_SANITIZE MATCHES "undefined")
    list(APPEND rutile_kernel_level -fno-sanitize=null,alignment,object-size,pointer-overflow,vptr)
  endif()
endif()
function(rutile_isa_library target)
  cmake_parse_arguments(arg "" "" "SOURCES;FLAGS" ${ARGN})
  rutile_object_library(${target} ${arg_SOURCES})
  target_compile_options(${target} PRIVATE ${rutile_kernel_level} ${arg_FLAGS} -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wno-psabi
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized$<SEMICOLON>-Wno-maybe-uninitialized>)
  target_link_libraries(${target} PRIVATE ${rutile_uses_kernels})
  if(RUTILE_OPENMP)
    target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX)
  endif()
  set(rutile_objects ${rutile_objects} "$<TARGET_OBJECTS:${target}>" PARENT_SCOPE)
endfunction()

# Vector values never cross a call, so their calling convention does not matter.
set(rutile_flags_avx2 -mavx2 -mfma -mf16c -Wno-psabi)
set(rutile_flags_avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma -mf16c -mprefer-vector-width=512)
set(RUTILE_ISAS "none")
if(rutile_eigen_sources)
  set(flags "")
  if(RUTILE_X86)
    set(flags ${rutile_flags_avx2})
  endif()
  if(RUTILE_SANITIZE)
    list(APPEND flags -fno-sanitize=all)  # 3 GB and many minutes a file; Eigen's assertions look after its sizes
  endif()
  rutile_isa_library(rutile_kernels_eigen SOURCES ${rutile_eigen_sources} FLAGS ${flags})
endif()
# Bits of a pair of steps are those of the steps.
set_source_files_properties(kernels/cpu/isa/tile_pair.cc PROPERTIES COMPILE_OPTIONS
                                                                   -ffp-contract=off)
if(RUTILE_X86)
  set(RUTILE_ISAS "avx2 avx512")
  if(rutile_isa_sources)
    foreach(isa avx2 avx512)
      rutile_isa_library(rutile_kernels_${isa} SOURCES ${rutile_isa_sources}
                         FLAGS ${rutile_flags_${isa}} -DRUTILE_ISA=${isa})
    endforeach()
  endif()
endif()

list(REMOVE_DUPLICATES rutile_private_libraries)

# For tests of internals: the very objects of librutile.so, linked into the program, hidden names included.
add_library(rutile_internal INTERFACE)
set(libraries ${rutile_private_libraries})
list(TRANSFORM libraries REPLACE "^.*OpenMP.*$" "$<LINK_ONLY:\\0>")  # its flag would keep tests from sharing headers
target_link_libraries(rutile_internal INTERFACE rutile_headers ${rutile_objects} ${libraries})

if(rutile_objects)
  add_library(rutile SHARED ${rutile_objects})
  add_library(rutile::rutile ALIAS rutile)
  set_target_properties(rutile PROPERTIES LINKER_LANGUAGE CXX
                        LINK_DEPENDS "${CMAKE_SOURCE_DIR}/cmake/exports.map")
  target_link_libraries(rutile PUBLIC rutile_headers PRIVATE ${rutile_private_libraries})
  target_link_options(rutile PRIVATE "LINKER:--version-script=${CMAKE_SOURCE_DIR}/cmake/exports.map"
                                     "LINKER:--exclude-libs,ALL" "LINKER:-z,defs")
endif()

# rutile_add_plugin(<name> <folder> [<libraries>...]): librutile_<name>.so from the folder's sources, where it has any.
function(rutile_add_plugin name folder)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${folder}/*.cc")
  if(NOT files OR NOT TARGET rutile)
    return()
  endif()
  add_library(rutile_${name} MODULE ${files})
  target_link_libraries(rutile_${name} PRIVATE rutile ${ARGN})
  rutile_precompiled(rutile_${name} rutile_std_headers)
  target_include_directories(rutile_${name} PRIVATE "${CMAKE_BINARY_DIR}/generated/id")
  # Its own name in it: what is loaded is found by that, also where a sanitizer stands in for dlopen.
  target_link_options(rutile_${name} PRIVATE "LINKER:-soname,librutile_${name}.so" "LINKER:--exclude-libs,ALL"
                                             "LINKER:-z,defs")
endfunction()
rutile_add_plugin(fake kernels/fake Threads::Threads)
if(RUTILE_GLOO_FOUND)
  rutile_add_plugin(gloo dist/gloo "${RUTILE_GLOO_LIBRARY}" Threads::Threads)
  target_include_directories(rutile_gloo SYSTEM PRIVATE "${RUTILE_GLOO_INCLUDE}")
endif()
if(RUTILE_NCCL_FOUND)
  rutile_add_plugin(nccl dist/nccl "${RUTILE_NCCL_LIBRARY}" "${RUTILE_CUDART_LIBRARY}")
  target_include_directories(rutile_nccl SYSTEM PRIVATE "${RUTILE_NCCL_INCLUDE}")
endif()
