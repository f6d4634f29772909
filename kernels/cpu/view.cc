// SPDX-License-Identifier: Apache-2.0
// Fast kernels of the ops that move elements: all are strided copies, worked out in prepare.
#include "rutile/ops/view.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/kernels/cpu/reorder_tiles.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/index_range.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {
namespace {

constexpr double kByteNs = 0.02, kTableNs = 0.3;

// Runs a filler over all bytes of the output first.
struct Fill {
  int64_t elements = 0;
  int size = 1;
  unsigned char value[16] = {};

  static Fill of(const TensorMeta& m, const Scalar& v) {
    Fill f;
    f.elements = m.nbytes() / static_cast<int64_t>(dtype_size(m.dtype));
    f.size = static_cast<int>(dtype_size(m.dtype));
    dispatch_all(m.dtype, [&](auto id) {
      using T = typename decltype(id)::type;
      T t{};
      if constexpr (std::is_same_v<T, std::complex<float>> ||
                    std::is_same_v<T, std::complex<double>>) {
        t = T(static_cast<typename T::value_type>(v.f));
      } else {
        t = v.kind == Scalar::Kind::kFloat ? convert<T>(v.f) : convert<T>(v.i);
      }
      std::memcpy(f.value, &t, sizeof t);
    });
    return f;
  }
  void run(void* p) const {
    const bool bytes =
        std::all_of(value, value + size, [&](unsigned char b) { return b == value[0]; });
    auto with = [&](auto v) {
      std::memcpy(&v, value, sizeof v);
      auto* out = static_cast<decltype(v)*>(p);
      parallel_for(0, elements, grain_for(kByteNs * sizeof v), [&](int64_t b, int64_t e) {
        if (bytes) {
          std::memset(out + b, value[0], static_cast<size_t>(e - b) * sizeof v);
        } else {  // the first ones again and again, from the cache
          const int64_t first = std::min<int64_t>(e - b, 8192 / sizeof v);
          std::fill(out + b, out + b + first, v);
          for (int64_t i = b + first; i < e; i += first) {
            std::memcpy(out + i, out + b, static_cast<size_t>(std::min(first, e - i)) * sizeof v);
          }
        }
      });
    };
    switch (size) {
      case 1:
        return with(uint8_t{});
      case 2:
        return with(uint16_t{});
      case 4:
        return with(uint32_t{});
      case 8:
        return with(uint64_t{});
      default:
        return with(Bytes16{});
    }
  }
};

// An optional filler, then copies from inputs into places of the output.
struct MovePlan : Plan {
  struct Piece {
    CopyPlan copy;
    int input = 0;
    int64_t from = 0, to = 0;  // bytes
  };
  bool fills = false;
  Fill fill;
  std::vector<Piece> pieces;
};

Status run_move(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const MovePlan&>(plan);
  if (p.fills) p.fill.run(args.out[0]);
  for (const MovePlan::Piece& piece : p.pieces) {
    piece.copy.run(static_cast<const char*>(args.in[piece.input]) + piece.from,
                   static_cast<char*>(args.out[0]) + piece.to);
  }
  return Status();
}

std::unique_ptr<MovePlan> make_move() {
  auto p = std::make_unique<MovePlan>();
  p->run = run_move;
  return p;
}

void add_piece(MovePlan& p, const TensorMeta& x, int input, const Strides& to, int64_t to_offset,
               int64_t from_offset = 0, const Strides* from = nullptr) {
  const int size = static_cast<int>(dtype_size(x.dtype));
  p.pieces.push_back({CopyPlan(x.shape, from ? *from : x.strides, to, size), input,
                      from_offset * size, to_offset * size});
}

Status prepare_place(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_move();
  add_piece(*p, c.in(0), 0, c.out().strides, 0);
  *plan = std::move(p);
  return Status();
}

Status prepare_concat(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_move();
  const TensorMeta& y = c.out();
  const int axis = axis_of(c.as<ops::ConcatAttrs>().axis, y.rank());
  int64_t before = 0;
  for (int i = 0; i < c.num_inputs(); ++i) {
    add_piece(*p, c.in(i), i, y.strides, before * y.strides[axis]);
    before += c.in(i).dim(axis);
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_slice_grad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_move();
  const auto& a = c.as<ops::SliceGradAttrs>();
  const TensorMeta &x = c.in(0), &y = c.out();
  p->fills = x.numel() != y.numel();
  p->fill = Fill::of(y, 0);
  Strides to = y.strides;
  int64_t offset = 0;
  // Empty slices may start anywhere.
  for (int d = 0; d < a.starts.rank() && x.numel() > 0; ++d) {
    const int64_t start = a.starts[d] < 0 ? a.starts[d] + y.shape[d] : a.starts[d];
    offset += std::max<int64_t>(start, 0) * y.strides[d];
    if (!a.steps.empty() && x.shape[d] > 1) to[d] *= a.steps[d];
  }
  if (x.numel() > 0) add_piece(*p, x, 0, to, offset);
  *plan = std::move(p);
  return Status();
}

// One axis of a padded dimension: runs of positions that come from neighbouring positions.
struct Run {
  int64_t to, from, count, step;  // step +1, -1, or 0 for one repeated position
};

std::vector<Run> pad_runs(int64_t before, int64_t n, int64_t after, PadMode mode) {
  std::vector<Run> runs;
  if (n > 0) runs.push_back({before, 0, n, 1});
  switch (mode) {
    case PadMode::kConstant:
      break;
    case PadMode::kReflect:
      if (before) runs.push_back({0, before, before, -1});
      if (after) runs.push_back({before + n, n - 2, after, -1});
      break;
    case PadMode::kReplicate:
      if (before) runs.push_back({0, 0, before, 0});
      if (after) runs.push_back({before + n, n - 1, after, 0});
      break;
    case PadMode::kCircular:
      if (before) runs.push_back({0, n - before, before, 1});
      if (after) runs.push_back({before + n, 0, after, 1});
      break;
  }
  return runs;
}

Status prepare_pad(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_move();
  const auto& a = c.as<ops::PadAttrs>();
  const TensorMeta &x = c.in(0), &y = c.out();
  p->fills = a.mode == PadMode::kConstant && x.numel() != y.numel();
  p->fill = Fill::of(y, a.value);
  // Every combination of one run per dimension is a block.
  std::vector<std::vector<Run>> runs;
  size_t blocks = x.numel() > 0 ? 1 : 0;
  for (int d = 0; d < x.rank(); ++d) {
    runs.push_back(pad_runs(a.before[d], x.shape[d], a.after[d], a.mode));
    blocks *= runs.back().size();
  }
  for (size_t b = 0; b < blocks; ++b) {
    TensorMeta block = x;
    Strides from = x.strides;
    int64_t to_offset = 0, from_offset = 0;
    size_t rest = b;
    for (int d = 0; d < x.rank(); ++d) {
      const auto& of_d = runs[static_cast<size_t>(d)];
      const Run& r = of_d[rest % of_d.size()];
      rest /= of_d.size();
      block.shape[d] = r.count;
      from[d] *= r.step;
      from_offset += r.from * x.strides[d];
      to_offset += r.to * y.strides[d];
    }
    add_piece(*p, block, 0, y.strides, to_offset, from_offset, &from);
  }
  *plan = std::move(p);
  return Status();
}

Status prepare_flip(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_move();
  const TensorMeta& x = c.in(0);
  const Dims& axes = c.as<ops::FlipAttrs>().axes;
  Strides from = x.strides;
  int64_t offset = 0;
  for (int d = 0; d < x.rank(); ++d) {
    bool flip = axes.empty();
    for (const int64_t axis : axes) flip = flip || axis_of(axis, x.rank()) == d;
    if (!flip || x.shape[d] == 0) continue;
    offset += (x.shape[d] - 1) * x.strides[d];
    from[d] = -x.strides[d];
  }
  if (x.numel() > 0) add_piece(*p, x, 0, c.out().strides, 0, offset, &from);
  *plan = std::move(p);
  return Status();
}

Status prepare_full(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = make_move();
  p->fills = true;
  p->fill = Fill::of(c.out(), c.as<ops::FullAttrs>().value);
  *plan = std::move(p);
  return Status();
}

// ---- tril, triu ---------------------------------------------------------------------------------

struct TrianglePlan : Plan {
  int64_t rows = 0, columns = 0, planes = 0, diagonal = 0, size = 0;
};

template <bool kLower>
Status run_triangle(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const TrianglePlan&>(plan);
  const int64_t row = p.columns * p.size;
  parallel_for(
      0, p.planes * p.rows, grain_for(kByteNs * static_cast<double>(row)),
      [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
          const char* x = static_cast<const char*>(args.in[0]) + n * row;
          char* y = static_cast<char*>(args.out[0]) + n * row;
          // Columns before `split` have j - i <= diagonal (tril) or j - i < diagonal (triu).
          const int64_t reach = n % p.rows + (kLower ? 1 : 0);
          const int64_t split = p.diagonal >= p.columns
                                    ? p.columns
                                    : std::clamp<int64_t>(p.diagonal + reach, 0, p.columns);
          const auto head = static_cast<size_t>(split * p.size), all = static_cast<size_t>(row);
          if (kLower) {
            std::memcpy(y, x, head);
            std::memset(y + head, 0, all - head);
          } else {
            std::memset(y, 0, head);
            std::memcpy(y + head, x + head, all - head);
          }
        }
      });
  return Status();
}

bool supports_triangle(const CallMeta& c, Reason* reason) {
  if (c.in(0).is_contiguous()) return true;
  return refuse(reason, "takes row-major tensors");
}

template <bool kLower>
Status prepare_triangle(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<TrianglePlan>();
  const TensorMeta& x = c.in(0);
  p->columns = x.shape.back();
  p->rows = x.shape[x.rank() - 2];
  p->planes = x.numel() > 0 ? x.numel() / (p->columns * p->rows) : 0;
  // Beyond these every row is whole or empty; the sums above stay small.
  p->diagonal = std::clamp<int64_t>(c.as<ops::TriangleAttrs>().diagonal, -p->rows, p->columns);
  p->size = static_cast<int64_t>(dtype_size(x.dtype));
  p->run = run_triangle<kLower>;
  *plan = std::move(p);
  return Status();
}

// ---- reorder from and to blocked layouts --------------------------------------------------------

// The offset of an element is a sum over its dimensions, in strided and in blocked layouts alike.
struct TablePlan : Plan {
  Fill zero;
  bool pads = false;
  int rank = 0;
  int64_t size[kMaxRank] = {};                        // slowest of the result first
  std::vector<int64_t> from[kMaxRank], to[kMaxRank];  // offsets by index
  int64_t outer = 1;
};

template <class T>
Status run_tables(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const TablePlan&>(plan);
  if (p.pads) p.zero.run(args.out[0]);
  const int last = p.rank - 1;
  const int64_t n = p.size[last];
  const int64_t *from = p.from[last].data(), *to = p.to[last].data();
  parallel_for(0, p.outer, grain_for(kTableNs * static_cast<double>(n)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t o = begin; o < end; ++o) {
                   int64_t rest = o, in = 0, out = 0;
                   for (int d = last - 1; d >= 0; --d) {
                     in += p.from[d][static_cast<size_t>(rest % p.size[d])];
                     out += p.to[d][static_cast<size_t>(rest % p.size[d])];
                     rest /= p.size[d];
                   }
                   const T* x = static_cast<const T*>(args.in[0]) + in;
                   T* y = static_cast<T*>(args.out[0]) + out;
                   for (int64_t i = 0; i < n; ++i) y[to[i]] = x[from[i]];
                 }
               });
  return Status();
}

