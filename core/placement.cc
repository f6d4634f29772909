// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/placement.h"

namespace rutile {

std::string to_string(const Placement& p) {
  if (p.layout != kStrided) return layout_info(p.layout).tag;
  return p.channels_last ? "channels_last" : "row_major";
}

bool parse_placement(std::string_view name, Placement* out) {
  *out = Placement();
  if (name == "row_major") return true;
  if (name == "channels_last") {
    out->channels_last = true;
    return true;
  }
  out->layout = intern_layout(name);
  return out->layout != kStrided;
}

Status place(const Shape& shape, DType dtype, Device device, const Placement& p, TensorMeta* out) {
  *out = TensorMeta(shape, dtype, device);
  if (p.layout != kStrided) {
    const int rank = layout_info(p.layout).order.rank();
    if (rank != shape.rank()) {
      return value_error(
          cat("layout ", to_string(p), " is for rank ", rank, ", got shape ", to_string(shape)));
    }
    out->layout = p.layout;
  } else if (p.channels_last) {
    if (shape.rank() != 4 && shape.rank() != 5) {
      return value_error(cat("channels_last expects rank 4 or 5, got shape ", to_string(shape)));
    }
    out->strides =
        ordered_strides(shape, shape.rank() == 4 ? Dims{0, 2, 3, 1} : Dims{0, 2, 3, 4, 1});
  }
  return Status();
}

Placement placement_of(const TensorMeta& m) {
  Placement p;
  p.layout = m.layout;
  p.channels_last = m.layout == kStrided && m.is_channels_last();
  return p;
}

}  // namespace rutile
