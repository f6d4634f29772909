# SPDX-License-Identifier: Apache-2.0
# python/src/*.cc -> the extension module _rutile; python/rutile/ is linked beside it, so that the build tree holds
# an importable package. Folders below tests/ with test_*.py are one ctest entry each.
set(rutile_python_dir "${CMAKE_BINARY_DIR}/python")

if(RUTILE_PYTHON)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/python/src/*.cc")
  if(files AND TARGET rutile)
    python_add_library(_rutile MODULE WITH_SOABI ${files})
    target_link_libraries(_rutile PRIVATE pybind11::module rutile)
    target_compile_definitions(_rutile PRIVATE RUTILE_VERSION="${PROJECT_VERSION}")
    set_target_properties(_rutile PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${rutile_python_dir}/rutile"
                                             INSTALL_RPATH "$ORIGIN/lib")
    if(RUTILE_WHEEL)  # the package is a prefix: librutile.so and the rest lie in it
      install(TARGETS _rutile LIBRARY DESTINATION ".")
    endif()
  endif()

  set(package "${CMAKE_SOURCE_DIR}/python/rutile")
  file(GLOB_RECURSE sources RELATIVE "${package}" CONFIGURE_DEPENDS
       "${package}/*.py" "${package}/py.typed")
  if(sources)
    file(GLOB_RECURSE stale "${rutile_python_dir}/rutile/*.py")
    if(stale)
      file(REMOVE ${stale})
    endif()
    foreach(source IN LISTS sources)
      cmake_path(GET source PARENT_PATH parent)
      file(MAKE_DIRECTORY "${rutile_python_dir}/rutile/${parent}")
      file(CREATE_LINK "${package}/${source}" "${rutile_python_dir}/rutile/${source}" SYMBOLIC)
    endforeach()
    if(TARGET _rutile)  # type stubs, made from the package itself
      file(GLOB_RECURSE makers CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tools/stubs/*")
      list(TRANSFORM sources PREPEND "${package}/" OUTPUT_VARIABLE modules)
      set(stubs "${CMAKE_BINARY_DIR}/python/stubs.stamp")
      add_custom_command(
        OUTPUT "${stubs}"
        COMMAND "${Python_EXECUTABLE}" "${CMAKE_SOURCE_DIR}/tools/stubs/make.py" "${rutile_python_dir}"
        COMMAND "${CMAKE_COMMAND}" -E touch "${stubs}"
        DEPENDS _rutile ${makers} ${modules} COMMENT "Writing type stubs" VERBATIM)
      add_custom_target(rutile_stubs ALL DEPENDS "${stubs}")
      if(RUTILE_WHEEL)
        install(DIRECTORY "${rutile_python_dir}/rutile/" DESTINATION "." FILES_MATCHING PATTERN "*.pyi")
      endif()
    endif()
    if(RUTILE_PYTHON_DEVELOP AND Python_EXECUTABLE MATCHES "^${RUTILE_VENV}/")
      execute_process(COMMAND "${Python_EXECUTABLE}" -c "import sysconfig; print(sysconfig.get_path('purelib'))"
                      OUTPUT_VARIABLE purelib OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
      file(WRITE "${purelib}/rutile.pth" "${rutile_python_dir}\n")
    endif()
  endif()

  if(RUTILE_TESTS)
    file(GLOB tests RELATIVE "${CMAKE_SOURCE_DIR}/tests" CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tests/*/test_*.py")
    list(TRANSFORM tests REPLACE "/.*" "")
    list(REMOVE_DUPLICATES tests)
    foreach(folder IN LISTS tests)
      add_test(NAME pytest_${folder} COMMAND "${Python_EXECUTABLE}" -m pytest -q -p no:cacheprovider tests/${folder}
               WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
      set_tests_properties(pytest_${folder} PROPERTIES LABELS "cpu;python" TIMEOUT 900
                           ENVIRONMENT "PYTHONPATH=${rutile_python_dir};PYTHONDONTWRITEBYTECODE=1;RUTILE_BUILD=${CMAKE_BINARY_DIR}")
      rutile_order_test(pytest_${folder})
    endforeach()
  endif()
endif()
