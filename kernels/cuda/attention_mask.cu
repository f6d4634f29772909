// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/attention_mask.h"

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {
namespace {

constexpr float kInfinity = __builtin_huge_valf();

__global__ void add_mask(RUTILE_PARAM MaskArgs a) {
  const int64_t i = thread_number();
  if (i >= a.n) return;
  const int64_t from = a.mask_at.find_one(i);
  float v = 0;
  if (a.mask_type == DType::kBool) {
    v = at<uint8_t>(a.mask, from) != 0 ? 0 : kNobody;
  } else {
    v = load<float>(a.mask_type, a.mask, from);
    if (v == -kInfinity) {
      v = kNobody;
    } else if (v < kLeast) {
      v = kLeast;
    }
  }
  store<float>(a.added_type, a.added, i, v);
}

__global__ void clear_empty_rows(RUTILE_PARAM EmptyRowArgs a) {
  const int64_t i = thread_number();
  if (i >= a.rows) return;
  int64_t place[2];
  a.row.find(i, place);
  if (!(a.lse[place[0]] < 10 * kLeast)) return;
  a.lse[place[0]] = -kInfinity;
  for (int64_t k = 0; k < a.n; ++k) store<float>(a.type, a.y, place[1] + k, 0);
}

__global__ void copy_row_sums(RUTILE_PARAM RowSumArgs a) {
  const int64_t i = thread_number();
  if (i >= a.rows) return;
  const float v = a.lse[a.row.find_one(i)];
  a.out[i] = v == -kInfinity ? -kNobody : v;
}

}  // namespace

int launch_mask(const MaskArgs& a, Stream stream) {
  return launch(add_mask, cover(a.n), stream, a);
}
int launch_empty_rows(const EmptyRowArgs& a, Stream stream) {
  return launch(clear_empty_rows, cover(a.rows), stream, a);
}
int launch_row_sums(const RowSumArgs& a, Stream stream) {
  return launch(copy_row_sums, cover(a.rows), stream, a);
}

}  // namespace rutile::cuda
