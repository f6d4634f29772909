# SPDX-License-Identifier: Apache-2.0
# 'cmake --install': librutile.so with what it needs beside it, the public headers, and the files by which CMake and
# pkg-config find them. Nothing in there names a path, so the prefix may be moved.
include(GNUInstallDirs)

if(NOT TARGET rutile)
  return()
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  message(FATAL_ERROR "CMAKE_INSTALL_LIBDIR and CMAKE_INSTALL_INCLUDEDIR must be relative to the prefix")
endif()

# Until 1.0 every minor version is an ABI of its own.
set(rutile_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set_target_properties(rutile PROPERTIES SOVERSION ${rutile_soversion} INSTALL_RPATH "$ORIGIN/rutile")
if(RUTILE_WHEEL)
  # A wheel has no links: one file, and a text for linkers under the name that -lrutile looks for.
  set(rutile_library_file "librutile.so.${rutile_soversion}")
  install(TARGETS rutile LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" NAMELINK_SKIP)
  file(WRITE "${CMAKE_BINARY_DIR}/generated/librutile.so" "INPUT(${rutile_library_file})\n")
  install(FILES "${CMAKE_BINARY_DIR}/generated/librutile.so" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
else()
  set(rutile_library_file "librutile.so.${PROJECT_VERSION}")
  set_target_properties(rutile PROPERTIES VERSION ${PROJECT_VERSION})
  install(TARGETS rutile LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()

# Plugins lie beside the library, which looks for them there; those that were not built are left out. A wheel cannot bring
# Gloo along, and the plugin for GPUs has one of its own (tools/wheel.py --cuda).
foreach(plugin gloo nccl cuda)
  if(TARGET rutile_${plugin} AND NOT RUTILE_WHEEL)
    install(TARGETS rutile_${plugin} LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT plugin_${plugin} OPTIONAL)
  endif()
  if(TARGET rutile_${plugin})
    set_target_properties(rutile_${plugin} PROPERTIES INSTALL_RPATH "$ORIGIN")
  endif()
endforeach()

# A oneDNN that is no part of the system, such as that of .venv, comes along.
if(RUTILE_ONEDNN)
  get_target_property(location DNNL::dnnl IMPORTED_LOCATION_RELEASE)
  get_target_property(soname DNNL::dnnl IMPORTED_SONAME_RELEASE)
  if(NOT location MATCHES "^/(usr|lib)[/0-9]")
    file(REAL_PATH "${location}" location)
    cmake_path(GET location PARENT_PATH notices)
    string(APPEND notices "/../share/doc/onednn")
    install(FILES "${location}" DESTINATION "${CMAKE_INSTALL_LIBDIR}/rutile" RENAME "${soname}"
            PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    install(FILES "${notices}/LICENSE" "${notices}/THIRD-PARTY-PROGRAMS"
            DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/rutile/onednn" OPTIONAL)
  endif()
endif()
install(FILES "${CMAKE_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/rutile")

install(CODE "set(RUTILE_SOURCE \"${CMAKE_SOURCE_DIR}\")
set(RUTILE_INCLUDE_DIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_INCLUDEDIR}/rutile\")")
install(SCRIPT "${CMAKE_SOURCE_DIR}/cmake/package/headers.cmake")

set(rutile_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/rutile")
file(RELATIVE_PATH rutile_package_to_prefix "/${rutile_package_dir}" "/")
file(RELATIVE_PATH rutile_pkgconfig_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
set(generated "${CMAKE_BINARY_DIR}/generated")
configure_file("${CMAKE_SOURCE_DIR}/cmake/package/rutile-config.cmake.in" "${generated}/rutile-config.cmake" @ONLY)
configure_file("${CMAKE_SOURCE_DIR}/cmake/package/rutile.pc.in" "${generated}/rutile.pc" @ONLY)
include(CMakePackageConfigHelpers)
write_basic_package_version_file("${generated}/rutile-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${generated}/rutile-config.cmake" "${generated}/rutile-config-version.cmake"
        DESTINATION "${rutile_package_dir}")
install(FILES "${generated}/rutile.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
