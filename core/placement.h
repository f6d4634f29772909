// SPDX-License-Identifier: Apache-2.0
// Where a value's elements lie, without its shape: row-major, channels-last, or a layout's tag.
#pragma once

#include <string>
#include <string_view>

#include "rutile/core/api.h"
#include "rutile/core/layout.h"
#include "rutile/core/meta.h"

namespace rutile {

struct Placement {
  Layout layout = kStrided;
  bool channels_last = false;  // of a strided one
  constexpr bool operator==(const Placement&) const = default;
};

// "row_major", "channels_last" or the tag ("aBcd16b").
RUTILE_API std::string to_string(const Placement& p);
RUTILE_API bool parse_placement(std::string_view name, Placement* out);
// A tensor of this shape and type placed so. Channels-last needs rank 4 or 5, a layout its own
// rank; otherwise an error.
RUTILE_API Status place(const Shape& shape, DType dtype, Device device, const Placement& p,
                        TensorMeta* out);
// The placement of `m`; row-major for strides that are neither.
RUTILE_API Placement placement_of(const TensorMeta& m);

}  // namespace rutile
