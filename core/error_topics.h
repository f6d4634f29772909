// SPDX-License-Identifier: Apache-2.0
// Stable codes of errors, and what there is to say about each.
//
//   try { step(x, y); } catch (const Error& e) {
//   std::puts(explain_error(topic_of(e).code).c_str()); }
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "rutile/core/api.h"
#include "rutile/core/error.h"

namespace rutile {

struct ErrorTopic {
  std::string_view code;   // "RUTILE-E0101"; never changes its meaning
  std::string_view title;  // one line
  std::string_view text;   // what it means, an example, the cure
};

// All of them, by code.
RUTILE_API std::span<const ErrorTopic> error_topics();
// The topic that the error's message names, else that of its kind.
RUTILE_API const ErrorTopic& topic_of(const Error& e);
// Title and text of "RUTILE-E0101", "E0101" or "101". Error{kValue} for another text.
RUTILE_API std::string explain_error(std::string_view code);

}  // namespace rutile
