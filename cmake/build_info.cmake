# SPDX-License-Identifier: Apache-2.0
# Fills IN with VERSION and the commit of SOURCE ("-dirty": and changes) and writes OUT, if it is another than before.
cmake_policy(VERSION 3.25)
set(COMMIT "")
if(EXISTS "${SOURCE}/.git")
  execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=* WORKING_DIRECTORY "${SOURCE}"
                  OUTPUT_VARIABLE COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
configure_file("${IN}" "${OUT}" @ONLY)
