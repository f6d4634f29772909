# SPDX-License-Identifier: Apache-2.0
# librutile_cuda.so: kernels/cuda compiled by nvcc for the GPUs of RUTILE_CUDA_ARCHS, where there is one. Nothing of it is needed to
# use the CPU, and nothing of CUDA is in librutile.so. tests/cuda runs the same kernels on the host.

file(GLOB rutile_cuda_kernels CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu")
file(GLOB rutile_cuda_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/kernels/cuda/*.cc")
# Helpers of the CPU kernels that the plugin uses too.
set(rutile_cuda_shared kernels/axis_taps.cc kernels/conv_shape.cc kernels/fft_call.cc kernels/grid_taps.cc kernels/matmul_shape.cc)
list(TRANSFORM rutile_cuda_shared PREPEND "${CMAKE_SOURCE_DIR}/")

# What the sources of generated kernels include, as text for NVRTC.
set(rtc_text "")
foreach(header kernels/functors.h kernels/functor_math.h kernels/special_math.h kernels/special_more.h kernels/inline.h
               kernels/convert.h core/half.h kernels/cuda/generated.h kernels/cuda/rtc_std.h)
  set_property(DIRECTORY "${CMAKE_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/${header}")
  file(READ "${CMAKE_SOURCE_DIR}/${header}" text)
  string(APPEND rtc_text "    {\"rutile/${header}\", R\"RTC(${text})RTC\"},\n")
endforeach()
foreach(header bit cmath cstdint limits type_traits)
  string(APPEND rtc_text "    {\"${header}\", \"#include \\\"rutile/kernels/cuda/rtc_std.h\\\"\\n\"},\n")
endforeach()
set(rtc_headers "${CMAKE_BINARY_DIR}/generated/rtc_headers.cc")
file(CONFIGURE OUTPUT "${rtc_headers}" @ONLY CONTENT [=[
#include "rutile/kernels/cuda/rtc.h"
namespace rutile::cuda {
namespace {
constexpr RtcHeader kHeaders[] = {
@rtc_text@};
}  // namespace
std::span<const RtcHeader> rtc_headers() { return kHeaders; }
}  // namespace rutile::cuda
]=])
list(APPEND rutile_cuda_sources "${rtc_headers}")

# ---- The plugin -------------------------------------------------------------------------------------------------------

set(RUTILE_CUDA_VERSION "off")
# A sanitizer's library is for the CPU's code.
if(NOT RUTILE_CUDA STREQUAL "OFF" AND NOT RUTILE_SANITIZE AND TARGET rutile)
  find_program(RUTILE_NVCC nvcc HINTS ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(RUTILE_NVCC)
    execute_process(COMMAND "${RUTILE_NVCC}" --version OUTPUT_VARIABLE text)
    string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" _ "${text}")
    set(RUTILE_CUDA_VERSION "${CMAKE_MATCH_1}")
    file(REAL_PATH "${RUTILE_NVCC}" real)
    cmake_path(GET real PARENT_PATH bin)
    cmake_path(GET bin PARENT_PATH RUTILE_CUDA_ROOT)
  endif()
  set(missing "")
  if(NOT RUTILE_NVCC OR RUTILE_CUDA_VERSION VERSION_LESS 13.0)
    set(missing "nvcc 13.0 or newer")
  else()
    find_path(RUTILE_CUDA_INCLUDE cublasLt.h HINTS "${RUTILE_CUDA_ROOT}/include"
              "${RUTILE_CUDA_ROOT}/targets/x86_64-linux/include" NO_DEFAULT_PATH)
    find_library(RUTILE_CUDART cudart_static HINTS "${RUTILE_CUDA_ROOT}/lib64" "${RUTILE_CUDA_ROOT}/lib")
    if(NOT RUTILE_CUDA_INCLUDE OR NOT RUTILE_CUDART)
      set(missing "cublasLt.h and libcudart_static.a of the CUDA toolkit")
    elseif(NOT EXISTS "${RUTILE_CUDA_INCLUDE}/cusolverDn.h" OR NOT EXISTS "${RUTILE_CUDA_INCLUDE}/cufft.h")
      set(missing "cusolverDn.h and cufft.h of the CUDA toolkit")
    endif()
  endif()
  if(missing AND RUTILE_CUDA STREQUAL "ON")
    rutile_missing("${missing}" "the CUDA toolkit 13.0 (developer.nvidia.com/cuda-downloads)" RUTILE_CUDA)
  elseif(missing)
    set(RUTILE_CUDA_VERSION "off (no ${missing})")
  else()
    set(RUTILE_CUDA_BUILT ON)
  endif()
endif()

# cuDNN's graph API comes as headers in a package of its own; without it or cuDNN's headers the rows that call cuDNN are
# left out, and convolutions run by our own kernels.
if(RUTILE_CUDA_BUILT)
  file(GLOB packages "${RUTILE_VENV}/lib/python3*/site-packages")
  set(in_packages ${packages})
  list(TRANSFORM in_packages APPEND "/include")
  find_path(RUTILE_CUDNN_FRONTEND cudnn_frontend.h HINTS ${in_packages})
  set(in_packages ${packages})
  list(TRANSFORM in_packages APPEND "/nvidia/cudnn/include")
  find_path(RUTILE_CUDNN cudnn.h HINTS "${RUTILE_CUDA_INCLUDE}" ${in_packages})
  if(NOT RUTILE_CUDNN_FRONTEND OR NOT RUTILE_CUDNN)
    list(FILTER rutile_cuda_sources EXCLUDE REGEX "/lib_cudnn[^/]*$")
    string(APPEND RUTILE_CUDA_VERSION ", without cuDNN (pip install nvidia-cudnn-frontend)")
  endif()
endif()

# CUPTI's header is in the toolkit, in a folder of its own there, or in a wheel.
if(RUTILE_CUDA_BUILT)
  find_path(RUTILE_CUPTI cupti.h HINTS "${RUTILE_CUDA_INCLUDE}" "${RUTILE_CUDA_ROOT}/extras/CUPTI/include" ${in_packages})
endif()
if(NOT RUTILE_CUPTI)
  list(FILTER rutile_cuda_sources EXCLUDE REGEX "/lib_cupti[^/]*$")
endif()

if(RUTILE_CUDA_BUILT)
  set(flags -std=c++20 -O3 -DNDEBUG --expt-relaxed-constexpr -Xptxas=-v -Xcompiler=-fPIC,-fvisibility=hidden
            "-I${CMAKE_BINARY_DIR}/include")
  foreach(arch IN LISTS RUTILE_CUDA_ARCHS)
    list(APPEND flags "-gencode=arch=compute_${arch},code=sm_${arch}")
  endforeach()
  list(GET RUTILE_CUDA_ARCHS -1 last)
  list(APPEND flags "-gencode=arch=compute_${last},code=compute_${last}")
  set(objects "")
  foreach(kernel IN LISTS rutile_cuda_kernels)
    cmake_path(GET kernel STEM name)
    set(object "${CMAKE_BINARY_DIR}/cuda/${name}.o")
    add_custom_command(
      OUTPUT "${object}" DEPENDS "${kernel}" DEPFILE "${object}.d"
      COMMAND "${CMAKE_COMMAND}" "-DLOG=${CMAKE_BINARY_DIR}/cuda/${name}.log" -P "${CMAKE_SOURCE_DIR}/cmake/logged.cmake" --
              ${CMAKE_CXX_COMPILER_LAUNCHER} "${RUTILE_NVCC}" "-ccbin=${CMAKE_CXX_COMPILER}" ${flags}
              -MD -MF "${object}.d" -c "${kernel}" -o "${object}"
      COMMENT "Building CUDA object cuda/${name}.o" VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/cuda")
  add_library(rutile_cuda MODULE ${rutile_cuda_sources} ${rutile_cuda_shared} ${objects})
  set_source_files_properties(${objects} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  target_include_directories(rutile_cuda PRIVATE "${CMAKE_BINARY_DIR}/generated/id")
  target_include_directories(rutile_cuda SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}")
  if(RUTILE_CUDNN_FRONTEND AND RUTILE_CUDNN)
    target_include_directories(rutile_cuda SYSTEM PRIVATE "${RUTILE_CUDNN_FRONTEND}" "${RUTILE_CUDNN}")
    target_compile_definitions(rutile_cuda PRIVATE RUTILE_CUDNN=1)
  endif()
  if(RUTILE_CUPTI)
    target_include_directories(rutile_cuda SYSTEM PRIVATE "${RUTILE_CUPTI}")
    target_compile_definitions(rutile_cuda PRIVATE RUTILE_CUPTI_BUILT=1)
  endif()
  target_link_libraries(rutile_cuda PRIVATE rutile "${RUTILE_CUDART}" Threads::Threads ${CMAKE_DL_LIBS} rt)
  # Its headers are long, and it runs once per shape.
  set_source_files_properties(kernels/cuda/lib_cudnn.cc PROPERTIES COMPILE_OPTIONS -O1 SKIP_PRECOMPILE_HEADERS ON)
  rutile_precompiled(rutile_cuda rutile_std_headers)
  target_link_options(rutile_cuda PRIVATE "LINKER:--version-script=${CMAKE_SOURCE_DIR}/cmake/plugin.map"
                                          "LINKER:--exclude-libs,ALL" "LINKER:-z,defs")
  set_target_properties(rutile_cuda PROPERTIES LINK_DEPENDS "${CMAKE_SOURCE_DIR}/cmake/plugin.map")
  # Tests look at the library and at what ptxas said of its kernels.
  if(TARGET test_cuda_plugin)
    add_dependencies(test_cuda_plugin rutile_cuda)
    target_compile_definitions(test_cuda_plugin PRIVATE RUTILE_CUDA_PLUGIN="$<TARGET_FILE:rutile_cuda>"
                                                        RUTILE_CUDA_LOGS="${CMAKE_BINARY_DIR}/cuda"
                                                        RUTILE_CUDA_LIB="${RUTILE_CUDA_ROOT}/lib64")
    # They ask cuDNN itself about GPUs that are not there, where the toolkit has it.
    if(RUTILE_CUDNN_FRONTEND AND RUTILE_CUDNN)
      target_include_directories(test_cuda_plugin SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}" "${RUTILE_CUDNN_FRONTEND}" "${RUTILE_CUDNN}")
      target_compile_definitions(test_cuda_plugin PRIVATE RUTILE_CUDNN=1 RUTILE_CXX="${CMAKE_CXX_COMPILER}")
      target_sources(test_cuda_plugin PRIVATE kernels/conv_shape.cc)
      # The runtime that cuDNN's headers ask about the GPU.
      add_library(rutile_stub_cudart SHARED "${CMAKE_SOURCE_DIR}/tests/stubs/cudart/stub.cc")
      target_include_directories(rutile_stub_cudart SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}")
      target_compile_options(rutile_stub_cudart PRIVATE -O1 -g0)
      set_target_properties(rutile_stub_cudart PROPERTIES OUTPUT_NAME cudart_stub CXX_VISIBILITY_PRESET default
                                                          LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/stubs")
      add_dependencies(test_cuda_plugin rutile_stub_cudart)
      set_source_files_properties(tests/cuda_plugin/cudnn_test.cc PROPERTIES COMPILE_OPTIONS "-O0;-g0" SKIP_PRECOMPILE_HEADERS ON)
    endif()
  endif()
endif()

if(TARGET test_gpu)
  target_link_libraries(test_gpu PRIVATE ${rutile_test_objects})
endif()

# ---- The kernels as host code, for tests ----------------------------------------------------------------------------

if(TARGET test_cuda)
  set(host_sources ${rutile_cuda_sources})
  list(FILTER host_sources EXCLUDE REGEX "/(plugin|capture|lib[a-z_]*)\\.cc$")
  foreach(kernel IN LISTS rutile_cuda_kernels)
    cmake_path(GET kernel STEM name)
    set(wrapper "${CMAKE_BINARY_DIR}/generated/emulated_${name}.cc")
    file(CONFIGURE OUTPUT "${wrapper}" CONTENT "#include \"rutile/kernels/cuda/${name}.cu\"\n")
    list(APPEND host_sources "${wrapper}")
  endforeach()
  add_library(rutile_cuda_emulated OBJECT ${host_sources})
  target_compile_definitions(rutile_cuda_emulated PUBLIC RUTILE_CUDA_EMULATED=1)
  target_compile_options(rutile_cuda_emulated PRIVATE -O1 -Wno-unknown-pragmas)
  target_link_libraries(rutile_cuda_emulated PUBLIC rutile_headers)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")  # headers compiled without optimisation are not those of -O1
    rutile_precompiled(rutile_cuda_emulated rutile_std_headers)
  endif()
  # Rows over cuBLASLt, cuSOLVER and cuFFT run over stand-ins for the libraries, which NVIDIA's headers declare.
  if(RUTILE_CUDA_BUILT)
    target_sources(rutile_cuda_emulated PRIVATE kernels/cuda/lib_cublaslt.cc kernels/cuda/lib_blas.cc
                                                kernels/cuda/lib_cusolver.cc kernels/cuda/lib_solver.cc
                                                kernels/cuda/lib_cufft.cc kernels/cuda/lib_fft.cc)
    # Capture sees the runtime's own headers; a test stands in for what they declare.
    add_library(rutile_cuda_capture OBJECT kernels/cuda/capture.cc)
    target_link_libraries(rutile_cuda_capture PRIVATE rutile_headers)
    target_include_directories(rutile_cuda_capture SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}")
    target_link_libraries(test_cuda PRIVATE rutile_cuda_capture)
    set_source_files_properties(tests/cuda/graph_test.cc PROPERTIES COMPILE_OPTIONS "-URUTILE_CUDA_EMULATED")
    target_include_directories(rutile_cuda_emulated SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}")
    foreach(library cublasLt cusolver cufft)
      string(TOLOWER "${library}" folder)
      set(stub rutile_stub_${folder})
      set(version 12)
      if(library STREQUAL "cublasLt")
        set(version 13)
      endif()
      add_library(${stub} SHARED "${CMAKE_SOURCE_DIR}/tests/stubs/${folder}/stub.cc")
      target_link_libraries(${stub} PRIVATE Eigen3::Eigen rutile_headers)
      target_include_directories(${stub} SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}")
      target_compile_options(${stub} PRIVATE -O1 -g0)
      set_target_properties(${stub} PROPERTIES OUTPUT_NAME ${library} SUFFIX ".so.${version}"
                            LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/stubs")
      add_dependencies(test_cuda ${stub})
    endforeach()
    target_compile_definitions(test_cuda PRIVATE RUTILE_STUB_LIBRARIES=1)
    target_include_directories(test_cuda SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}")
    if(RUTILE_CUPTI)
      target_sources(rutile_cuda_emulated PRIVATE kernels/cuda/lib_cupti.cc)
      target_include_directories(rutile_cuda_emulated SYSTEM PRIVATE "${RUTILE_CUPTI}")
      add_library(rutile_stub_cupti SHARED "${CMAKE_SOURCE_DIR}/tests/stubs/cupti/stub.cc")
      target_include_directories(rutile_stub_cupti SYSTEM PRIVATE "${RUTILE_CUDA_INCLUDE}" "${RUTILE_CUPTI}")
      target_compile_options(rutile_stub_cupti PRIVATE -O1 -g0)
      set_target_properties(rutile_stub_cupti PROPERTIES OUTPUT_NAME cupti SUFFIX ".so.13"
                            LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/stubs")
      add_dependencies(test_cuda rutile_stub_cupti)
      target_include_directories(test_cuda SYSTEM PRIVATE "${RUTILE_CUPTI}")
      target_compile_definitions(test_cuda PRIVATE RUTILE_CUPTI_BUILT=1)
    endif()
  endif()
  file(GLOB harness "${CMAKE_SOURCE_DIR}/tests/ops/harness.cc" "${CMAKE_SOURCE_DIR}/tests/ops/*_checks.cc")
  target_sources(test_cuda PRIVATE ${harness})
  # Generated kernels are compiled by tests: for the emulator, and by NVRTC where the toolkit has it.
  target_compile_definitions(test_cuda PRIVATE RUTILE_CXX="${CMAKE_CXX_COMPILER}" RUTILE_INCLUDE="${CMAKE_BINARY_DIR}/include"
                                               RUTILE_CUDA_LIB="${RUTILE_CUDA_ROOT}/lib64")
  target_link_libraries(test_cuda PRIVATE rutile_cuda_emulated)
endif()
