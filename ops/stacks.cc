// SPDX-License-Identifier: Apache-2.0
// The functions of places.h that are made of views, concat and lookups.
#include <algorithm>
#include <vector>

#include "rutile/ops/index.h"
#include "rutile/ops/places.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

[[noreturn]] void refuse(const char* function, const std::string& what) {
  throw_error(ErrorCode::kValue, cat("[", function, "] ", what));
}

std::vector<Tensor> each(std::span<const Tensor> xs, Tensor (*f)(Arg)) {
  std::vector<Tensor> out;
  for (const Tensor& x : xs) out.push_back(f(x));
  return out;
}
void some(const char* function, std::span<const Tensor> xs) {
  if (xs.empty()) refuse(function, "expects at least one tensor");
}

std::vector<Tensor> equal_parts(const char* function, Arg x, int64_t sections, int axis) {
  if (axis >= x.tensor.rank()) {
    refuse(function, cat("expects rank ", axis + 1, " or more, got ", x.tensor.shape()));
  }
  if (sections < 1 || x.tensor.dim(axis) % sections != 0) {
    refuse(function, cat("cannot split ", x.tensor.dim(axis), " into ", sections, " equal parts"));
  }
  return split(x, sections, axis);
}

}  // namespace

Tensor narrow(Arg x, int64_t axis, int64_t start, int64_t length) {
  int d = 0;
  throw_if_error(normalize_axis(axis, x.tensor.rank(), &d));
  const int64_t n = x.tensor.dim(d), first = start < 0 ? start + n : start;
  if (first < 0 || length < 0 || first > n || length > n - first) {
    throw_error(ErrorCode::kIndex, cat("[narrow] ", length, " elements from ", start,
                                       " on do not lie in an axis of size ", n));
  }
  return slice_axis(x, d, first, first + length);
}

Tensor take_along_dim(Arg x, Arg index, int64_t axis) {
  const Shape &sx = x.tensor.shape(), &si = index.tensor.shape();
  if (sx.rank() != si.rank()) {
    refuse("take_along_dim", cat("expects tensors of one rank, got ", sx, " and ", si));
  }
  int d = 0;
  throw_if_error(normalize_axis(axis, sx.rank(), &d));
  Shape a = sx, b = si, common;
  a[d] = b[d] = 1;
  throw_if_error(broadcast_shapes(a, b, &common));
  Shape wide_x = common, wide_index = common;
  wide_x[d] = sx[d];
  wide_index[d] = si[d];
  return take_along_axis(broadcast_to(x, wide_x), broadcast_to(index, wide_index), d);
}

Tensor atleast_1d(Arg x) { return x.tensor.rank() > 0 ? x.tensor : reshape(x, {1}); }
Tensor atleast_2d(Arg x) {
  return x.tensor.rank() > 1 ? x.tensor : reshape(x, {1, x.tensor.numel()});
}
Tensor atleast_3d(Arg x) {
  const Shape& s = x.tensor.shape();
  if (s.rank() > 2) return x.tensor;
  return reshape(x, s.rank() == 2 ? Shape{s[0], s[1], 1} : Shape{1, x.tensor.numel(), 1});
}

Tensor hstack(std::span<const Tensor> xs) {
  some("hstack", xs);
  const std::vector<Tensor> rows = each(xs, atleast_1d);
  return concat(rows, rows[0].rank() == 1 ? 0 : 1);
}
Tensor vstack(std::span<const Tensor> xs) {
  some("vstack", xs);
  return concat(each(xs, atleast_2d), 0);
}
Tensor dstack(std::span<const Tensor> xs) {
  some("dstack", xs);
  return concat(each(xs, atleast_3d), 2);
}
Tensor column_stack(std::span<const Tensor> xs) {
  some("column_stack", xs);
  return concat(each(xs,
                     [](Arg x) {
                       return x.tensor.rank() > 1 ? x.tensor : reshape(x, {x.tensor.numel(), 1});
                     }),
                1);
}

std::vector<Tensor> tensor_split(Arg x, int64_t sections, int64_t axis) {
  int d = 0;
  throw_if_error(normalize_axis(axis, x.tensor.rank(), &d));
  if (sections < 1 || sections > (int64_t{1} << 20)) {
    refuse("tensor_split", cat("expects 1 to 2^20 sections, got ", sections));
  }
  const int64_t n = x.tensor.dim(d);
  std::vector<int64_t> sizes(static_cast<size_t>(sections), n / sections);
  for (int64_t i = 0; i < n % sections; ++i) ++sizes[static_cast<size_t>(i)];
  return split_sizes(x, sizes, d);
}
std::vector<Tensor> tensor_split_at(Arg x, std::span<const int64_t> ends, int64_t axis) {
  int d = 0;
  throw_if_error(normalize_axis(axis, x.tensor.rank(), &d));
  const int64_t n = x.tensor.dim(d);
  std::vector<Tensor> parts;
  int64_t from = 0;
  auto part = [&](int64_t to) {
    parts.push_back(slice_axis(x, d, std::min(from, n), std::max(std::min(from, n), to)));
  };
  for (const int64_t end : ends) {
    const int64_t to = std::clamp<int64_t>(end < 0 ? end + n : end, 0, n);
    part(to);
    from = to;
  }
  part(n);
  return parts;
}

std::vector<Tensor> hsplit(Arg x, int64_t sections) {
  return equal_parts("hsplit", x, sections, x.tensor.rank() == 1 ? 0 : 1);
}
std::vector<Tensor> vsplit(Arg x, int64_t sections) {
  if (x.tensor.rank() < 2) {
    refuse("vsplit", cat("expects rank 2 or more, got ", x.tensor.shape()));
  }
  return equal_parts("vsplit", x, sections, 0);
}
std::vector<Tensor> dsplit(Arg x, int64_t sections) {
  return equal_parts("dsplit", x, sections, 2);
}

Tensor combinations(Arg x, int64_t r, bool with_replacement) {
  const Tensor& t = x.tensor;
  if (t.rank() != 1) refuse("combinations", cat("expects rank 1, got ", t.shape()));
  if (r < 0 || r > 64) refuse("combinations", cat("expects r in 0 .. 64, got ", r));
  const int64_t n = t.dim(0);
  std::vector<int64_t> chosen, all;
  for (int64_t i = 0; i < r; ++i) chosen.push_back(with_replacement ? 0 : i);
  bool more = r > 0 && n > 0 && (with_replacement || r <= n);
  while (more) {
    all.insert(all.end(), chosen.begin(), chosen.end());
    int64_t numel = 0;
    throw_if_error(checked_numel({static_cast<int64_t>(all.size()), 8}, &numel));
    more = false;
    for (int64_t i = r - 1; i >= 0 && !more; --i) {
      auto& c = chosen[static_cast<size_t>(i)];
      if (c + 1 > (with_replacement ? n - 1 : n - r + i)) continue;
      ++c;
      for (int64_t k = i + 1; k < r; ++k) {
        chosen[static_cast<size_t>(k)] = with_replacement ? c : c + k - i;
      }
      more = true;
    }
  }
  const auto rows = r > 0 ? static_cast<int64_t>(all.size()) / r : 0;
  return gather(x, Tensor::from<int64_t>(all, {rows, r}));
}

}  // namespace rutile::ops