int64_t dim_offset(const TensorMeta& m, int d, int64_t i) {
  return m.layout == kStrided ? m.strides[d] * i : layout_dim_offset(m.layout, m.shape, d, i);
}

Status prepare_tables(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<TablePlan>();
  const TensorMeta &x = c.in(0), &y = c.out();
  p->pads = y.nbytes() != y.numel() * static_cast<int64_t>(dtype_size(y.dtype));
  p->zero = Fill::of(y, 0);
  std::vector<int> order;
  for (int d = 0; d < x.rank(); ++d) order.push_back(d);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return dim_offset(y, a, y.shape[a] > 1) > dim_offset(y, b, y.shape[b] > 1);
  });
  // Dimensions of size 1 step nowhere; the innermost loop must be one that does.
  std::stable_partition(order.begin(), order.end(), [&](int d) { return y.shape[d] <= 1; });
  p->rank = x.rank();
  for (int k = 0; k < x.rank(); ++k) {
    const int d = order[static_cast<size_t>(k)];
    p->size[k] = x.shape[d];
    if (k + 1 < x.rank()) p->outer *= x.shape[d];
    for (int64_t i = 0; i < x.shape[d]; ++i) {
      p->from[k].push_back(dim_offset(x, d, i));
      p->to[k].push_back(dim_offset(y, d, i));
    }
  }
  if (x.numel() == 0) p->outer = 0;
  p->run = dispatch_size(x.dtype,
                         [](auto id) -> RunFn { return run_tables<typename decltype(id)::type>; });
  *plan = std::move(p);
  return Status();
}

