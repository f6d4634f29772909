// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/roi_align.h"

#include <limits>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

constexpr ErrorCode kValue = ErrorCode::kValue;

Input boxes(DType t) {
  return in({4, 4})
      .as(t)
      .values({0.3, 0.7, 4.2, 5.1, -1.5, 2.1, 6.3, 3.4, 2.2, -0.6, 2.9, 9.3, 7.5, 6.1, 8.5, 7.4})
      .constant();
}
Input images(DType t) { return in({4}).as(t).values({1, 0, 1, 0}); }

RUTILE_SAMPLES(roi_align) {
  const Input box = boxes(DType::kF64), of = images(DType::kI64);
  for (const bool aligned : {false, true}) {
    for (const int64_t ratio : {0, 1, 2}) {
      s.add({in({2, 3, 7, 6}), box, of}, RoiAlignAttrs{{2, 3}, 0.9, ratio, aligned})
          .dtypes(kFloats)
          .no_second_order("the op is linear");
    }
  }
  s.add({in({2, 37, 8, 8}).channels_last(), boxes(DType::kF32), images(DType::kI32)},
        RoiAlignAttrs{3})
      .no_second_order("the op is linear");
  s.add({in({2, 150, 5, 5}), box, of}, RoiAlignAttrs{2}).no_second_order("the op is linear");
  constexpr double kInf = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const Input wild =
      in({6, 4}).as(DType::kF64).constant().values({-1e6,  -2e5, 3e6,    1e6,   0,     0,
                                                    kInf,  4,    kNan,   1,     2,     3,
                                                    1e300, 2,    3,      1e301, 4,     4,
                                                    1,     1,    -1e300, -1e18, 1e300, 1e18});
  for (const bool aligned : {false, true}) {
    for (const int64_t ratio : {0, 2}) {
      s.add({in({1, 2, 5, 5}), wild, in({6}).as(DType::kI64).values({0, 0, 0, 0, 0, 0})},
            RoiAlignAttrs{{2, 3}, 1.0, ratio, aligned})
          .no_second_order("the op is linear")
          .name("boxes that are none, endless or far too large");
    }
  }
  s.add({in({1, 2, 5, 5}), in({0, 4}).as(DType::kF32).constant(), in({0}).as(DType::kI64)},
        RoiAlignAttrs{2})
      .name("no box");
  s.error({in({2, 3, 7}), box, of}, RoiAlignAttrs{}, kValue, "[n,c,h,w]");
  s.error({in({2, 3, 7, 6}), in({4, 5}), of}, RoiAlignAttrs{}, kValue, "[k,4]");
  s.error({in({2, 3, 7, 6}), box, in({3}).as(DType::kI64)}, RoiAlignAttrs{}, kValue, "images");
  s.error({in({2, 3, 7, 6}), box, in({4})}, RoiAlignAttrs{}, ErrorCode::kType, "i32 or i64");
  s.error({in({2, 3, 7, 6}), box, of}, RoiAlignAttrs{0}, kValue, "output_size");
  s.error({in({2, 3, 7, 6}), box, of}, RoiAlignAttrs{1, 0}, kValue, "scale");
  s.error({in({2, 3, 7, 6}), box, of}, RoiAlignAttrs{1, 1, -1}, kValue, "sampling_ratio");
  s.error({in({1, 3, 7, 6}), box, of}, RoiAlignAttrs{}, ErrorCode::kIndex, "image 1 of box 0");
}
RUTILE_SAMPLES(roi_align_grad) {
  const Input box = boxes(DType::kF64), of = images(DType::kI64);
  s.add({in({4, 3, 2, 3}), box, of}, RoiAlignGradAttrs{{2, 3, 7, 6}, 0.9, 2, true})
      .dtypes({DType::kF32, DType::kF64})
      .no_second_order("the op is linear");
  s.add({in({4, 37, 2, 2}).transposed(), box, of}, RoiAlignGradAttrs{{2, 37, 5, 5}})
      .no_second_order("the op is linear");
  s.error({in({4, 3, 2, 2}), box, of}, RoiAlignGradAttrs{{2, 3, 7}}, kValue, "input_size");
  s.error({in({4, 2, 2, 2}), box, of}, RoiAlignGradAttrs{{2, 3, 7, 6}}, kValue, "dy expects");
}

}  // namespace
}  // namespace rutile::samples
