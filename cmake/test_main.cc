// SPDX-License-Identifier: Apache-2.0
// The main function of every test program: files are named relative to the source root, or, where
// the program was taken to another machine, to the folder that RUTILE_TEST_ROOT names.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  const char* const named = std::getenv("RUTILE_TEST_ROOT");
  const char* const root = named ? named : RUTILE_TEST_ROOT;
  if (chdir(root) != 0) {
    std::fprintf(stderr, "cannot enter %s: ", root);
    std::perror(nullptr);
    return 1;
  }
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
