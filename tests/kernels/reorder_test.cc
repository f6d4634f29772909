// SPDX-License-Identifier: Apache-2.0
// Weights between blocked layouts: the same bits as through a row-major tensor.
#include <gtest/gtest.h>

#include "rutile/core/placement.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

TEST(ReorderTiles, KeepEveryElement) {
  struct Way {
    const char *from, *to;
    DType dtype;
  };
  const Way ways[] = {{"ABcd16b16a", "ABcd16a16b", DType::kF32},
                      {"ABcd16b16a", "BAcd16a16b", DType::kF32},
                      {"ABcd16b16a", "ABcd8b16a2b", DType::kBF16},
                      {"ABcd16b16a", "ABcd8a16b2a", DType::kBF16},
                      {"BAcd16b16a", "BAcd8a16b2a", DType::kBF16}};
  for (const Shape& shape : {Shape{48, 32, 3, 3}, Shape{37, 20, 1, 5}, Shape{16, 6, 1, 1}}) {
    const Tensor w = samples::make_tensor(samples::in(shape), DType::kF32, PhiloxKey{7});
    for (const Way& way : ways) {
      const Tensor from = ops::reorder(w, {intern_layout(way.from), false});
      const ops::ReorderAttrs attrs{{intern_layout(way.to), false}, way.dtype};
      const Tensor got = call1(ops::kReorder, &attrs, {from});
      EXPECT_EQ(placement_of(got.meta()), attrs.to);
      EXPECT_TRUE(samples::padding_is_zero(got)) << way.to;
      EXPECT_EQ(samples::to_doubles(got), samples::to_doubles(ops::cast(w, way.dtype)))
          << way.from << " to " << way.to << " of " << cat(w.meta());
    }
  }
}

}  // namespace
}  // namespace rutile
