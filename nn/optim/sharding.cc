// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/sharding.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::nn::optim {

namespace {

constexpr double kMessageMegabytes = 25;

double megabytes(const TensorMeta& m) {
  return static_cast<double>(m.numel()) * static_cast<double>(dtype_size(m.dtype)) / 1e6;
}

// Large ones first, each to the rank that has least so far.
void choose_owners(const std::vector<ParameterPtr>& parameters, int ranks,
                   std::vector<Shard>* shards) {
  std::vector<size_t> order;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if ((*shards)[i].kind == ShardKind::kOwned) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return parameters[a]->meta().numel() > parameters[b]->meta().numel();
  });
  std::vector<int64_t> load(static_cast<size_t>(ranks), 0);
  for (const size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    (*shards)[i].owner = static_cast<int>(least - load.begin());
    *least += parameters[i]->meta().numel();
  }
}

// Calls fn(first, last) for runs of one dtype that fit a message.
template <class Fn>
void each_message(const std::vector<ParameterPtr>& parameters, std::span<const size_t> which,
                  const Fn& fn) {
  for (size_t first = 0; first < which.size();) {
    const DType t = parameters[which[first]]->meta().dtype;
    size_t last = first;
    double mb = 0;
    while (last < which.size() && parameters[which[last]]->meta().dtype == t &&
           (last == first || mb < kMessageMegabytes)) {
      mb += megabytes(parameters[which[last++]]->meta());
    }
    fn(which.subspan(first, last - first));
    first = last;
  }
}

}  // namespace

Sharding::Sharding(const std::vector<ParameterPtr>& parameters, ShardOptions options,
                   bool elementwise)
    : parameters_(parameters), options_(std::move(options)) {
  const std::shared_ptr<Communicator> group = communicator(options_.group);
  rank_ = group->rank();
  ranks_ = group->size();
  for (const ParameterPtr& p : parameters_) {
    const TensorMeta& m = p->meta();
    Shard s{.shape = m.shape};
    if (ranks_ > 1 && megabytes(m) * 1e6 >= options_.threshold_kb * 1024 && m.numel() > 0) {
      s.kind = elementwise ? ShardKind::kPart : ShardKind::kOwned;
      s.part = elementwise ? (m.numel() + ranks_ - 1) / ranks_ : 0;
    }
    shards_.push_back(s);
    parts_.emplace_back();
    if (s.kind != ShardKind::kPart) continue;
    const DType wide = is_low_precision(m.dtype) ? DType::kF32 : m.dtype;
    parts_.back() =
        std::make_shared<Parameter>(p->name(), Tensor::zeros({s.part}, wide).to(m.device));
    parts_.back()->set_requires_grad(false);
  }
  choose_owners(parameters_, ranks_, &shards_);
}

Tensor Sharding::own(const Shard& s, const Tensor& value) const {
  const bool cut =
      s.kind == ShardKind::kPart && value.shape() == Shape{s.part} && !(value.shape() == s.shape);
  if (s.kind == ShardKind::kWhole || cut) return value;
  if (!(value.shape() == s.shape)) {
    throw_error(ErrorCode::kValue,
                cat("a sharded state expects ", s.shape, ", got ", value.meta()));
  }
  if (s.kind == ShardKind::kOwned) {
    return s.owner == rank_ ? value : Tensor::empty({0}, value.dtype()).to(value.device());
  }
  // A copy, not a view: the memory of the whole is to be given back.
  const Tensor plain = ops::contiguous(value.to(kCpu));
  Tensor part = Tensor::zeros({s.part}, value.dtype());
  const int64_t first = std::min(rank_ * s.part, plain.numel());
  const int64_t n = std::min(s.part, plain.numel() - first);
  const size_t size = dtype_size(value.dtype());
  if (n > 0) {
    std::memcpy(part.mutable_data(),
                static_cast<const char*>(plain.data()) + static_cast<size_t>(first) * size,
                static_cast<size_t>(n) * size);
  }
  return part.to(value.device());
}

Tensor Sharding::whole(const Shard& s, const Tensor& own) const {
  if (s.kind == ShardKind::kWhole) return own;
  if (s.kind == ShardKind::kOwned) {
    const Tensor give =
        s.owner == rank_ ? own : Tensor::zeros(s.shape, own.dtype()).to(own.device());
    return ops::broadcast(give, {.root = s.owner, .group = options_.group});
  }
  const Tensor all = ops::all_gather(own, {.group = options_.group, .size = ranks_});
  return ops::reshape(ops::slice_axis(all, 0, 0, s.shape.numel()), s.shape);
}

