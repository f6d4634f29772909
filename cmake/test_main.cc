// SPDX-License-Identifier: Apache-2.0
// The main function of every test program: files are named relative to the source root.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (chdir(RUTILE_TEST_ROOT) != 0) {
    std::perror("cannot enter " RUTILE_TEST_ROOT);
    return 1;
  }
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
