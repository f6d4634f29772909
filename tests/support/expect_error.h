// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include "rutile/core/error.h"

// The statement throws rutile::Error with this code and a message that contains `part`.
#define EXPECT_RUTILE_ERROR(statement, expected_code, part)                       \
  do {                                                                            \
    bool thrown = false;                                                          \
    try {                                                                         \
      statement;                                                                  \
    } catch (const ::rutile::Error& e) {                                          \
      thrown = true;                                                              \
      EXPECT_STREQ(::rutile::error_code_name(e.code()),                           \
                   ::rutile::error_code_name(::rutile::ErrorCode::expected_code)) \
          << e.message();                                                         \
      EXPECT_THAT(e.message(), ::testing::HasSubstr(part));                       \
    }                                                                             \
    EXPECT_TRUE(thrown) << #statement << " throws no rutile::Error";              \
  } while (0)
