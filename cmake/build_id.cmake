# SPDX-License-Identifier: Apache-2.0
# The build id: plugins are opened only by the librutile.so they were built with. A hash of what decides how both lay
# out memory (the headers that plugins see, compiler, settings), not of the commit, so that an edit elsewhere keeps it.
file(GLOB rutile_seam CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/core/*.h" "${CMAKE_SOURCE_DIR}/ops/*.h"
     "${CMAKE_SOURCE_DIR}/kernels/*.h" "${CMAKE_SOURCE_DIR}/dist/backend.h")
list(SORT rutile_seam)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${rutile_seam})
set(seam "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} ${CMAKE_SYSTEM_PROCESSOR} ${RUTILE_SANITIZE}")
foreach(header IN LISTS rutile_seam)
  file(SHA256 "${header}" hash)
  string(APPEND seam "${hash}")
endforeach()
string(SHA256 seam "${seam}")
string(SUBSTRING "${seam}" 0 16 seam)
set(RUTILE_BUILD_ID "${PROJECT_VERSION}-${seam}")
file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/id/rutile_build_id.h"
     CONTENT "#define RUTILE_BUILD_ID \"@RUTILE_BUILD_ID@\"\n" @ONLY)