Tensor Sharding::own_part(const Shard& s, const Tensor& whole) const {
  const Tensor flat = ops::reshape(whole, {-1});
  const int64_t first = std::min(rank_ * s.part, flat.numel());
  const int64_t n = std::min(s.part, flat.numel() - first);
  const Tensor there = ops::slice_axis(flat, 0, first, first + n);
  if (n == s.part) return there;
  const Tensor rest = Tensor::zeros({s.part - n}, whole.dtype()).to(whole.device());
  if (n == 0) return rest;
  const Tensor both[] = {there, rest};
  return ops::concat(both);
}

ParameterPtr Sharding::begin(size_t i, Tensor* grad) {
  const Shard& s = shards_[i];
  if (s.kind == ShardKind::kWhole) return parameters_[i];
  if (s.kind == ShardKind::kOwned) return s.owner == rank_ ? parameters_[i] : nullptr;
  const ParameterPtr& part = parts_[i];
  const Tensor now = own_part(s, parameters_[i]->read());
  const DType wide = part->meta().dtype;
  part->set_value(now.dtype() == wide ? now : ops::cast(now, wide));
  if (!is_part(i, *grad)) *grad = own_part(s, *grad);
  return part;
}

std::vector<bool> Sharding::parts() const {
  std::vector<bool> cut;
  for (const Shard& s : shards_) cut.push_back(s.kind == ShardKind::kPart);
  return cut;
}

bool Sharding::is_part(size_t i, const Tensor& grad) const {
  const Shard& s = shards_[i];
  return s.kind == ShardKind::kPart && grad.shape() == Shape{s.part} && !(grad.shape() == s.shape);
}

void Sharding::finish(std::span<const size_t> updated) {
  std::vector<size_t> parts;
  std::vector<std::vector<size_t>> owned(static_cast<size_t>(ranks_));
  for (const size_t i : updated) {
    if (shards_[i].kind == ShardKind::kPart) parts.push_back(i);
    if (shards_[i].kind == ShardKind::kOwned) {
      owned[static_cast<size_t>(shards_[i].owner)].push_back(i);
    }
  }
  each_message(parameters_, parts, [this](std::span<const size_t> some) { gather_parts(some); });
  for (int r = 0; r < ranks_; ++r) {
    each_message(parameters_, owned[static_cast<size_t>(r)],
                 [this, r](std::span<const size_t> some) { broadcast_owned(r, some); });
  }
}

void Sharding::gather_parts(std::span<const size_t> some) {
  std::vector<Tensor> lines;
  int64_t total = 0;
  for (const size_t i : some) {
    const Tensor part = parts_[i]->read();
    const DType narrow = parameters_[i]->meta().dtype;
    lines.push_back(part.dtype() == narrow ? part : ops::cast(part, narrow));
    total += shards_[i].part;
  }
  const Tensor all = ops::all_gather(ops::concat(lines), {.group = options_.group, .size = ranks_});
  lines.clear();
  const Tensor rows = ops::reshape(all, {ranks_, total});
  int64_t at = 0;
  for (const size_t i : some) {
    const Shard& s = shards_[i];
    Tensor flat = ops::reshape(ops::slice_axis(rows, 1, at, at + s.part), {-1});
    if (flat.numel() != s.shape.numel()) flat = ops::slice_axis(flat, 0, 0, s.shape.numel());
    parameters_[i]->set_value(ops::reshape(flat, s.shape));
    at += s.part;
  }
}

void Sharding::broadcast_owned(int owner, std::span<const size_t> some) {
  std::vector<Tensor> lines;
  for (const size_t i : some) lines.push_back(ops::reshape(parameters_[i]->read(), {-1}));
  const Tensor all = ops::broadcast(ops::concat(lines), {.root = owner, .group = options_.group});
  lines.clear();
  int64_t at = 0;
  for (const size_t i : some) {
    const int64_t n = shards_[i].shape.numel();
    parameters_[i]->set_value(ops::reshape(ops::slice_axis(all, 0, at, at + n), shards_[i].shape));
    at += n;
  }
}

void Sharding::move(Device device) {
  for (const ParameterPtr& p : parts_) {
    if (!p || p->meta().device == device) continue;
    p->state()->set_concrete(p->value().to(device));
  }
}

}  // namespace rutile::nn::optim
