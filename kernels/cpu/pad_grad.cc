// SPDX-License-Identifier: Apache-2.0
// Gradient of padding that repeats elements: each row of dx asks the rows of dy that show it, then
// folds the padding of the row itself.
#include <algorithm>
#include <vector>

#include "rutile/core/thread.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/pad_source.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/view.h"

namespace rutile::kernels {
namespace {

// A dimension: for each position of dx the positions of dy that show it.
struct Shown {
  int64_t size = 1;
  std::vector<std::vector<int64_t>> at;
};

struct PadGradPlan : Plan {
  std::vector<Shown> dims;              // slowest of memory first
  SmallVector<int64_t, kMaxRank> step;  // of dy
  int64_t rows = 1, width = 1, padded = 1;
  bool folds = false;  // the row has padding
  int64_t grain = 1;
};

// Adds the rows of dy behind index `row` of the outer dimensions.
template <class T>
void add_rows(const PadGradPlan& p, const T* dy, int64_t row, Acc<T>* sum) {
  const int last = static_cast<int>(p.dims.size()) - 1;
  const std::vector<int64_t>* lists[kMaxRank] = {};
  for (int d = last - 1; d >= 0; --d) {
    const Shown& shown = p.dims[static_cast<size_t>(d)];
    lists[d] = &shown.at[static_cast<size_t>(row % shown.size)];
    row /= shown.size;
  }
  size_t choice[kMaxRank] = {};
  while (true) {
    int64_t at = 0;
    for (int d = 0; d < last; ++d) at += (*lists[d])[choice[d]] * p.step[d];
    for (int64_t j = 0; j < p.padded; ++j) sum[j] += convert<Acc<T>>(dy[at + j]);
    int d = last - 1;
    for (; d >= 0 && ++choice[d] == lists[d]->size(); --d) choice[d] = 0;
    if (d < 0) return;
  }
}

template <class T>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const PadGradPlan&>(plan);
  const T* dy = static_cast<const T*>(args.in[0]);
  auto* sums = static_cast<Acc<T>*>(args.workspace);
  const int64_t parts = std::min(p.rows, (p.rows + p.grain - 1) / p.grain);
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      Acc<T>* sum = sums + part * p.padded;
      for (int64_t row = p.rows * part / parts; row < p.rows * (part + 1) / parts; ++row) {
        std::fill_n(sum, p.padded, Acc<T>(0));
        add_rows(p, dy, row, sum);
        T* dx = static_cast<T*>(args.out[0]) + row * p.width;
        for (int64_t j = 0; j < p.width; ++j) {
          Acc<T> v = p.folds ? Acc<T>(0) : sum[j];
          if (p.folds) {
            for (const int64_t i : p.dims.back().at[static_cast<size_t>(j)]) v += sum[i];
          }
          dx[j] = convert<T>(v);
        }
      }
    }
  });
  return Status();
}

bool supports(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  const TensorMeta &dy = c.in(0), &dx = c.out();
  const bool rows = dy.is_contiguous() && dx.is_contiguous();
  const bool pixels = dy.is_channels_last() && dx.is_channels_last();
  if ((rows || pixels) && dy.layout == kStrided && dx.numel() > 0 && dx.rank() > 0) return true;
  return refuse(reason, "takes row-major and channels-last tensors that are not empty");
}

Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<PadGradPlan>();
  const TensorMeta &dy = c.in(0), &dx = c.out();
  const auto& a = c.as<ops::PadAttrs>();
  Dims order;
  const bool pixels = dx.is_channels_last() && dy.is_channels_last() && !dx.is_contiguous();
  for (int d = 0; d < dx.rank(); ++d) order.push_back(pixels ? Dims{0, 2, 3, 1}[d] : d);
  for (const int64_t dim : order) {
    const int d = static_cast<int>(dim);
    Shown s;
    s.size = dx.shape[d];
    s.at.resize(static_cast<size_t>(s.size));
    for (int64_t i = 0; i < dy.shape[d]; ++i) {
      const int64_t from = pad_source(i - a.before[d], s.size, a.mode);
      if (from >= 0) s.at[static_cast<size_t>(from)].push_back(i);
    }
    p->dims.push_back(std::move(s));
    p->step.push_back(dy.strides[d]);
    p->rows *= dx.shape[d];
  }
  const int last = static_cast<int>(order.back());
  p->width = dx.shape[last];
  p->padded = dy.shape[last];
  p->rows /= p->width;
  p->folds = p->width != p->padded;
  p->grain = std::max<int64_t>(1, (1 << 13) / p->padded);
  // A row of sums for each part of the work; no more parts than make sense.
  p->grain = std::max(p->grain, (p->rows + 63) / 64);
  const int64_t parts = (p->rows + p->grain - 1) / p->grain;
  p->workspace_bytes = static_cast<size_t>(parts * p->padded) * (dx.dtype == DType::kF64 ? 8 : 4);
  p->run =
      dispatch_float(dx.dtype, [](auto t) -> RunFn { return run<typename decltype(t)::type>; });
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_pad_grad_cpu() {
  register_kernel({.op = &ops::kPadGrad, .name = "rows", .supports = supports, .prepare = prepare});
}

}  // namespace rutile::kernels
