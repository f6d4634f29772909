// SPDX-License-Identifier: Apache-2.0
// Shapes: views (read-only aliases without a copy), and ops that move elements about.
//
//   Tensor y = reshape(x, {n, -1});                  // x [n,c,h,w] -> [n, c*h*w]
//   Tensor z = slice(x, {0, 2}, {8, 4});             // x[0:8, 2:4]
//   Tensor last = slice(x, {-1}, {kEnd});            // x[-1:]
//
// All take any dtype and keep it; gradients exist for floating ones. A wrong axis is kIndex, a
// wrong shape or width kValue. Axes may be negative: they count from the end.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "rutile/core/placement.h"
#include "rutile/ops/call.h"

namespace rutile::ops {

// "To the end" in slices.
inline constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();

// ---- Views --------------------------------------------------------------------------------------

struct ReshapeAttrs {
  Dims shape;
  RUTILE_REFLECT(shape)
};
extern RUTILE_API const OpDef kReshape;
// Same elements in row-major order, new shape; one entry may be -1 and is worked out. A view where
// the strides allow it, otherwise of a row-major copy.
RUTILE_API Tensor reshape(Arg x, const Shape& shape);
// Dimensions first..last become one.
RUTILE_API Tensor flatten(Arg x, int64_t first = 0, int64_t last = -1);
// Drops the dimensions of size 1 among `axes` (all of size 1 if empty). An axis of another size is
// an error.
RUTILE_API Tensor squeeze(Arg x, const Dims& axes = {});
// A new dimension of size 1 at `axis` of the result.
RUTILE_API Tensor expand_dims(Arg x, int64_t axis);
// The strides of `shape` over the memory of x, if some exist.
RUTILE_API bool viewable_as(const TensorMeta& x, const Shape& shape, Strides* strides);

struct TransposeAttrs {
  Dims perm;  // empty: reversed
  RUTILE_REFLECT(perm)
};
extern RUTILE_API const OpDef kTranspose;
// Dimension i of the result is dimension perm[i] of x.
RUTILE_API Tensor transpose(Arg x, const Dims& perm = {});
RUTILE_API Tensor permute(Arg x, const Dims& perm);
RUTILE_API Tensor swapaxes(Arg x, int64_t a, int64_t b);

// starts, ends and steps of the leading dimensions; later ones are taken whole.
struct SliceAttrs {
  Dims starts, ends, steps;  // steps empty: 1
  RUTILE_REFLECT(starts, ends, steps)
};
extern RUTILE_API const OpDef kSlice;
// x[start:end:step, ...] as Python: negative positions count from the end, ranges are clamped. The
// op takes positive steps; the function also negative ones (a copy, reversed), where an end of
// -kEnd means "past the first element".
RUTILE_API Tensor slice(Arg x, const Dims& starts, const Dims& ends, const Dims& steps = {});
// x[..., start:end:step, ...] on one axis.
RUTILE_API Tensor slice_axis(Arg x, int64_t axis, int64_t start, int64_t end, int64_t step = 1);
// x[..., index, ...]: the axis disappears. Outside [-n, n) is kIndex.
RUTILE_API Tensor select(Arg x, int64_t axis, int64_t index);

struct SplitAttrs {
  Dims sizes;  // of the parts; empty: `sections` equal ones
  int64_t sections = 1;
  int64_t axis = 0;
  RUTILE_REFLECT(sizes, sections, axis)
};
extern RUTILE_API const OpDef kSplit;
// Equal parts along an axis, whose size `sections` must divide.
RUTILE_API std::vector<Tensor> split(Arg x, int64_t sections, int64_t axis = 0);
// Parts of the given sizes, which must sum to the size of the axis.
RUTILE_API std::vector<Tensor> split_sizes(Arg x, std::span<const int64_t> sizes, int64_t axis = 0);

// ---- Copies
// ---------------------------------------------------------------------------------------

extern RUTILE_API const OpDef kContiguous;
// x itself if it is row-major already, otherwise a row-major copy, also out of a blocked layout.
RUTILE_API Tensor contiguous(Arg x);

struct ReorderAttrs {
  Placement to;
  OptionalDType dtype{};  // default: x's
  RUTILE_REFLECT(to, dtype)
};
extern RUTILE_API const OpDef kReorder;
// The same values placed otherwise in memory: "row_major", "channels_last" or a layout tag.
RUTILE_API Tensor reorder(Arg x, const Placement& to);
// x itself if it is channels-last already.
RUTILE_API Tensor to_channels_last(Arg x);

struct ConcatAttrs {
  int64_t axis = 0;
  RUTILE_REFLECT(axis)
};
extern RUTILE_API const OpDef kConcat;
// Joins along an axis; the other dimensions agree, dtypes are promoted.
RUTILE_API Tensor concat(std::span<const Tensor> xs, int64_t axis = 0,
                         std::source_location where = std::source_location::current());
// Joins tensors of one shape along a new axis.
RUTILE_API Tensor stack(std::span<const Tensor> xs, int64_t axis = 0,
                        std::source_location where = std::source_location::current());

}  // namespace rutile::ops