bool same_type(const CallMeta& c, Reason* reason) {
  if (c.in(0).dtype == c.out().dtype) return true;
  return refuse(reason, "does not convert");
}

bool any_placement(const CallMeta& c, Reason* reason) {
  if (c.in(0).rank() > 0) return same_type(c, reason);
  return refuse(reason, "is 0-d");
}

bool strided(const CallMeta& c, Reason* reason) {
  if (c.in(0).layout == kStrided && c.out().layout == kStrided) return same_type(c, reason);
  return refuse(reason, "a side is blocked");
}

void add_row(const OpDef& op, const char* name,
             Status (*prepare)(const CallMeta&, std::unique_ptr<Plan>*),
             bool (*supports)(const CallMeta&, Reason*) = nullptr) {
  register_kernel({.op = &op, .name = name, .supports = supports, .prepare = prepare});
}

}  // namespace

void register_view_cpu() {
  register_reorder_tiles();
#if RUTILE_ONEDNN
  register_reorder_dnnl();
#endif
  for (const OpDef* op : {&ops::kContiguous, &ops::kReorder}) {
    add_row(*op, "copy", prepare_place, strided);
    add_row(*op, "copy_blocked", prepare_tables, any_placement);
  }
  add_row(ops::kConcat, "copy", prepare_concat);
  add_row(ops::kSliceGrad, "copy", prepare_slice_grad);
  add_row(ops::kPad, "copy", prepare_pad);
  add_row(ops::kFlip, "copy", prepare_flip);
  add_row(ops::kFull, "fill", prepare_full);
  add_row(ops::kTril, "rows", prepare_triangle<true>, supports_triangle);
  add_row(ops::kTriu, "rows", prepare_triangle<false>, supports_triangle);
}

}  // namespace rutile::kernels
