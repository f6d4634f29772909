// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/shuffle.h"

#include "rutile/ops/image_meta.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

// ---- Between channels and pixels ----

// Which way, and in which order the channels of a block stand.
enum class Kind { kPixelShuffle, kPixelUnshuffle, kDepthToSpace, kSpaceToDepth };

constexpr bool to_pixels(Kind k) { return k == Kind::kPixelShuffle || k == Kind::kDepthToSpace; }

int64_t factor(const PixelShuffleAttrs& a) { return a.upscale_factor; }
int64_t factor(const PixelUnshuffleAttrs& a) { return a.downscale_factor; }
int64_t factor(const BlockAttrs& a) { return a.block_size; }

template <Kind kKind, class A>
Status infer_pixels(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const int64_t f = factor(call.as<A>());
  constexpr bool kImages = kKind == Kind::kDepthToSpace || kKind == Kind::kSpaceToDepth;
  if (kImages ? x.rank() != 4 : x.rank() < 3) {
    return value_error(
        cat("x must have shape ", kImages ? "[n,c,h,w]" : "[...,c,h,w]", ", got ", x.shape));
  }
  if (f < 1 || f > 1 << 15) return value_error(cat("the factor must be 1 to 32768, got ", f));
  Shape shape = x.shape;
  const int c = x.rank() - 3;
  if (to_pixels(kKind)) {
    if (shape[c] % (f * f) != 0) {
      return value_error(cat(f, " x ", f, " does not divide ", shape[c], " channels"));
    }
    shape[c] /= f * f;
    for (int d : {c + 1, c + 2}) {
      if (shape[d] > int64_t{1} << 40) return value_error(cat("x is too large: ", x.shape));
      shape[d] *= f;
    }
  } else {
    for (int d : {c + 1, c + 2}) {
      if (shape[d] % f != 0) {
        return value_error(
            cat(f, " does not divide ", shape[d], " pixels (", spatial_name(d - c - 1, 2), ")"));
      }
      shape[d] /= f;
    }
    if (shape[c] > int64_t{1} << 32) return value_error(cat("x is too large: ", x.shape));
    shape[c] *= f * f;
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

template <Kind kKind, class A>
TensorList compose_pixels(const void* attrs, std::span<const Tensor> in) {
  const Shape& s = in[0].shape();
  const int64_t f = factor(*static_cast<const A*>(attrs));
  const int c = s.rank() - 3;
  const int64_t lead = product(s, 0, c), down = to_pixels(kKind) ? 1 : f;
  // Of the image with fewer pixels.
  const int64_t h = s[c + 1] / down, w = s[c + 2] / down;
  const int64_t channels = to_pixels(kKind) ? s[c] / (f * f) : s[c];
  Shape to = s;
  to[c] = to_pixels(kKind) ? channels : channels * f * f;
  to[c + 1] = to_pixels(kKind) ? h * f : h;
  to[c + 2] = to_pixels(kKind) ? w * f : w;
  Shape split;
  Dims perm;
  switch (kKind) {
    case Kind::kPixelShuffle:
      split = {lead, channels, f, f, h, w};
      perm = {0, 1, 4, 2, 5, 3};
      break;
    case Kind::kDepthToSpace:
      split = {lead, f, f, channels, h, w};
      perm = {0, 3, 4, 1, 5, 2};
      break;
    case Kind::kPixelUnshuffle:
      split = {lead, channels, h, f, w, f};
      perm = {0, 1, 3, 5, 2, 4};
      break;
    case Kind::kSpaceToDepth:
      split = {lead, channels, h, f, w, f};
      perm = {0, 3, 5, 1, 2, 4};
      break;
  }
  return {reshape(transpose(reshape(in[0], split), perm), to)};
}

GradResult grad_pixel_shuffle(GradCtx& ctx) {
  return {pixel_unshuffle(ctx.grad(), ctx.attrs<PixelShuffleAttrs>().upscale_factor)};
}
GradResult grad_pixel_unshuffle(GradCtx& ctx) {
  return {pixel_shuffle(ctx.grad(), ctx.attrs<PixelUnshuffleAttrs>().downscale_factor)};
}
GradResult grad_depth_to_space(GradCtx& ctx) {
  return {space_to_depth(ctx.grad(), ctx.attrs<BlockAttrs>().block_size)};
}
GradResult grad_space_to_depth(GradCtx& ctx) {
  return {depth_to_space(ctx.grad(), ctx.attrs<BlockAttrs>().block_size)};
}

// ---- Between groups ----

Status infer_channel_shuffle(const CallMeta& call, TensorMeta* out) {
  const TensorMeta& x = call.in(0);
  const int64_t groups = call.as<ChannelShuffleAttrs>().groups;
  if (x.rank() < 2) return value_error(cat("x must have shape [n,c,...], got ", x.shape));
  if (groups < 1) return value_error(cat("groups must be positive, got ", groups));
  if (x.dim(1) % groups != 0) {
    return value_error(cat("groups ", groups, " does not divide ", x.dim(1), " channels"));
  }
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Tensor shuffled(const Tensor& x, int64_t groups) {
  const Shape& s = x.shape();
  const Shape split{s[0], groups, s[1] / groups, product(s, 2, s.rank())};
  return reshape(transpose(reshape(x, split), {0, 2, 1, 3}), s);
}

TensorList compose_channel_shuffle(const void* attrs, std::span<const Tensor> in) {
  return {shuffled(in[0], static_cast<const ChannelShuffleAttrs*>(attrs)->groups)};
}

GradResult grad_channel_shuffle(GradCtx& ctx) {
  const int64_t groups = ctx.attrs<ChannelShuffleAttrs>().groups;
  const int64_t channels = ctx.in_meta(0).dim(1);
  return {channel_shuffle(ctx.grad(), channels == 0 ? groups : channels / groups)};
}

}  // namespace

constinit const OpDef kPixelShuffle = define({
    .name = "pixel_shuffle",
    .inputs = {"x"},
    .attrs = attrs_of<PixelShuffleAttrs>(),
    .infer = infer_pixels<Kind::kPixelShuffle, PixelShuffleAttrs>,
    .grad = grad_pixel_shuffle,
    .compose = compose_pixels<Kind::kPixelShuffle, PixelShuffleAttrs>,
    .doc = "Channels become blocks of pixels.",
});

constinit const OpDef kPixelUnshuffle = define({
    .name = "pixel_unshuffle",
    .inputs = {"x"},
    .attrs = attrs_of<PixelUnshuffleAttrs>(),
    .infer = infer_pixels<Kind::kPixelUnshuffle, PixelUnshuffleAttrs>,
    .grad = grad_pixel_unshuffle,
    .compose = compose_pixels<Kind::kPixelUnshuffle, PixelUnshuffleAttrs>,
    .doc = "Blocks of pixels become channels: the inverse of pixel_shuffle.",
});

constinit const OpDef kDepthToSpace = define({
    .name = "depth_to_space",
    .inputs = {"x"},
    .attrs = attrs_of<BlockAttrs>(),
    .infer = infer_pixels<Kind::kDepthToSpace, BlockAttrs>,
    .grad = grad_depth_to_space,
    .compose = compose_pixels<Kind::kDepthToSpace, BlockAttrs>,
    .doc = "Channels become blocks of pixels, the place in the block varying slowest.",
});

constinit const OpDef kSpaceToDepth = define({
    .name = "space_to_depth",
    .inputs = {"x"},
    .attrs = attrs_of<BlockAttrs>(),
    .infer = infer_pixels<Kind::kSpaceToDepth, BlockAttrs>,
    .grad = grad_space_to_depth,
    .compose = compose_pixels<Kind::kSpaceToDepth, BlockAttrs>,
    .doc = "Blocks of pixels become channels: the inverse of depth_to_space.",
});

constinit const OpDef kChannelShuffle = define({
    .name = "channel_shuffle",
    .inputs = {"x"},
    .attrs = attrs_of<ChannelShuffleAttrs>(),
    .infer = infer_channel_shuffle,
    .grad = grad_channel_shuffle,
    .compose = compose_channel_shuffle,
    .doc = "Channels of all groups in turn.",
});

Tensor pixel_shuffle(Arg x, int64_t upscale_factor) {
  const PixelShuffleAttrs a{upscale_factor};
  return call1(kPixelShuffle, &a, {x.tensor}, x.where);
}

Tensor pixel_unshuffle(Arg x, int64_t downscale_factor) {
  const PixelUnshuffleAttrs a{downscale_factor};
  return call1(kPixelUnshuffle, &a, {x.tensor}, x.where);
}

Tensor depth_to_space(Arg x, int64_t block_size) {
  const BlockAttrs a{block_size};
  return call1(kDepthToSpace, &a, {x.tensor}, x.where);
}

Tensor space_to_depth(Arg x, int64_t block_size) {
  const BlockAttrs a{block_size};
  return call1(kSpaceToDepth, &a, {x.tensor}, x.where);
}

Tensor channel_shuffle(Arg x, int64_t groups) {
  const ChannelShuffleAttrs a{groups};
  return call1(kChannelShuffle, &a, {x.tensor}, x.where);
}

}  // namespace rutile::ops
