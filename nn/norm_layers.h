// SPDX-License-Identifier: Apache-2.0
// Norms of images (BatchNorm2d and LayerNorm stand in layers.h). Parameters and buffers have
// PyTorch's names and first values.
//
//   auto norm = nn::make<nn::GroupNorm>(8, 64);
//   Tensor y = norm(x);   // f32[4,64,28,28], 8 groups of 8 channels
#pragma once

#include <string>

#include "rutile/nn/layers.h"
#include "rutile/ops/group_norm.h"

namespace rutile::nn {

// Batch norm of [n, c] or [n, c, l], and of [n, c, d, h, w].
class RUTILE_API BatchNorm1d : public BatchNorm2d {
 public:
  using BatchNorm2d::BatchNorm2d;
  std::string type_name() const override { return "BatchNorm1d"; }
};
class RUTILE_API BatchNorm3d : public BatchNorm2d {
 public:
  using BatchNorm2d::BatchNorm2d;
  std::string type_name() const override { return "BatchNorm3d"; }
};

struct SyncBatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // weight of the batch in the running statistics
  bool affine = true;
  std::string group = "world";  // of processes (dist/group.h)
};
// Batch norm of [n, c, ...] by the statistics of the batches of all ranks of a group together. In a
// group of one and in evaluation it is BatchNorm2d. Running statistics move as if every rank had as
// many samples as this one.
class RUTILE_API SyncBatchNorm : public BatchNorm2d {
 public:
  explicit SyncBatchNorm(int64_t channels, SyncBatchNormOptions options = {});
  std::string type_name() const override { return "SyncBatchNorm"; }

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  SyncBatchNormOptions sync_;
};

struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;
};
// x [n, channels, ...]; groups divide the channels.
class RUTILE_API GroupNorm : public Cell {
 public:
  GroupNorm(int64_t groups, int64_t channels, GroupNormOptions options = {});
  std::string type_name() const override { return "GroupNorm"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;  // null without affine

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  int64_t groups_, channels_;
  GroupNormOptions options_;
};

struct InstanceNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // weight of the batch in the running statistics
  bool affine = false;
  bool track_running_stats = false;
};
// x [n, channels, h, w], or one image [channels, h, w]. Statistics of each image; in evaluation the
// running ones where they are tracked. Another rank or number of channels: Error{kValue}.
class RUTILE_API InstanceNorm2d : public Cell {
 public:
  explicit InstanceNorm2d(int64_t channels, InstanceNormOptions options = {});
  std::string type_name() const override { return "InstanceNorm2d"; }
  std::string extra_repr() const override;
  ParameterPtr weight, bias;  // null without affine

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  virtual int spatial() const { return 2; }
  Tensor batch(const Tensor& x);

  int64_t channels_;
  InstanceNormOptions options_;
  Ref<State> running_mean_, running_var_;  // null unless tracked
};
// x [n, channels, l] or [channels, l], and [n, channels, d, h, w] or [channels, d, h, w].
class RUTILE_API InstanceNorm1d : public InstanceNorm2d {
 public:
  using InstanceNorm2d::InstanceNorm2d;
  std::string type_name() const override { return "InstanceNorm1d"; }

 private:
  int spatial() const override { return 1; }
};
class RUTILE_API InstanceNorm3d : public InstanceNorm2d {
 public:
  using InstanceNorm2d::InstanceNorm2d;
  std::string type_name() const override { return "InstanceNorm3d"; }

 private:
  int spatial() const override { return 3; }
};

using LocalResponseNormOptions = ops::LocalResponseNormAttrs;
class RUTILE_API LocalResponseNorm : public Cell {
 public:
  explicit LocalResponseNorm(int64_t size, LocalResponseNormOptions options = {});
  std::string type_name() const override { return "LocalResponseNorm"; }
  std::string extra_repr() const override;

 protected:
  Tensor construct(const Tensor& x) override;

 private:
  LocalResponseNormOptions options_;
};

}  // namespace rutile::nn
