// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/image_layers.h"

#include "rutile/ops/shuffle.h"

namespace rutile::nn {

Tensor Upsample::construct(const Tensor& x) { return ops::interpolate(x, options_); }
std::string Upsample::extra_repr() const {
  return attrs_to_string(*attrs_of<UpsampleOptions>(), &options_);
}

Tensor PixelShuffle::construct(const Tensor& x) { return ops::pixel_shuffle(x, n_); }
Tensor PixelUnshuffle::construct(const Tensor& x) { return ops::pixel_unshuffle(x, n_); }
Tensor ChannelShuffle::construct(const Tensor& x) { return ops::channel_shuffle(x, n_); }

Unfold::Unfold(Int2 kernel, UnfoldOptions options) : options_(options) { options_.kernel = kernel; }
Tensor Unfold::construct(const Tensor& x) { return ops::unfold(x, options_); }
std::string Unfold::extra_repr() const {
  return attrs_to_string(*attrs_of<UnfoldOptions>(), &options_);
}

Fold::Fold(Int2 output_size, Int2 kernel, FoldOptions options) : options_(options) {
  options_.output_size = output_size;
  options_.kernel = kernel;
}
Tensor Fold::construct(const Tensor& x) { return ops::fold(x, options_); }
std::string Fold::extra_repr() const {
  return attrs_to_string(*attrs_of<FoldOptions>(), &options_);
}

Pad::Pad(int spatial, const Dims& widths, PadMode mode, double value)
    : spatial_(spatial), widths_(widths), mode_(mode), value_(value) {
  if (widths.rank() == 1) widths_ = Dims::filled(2 * spatial, widths[0]);
  if (widths_.rank() != 2 * spatial) {
    throw_error(ErrorCode::kValue,
                cat("[Pad] widths expects 1 or ", 2 * spatial, " entries, got ", widths));
  }
}

Tensor Pad::construct(const Tensor& x) {
  if (x.rank() < spatial_ + 1) {
    throw_error(ErrorCode::kValue, cat("[", type_name(), "] x expects rank ", spatial_ + 1, " or ",
                                       spatial_ + 2, ", got ", x.shape()));
  }
  Dims before = Dims::filled(x.rank(), 0), after = before;
  for (int i = 0; i < spatial_; ++i) {
    before[x.rank() - 1 - i] = widths_[2 * i];
    after[x.rank() - 1 - i] = widths_[2 * i + 1];
  }
  return ops::pad(x, before, after, mode_, value_);
}

std::string Pad::extra_repr() const {
  return cat(widths_, value_ != 0 ? cat(", value=", value_) : "");
}

}  // namespace rutile::nn