namespace rutile {
// What the elements that pad() adds are: one value, the interior mirrored at the border (without
// the border itself), the border repeated, or the other end.
enum class PadMode : uint8_t { kConstant, kReflect, kReplicate, kCircular };
template <>
struct EnumNames<PadMode> {
  static constexpr const char* value[] = {"constant", "reflect", "replicate", "circular"};
};
}  // namespace rutile

namespace rutile::ops {

struct PadAttrs {
  Dims before, after;  // widths per dimension of x
  PadMode mode = PadMode::kConstant;
  Scalar value = 0;
  RUTILE_REFLECT(before, after, mode, value)
};
extern RUTILE_API const OpDef kPad;
// Adds before[i] and after[i] elements around dimension i. Reflection needs widths below the size,
// circular at most the size.
RUTILE_API Tensor pad(Arg x, const Dims& before, const Dims& after,
                      PadMode mode = PadMode::kConstant, Scalar value = 0);
extern RUTILE_API const OpDef kPadGrad;

struct SliceGradAttrs {
  Dims shape, starts, ends, steps;
  RUTILE_REFLECT(shape, starts, ends, steps)
};
// Zeros of `shape` with x in x[start:end:step].
extern RUTILE_API const OpDef kSliceGrad;

struct FlipAttrs {
  Dims axes;  // empty: all
  RUTILE_REFLECT(axes)
};
extern RUTILE_API const OpDef kFlip;
// Reverses the order along the axes.
RUTILE_API Tensor flip(Arg x, const Dims& axes = {});
// Moves elements by `shift` along `axis`; those pushed out come in at the other end.
RUTILE_API Tensor roll(Arg x, int64_t shift, int64_t axis);
// Repeats the whole tensor repeats[i] times along dimension i; repeats for more dimensions than x
// has add leading ones.
RUTILE_API Tensor tile(Arg x, const Dims& repeats);
// Repeats each slice along `axis` n times in place: [a, b] -> [a, a, b, b].
RUTILE_API Tensor repeat_interleave(Arg x, int64_t n, int64_t axis);

struct TriangleAttrs {
  int64_t diagonal = 0;
  RUTILE_REFLECT(diagonal)
};
extern RUTILE_API const OpDef kTril;
extern RUTILE_API const OpDef kTriu;
// The last two dimensions with zeros above (tril) or below (triu) the diagonal: element (i, j) is
// kept where j - i <= diagonal (tril) or j - i >= diagonal (triu).
RUTILE_API Tensor tril(Arg x, int64_t diagonal = 0);
RUTILE_API Tensor triu(Arg x, int64_t diagonal = 0);

}  // namespace rutile::ops
