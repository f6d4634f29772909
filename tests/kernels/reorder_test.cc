// SPDX-License-Identifier: Apache-2.0
// Weights between blocked layouts: the same bits as through a row-major tensor.
#include <gtest/gtest.h>

#include <string_view>

#include "rutile/core/placement.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/view.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

TEST(ReorderTiles, KeepEveryElement) {
  struct Way {
    const char *from, *to;
    DType dtype;
  };
  const Way ways[] = {
      {"ABcd16b16a", "ABcd16a16b", DType::kF32},    {"ABcd16b16a", "BAcd16a16b", DType::kF32},
      {"ABcd16b16a", "ABcd8b16a2b", DType::kBF16},  {"ABcd16b16a", "ABcd8a16b2a", DType::kBF16},
      {"BAcd16b16a", "BAcd8a16b2a", DType::kBF16},  {"ABcd16b16a", "AcdB16b64a2b", DType::kBF16},
      {"ABcd16b16a", "AcdB16b32a2b", DType::kBF16}, {"ABcd16b16a", "BcdA16a64b2a", DType::kBF16},
      {"BAcd16b16a", "BcdA16a16b2a", DType::kBF16}};
  for (const Shape& shape : {Shape{48, 32, 3, 3}, Shape{37, 20, 1, 5}, Shape{16, 6, 1, 1},
                             Shape{128, 64, 3, 2}, Shape{64, 192, 1, 1}, Shape{96, 80, 2, 1}}) {
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

// Those that AMX wants, where blocks hold several tiles.
TEST(ReorderTiles, TakeBlocksOfSeveralTiles) {
  if (kernels::isa() != kernels::Isa::kAvx512) GTEST_SKIP() << "needs AVX-512 with bf16";
  const auto takes = [](const Shape& shape, const char* to) {
    TensorMeta x, y;
    throw_if_error(place(shape, DType::kF32, kCpu, {intern_layout("ABcd16b16a"), false}, &x));
    throw_if_error(place(shape, DType::kBF16, kCpu, {intern_layout(to), false}, &y));
    const ops::ReorderAttrs attrs{{y.layout, false}, DType::kBF16};
    const TensorMeta* in[] = {&x};
    const CallMeta call{&ops::kReorder, &attrs, in, {&y, 1}};
    for (const KernelRow& row : kernel_rows(ops::kReorder, DeviceType::kCpu)) {
      Reason reason;
      if (std::string_view(row.name) == "reorder_tiles") return row.supports(call, &reason);
    }
    return false;
  };
  EXPECT_TRUE(takes({128, 64, 3, 3}, "AcdB16b64a2b"));
  EXPECT_TRUE(takes({128, 64, 3, 3}, "BcdA16a64b2a"));
  EXPECT_TRUE(takes({32, 96, 1, 1}, "AcdB16b32a2b"));
  EXPECT_FALSE(takes({96, 64, 1, 1}, "AcdB16b64a2b"));  // padded
  EXPECT_FALSE(takes({64, 80, 1, 1}, "AcdB16b64a2b"));
}

}  // namespace
}  // namespace rutile
