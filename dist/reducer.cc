// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/reducer.h"

#include <algorithm>
#include <cstring>

#include "rutile/core/device_runtime.h"
#include "rutile/dist/traced_buckets.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::dist {

namespace {

struct Bucket {
  std::vector<size_t> members;   // parameters, the last of forward first
  std::vector<int64_t> offsets;  // elements
  int64_t numel = 0;
  DType dtype = DType::kF32;
  bool scatter = false;  // numel = ranks * line: each rank gets a line of it
  int64_t line = 0;
};

struct Filling {
  Tensor flat;
  std::vector<char> there;  // by member
  size_t missing = 0;
  bool started = false;
};

}  // namespace

struct GradientReducer::Impl : std::enable_shared_from_this<GradientReducer::Impl> {
  std::vector<TensorMeta> metas;
  ReducerOptions options;
  std::vector<Bucket> buckets;
  std::vector<std::vector<size_t>> members;
  std::vector<std::pair<size_t, size_t>> place_of;  // by parameter: bucket, member
  // Of this step.
  std::shared_ptr<Communicator> group;
  std::vector<Filling> filling;
  std::vector<char> present;  // by parameter: 0 where this rank has no gradient
  size_t next = 0;            // buckets start in their order, which all ranks share
  // The gradients that hooks handed over, by parameter, and in which order. Held, so that nothing
  // else comes to lie at their place.
  std::vector<Tensor> seen;
  std::vector<size_t> order;
  bool attached = false;  // hooks see this step's gradients
  bool ordered = false;   // buckets are in the order in which gradients become ready
  Device device = {};     // of the gradients
  Device place = {};      // of the buckets: there, or the cpu where the group takes no other memory
  std::vector<bool> scattered;  // by parameter; empty: none
  std::vector<size_t> order_of_buckets;
  std::unique_ptr<TracedBuckets> traced;

  std::vector<std::vector<size_t>> group_by_size(const std::vector<size_t>& in_order) const;
  void make_buckets(const std::vector<size_t>& in_order);
  void keep_order();
  bool replaced(const std::vector<Tensor>& grads) const;
  int64_t segment_of(size_t parameter) const;
  size_t riders(size_t b) const;
  void begin();
  void settle(Device of_gradients);
  void put(void* to, const void* from, size_t bytes) const;
  void add_parts(const Bucket& bucket, size_t k, const Tensor& near, void* flat) const;
  Collective collective_of(size_t b) const;
  Tensor result_of(size_t b, size_t k, const Tensor& flat) const;
  void make_flat(size_t b);
  void add(size_t parameter, const Tensor& grad);
  void attach_traced(GradScope& scope, std::span<const Tensor> watched,
                     std::span<const size_t> index);
  void finish_traced(std::vector<Tensor>* grads);
  void start_ready();
  void start(size_t b);
  void drain();
};

int64_t GradientReducer::Impl::segment_of(size_t parameter) const {
  const auto& s = options.split;
  return std::upper_bound(s.begin(), s.end(), static_cast<int64_t>(parameter)) - s.begin();
}

// Parameters by bucket. The last gradients of all have nothing left that could hide them: they
// travel by themselves, so that what was waiting for them goes ahead.
std::vector<std::vector<size_t>> GradientReducer::Impl::group_by_size(
    const std::vector<size_t>& in_order) const {
  const double small = std::min(options.first_bucket_mb, options.bucket_mb);
  const auto megabytes = [this](size_t i) {
    return static_cast<double>(metas[i].numel()) * static_cast<double>(dtype_size(metas[i].dtype)) /
           1e6;
  };
  std::vector<std::vector<size_t>> groups;
  double room = 0;
  int64_t segment = -1;
  for (const size_t i : in_order) {
    const bool full = options.split.empty() ? megabytes(i) > room : segment_of(i) != segment;
    if (groups.empty() || full || metas[groups.back().front()].dtype != metas[i].dtype) {
      room = groups.empty() ? small : options.bucket_mb;
      segment = segment_of(i);
      groups.emplace_back();
    }
    groups.back().push_back(i);
    room -= megabytes(i);
  }
  if (groups.empty() || !options.split.empty()) return groups;
  std::vector<size_t>& last = groups.back();
  auto cut = last.end();
  for (double left = small; cut != last.begin() && megabytes(*(cut - 1)) <= left; --cut) {
    left -= megabytes(*(cut - 1));
  }
  if (cut != last.begin() && cut != last.end()) {
    std::vector<size_t> tail(cut, last.end());
    last.erase(cut, last.end());
    groups.push_back(std::move(tail));
  }
  return groups;
}

void GradientReducer::Impl::make_buckets(const std::vector<size_t>& in_order) {
  order_of_buckets = in_order;
  std::vector<size_t> cut, whole;
  for (const size_t i : in_order) {
    (i < scattered.size() && scattered[i] ? cut : whole).push_back(i);
  }
  members = group_by_size(cut);
  const size_t num_cut = members.size();
  for (auto& group : group_by_size(whole)) members.push_back(std::move(group));
  // What rides along needs a bucket that all ranks get.
  if (num_cut > 0 && whole.empty()) members.emplace_back();
  const int64_t ranks = num_cut > 0 ? communicator(options.group)->size() : 1;
  buckets.clear();
  place_of.resize(metas.size());
  for (const std::vector<size_t>& group : members) {
    Bucket& b = buckets.emplace_back();
    b.members = group;
    b.scatter = buckets.size() <= num_cut;
    if (!group.empty()) b.dtype = metas[group.front()].dtype;
    for (const size_t i : group) {
      place_of[i] = {buckets.size() - 1, b.offsets.size()};
      b.offsets.push_back(b.line);
      b.line += b.scatter ? ops::part_of(metas[i].numel(), ranks) : metas[i].numel();
    }
    b.numel = b.scatter ? ranks * b.line : b.line;
  }
}

// Behind the gradients of the last bucket, a number for each parameter: more than 0 if any rank has
// a gradient of it; and one that is more than 0 if any rank has not seen in which order its
// gradients became ready. When that bucket starts, the rank knows of all its gradients.
size_t GradientReducer::Impl::riders(size_t b) const {
  return b + 1 == buckets.size() && is_floating(buckets[b].dtype) ? metas.size() + 1 : 0;
}

// From the second step on buckets hold what becomes ready one after the other, by the order that
// rank 0 saw in the first.
void GradientReducer::Impl::keep_order() {
  ordered = true;
  if (!options.split.empty()) return;
  std::vector<char> there(metas.size(), 0);
  for (const size_t i : order) there[i] = 1;
  for (size_t i = metas.size(); i-- > 0;) {
    if (!there[i]) order.push_back(i);
  }
  std::vector<int64_t> numbers(order.begin(), order.end());
  throw_if_error(group->run({.kind = CollectiveKind::kBroadcast,
                             .dtype = DType::kI64,
                             .shape = {static_cast<int64_t>(numbers.size())},
                             .in = numbers.data(),
                             .out = numbers.data()}));
  make_buckets({numbers.begin(), numbers.end()});
}

// Whether somebody changed gradients between backward and finish(): clipped them, for instance.
bool GradientReducer::Impl::replaced(const std::vector<Tensor>& grads) const {
  for (size_t i = 0; i < seen.size(); ++i) {
    if (!seen[i].defined()) continue;
    if (!grads[i].defined() || grads[i].impl()->data != seen[i].impl()->data) return true;
  }
  return false;
}

void GradientReducer::Impl::begin() {
  drain();
  present.assign(metas.size(), 1);
  seen.assign(metas.size(), {});
  order.clear();
  attached = false;
  group = communicator(options.group);
  filling.assign(buckets.size(), {});
  for (size_t b = 0; b < buckets.size(); ++b) {
    filling[b].there.assign(buckets[b].members.size(), 0);
    filling[b].missing = buckets[b].members.size();
  }
  next = 0;
}

void GradientReducer::Impl::settle(Device of_gradients) {
  device = of_gradients;
  place = group->takes(device) ? device : kCpu;
}

// Bytes of a tensor that lies where the buckets do.
void GradientReducer::Impl::put(void* to, const void* from, size_t bytes) const {
  if (bytes == 0) return;
  if (place == kCpu) {
    std::memcpy(to, from, bytes);
  } else {
    throw_if_error(device_runtime(place).on_device(to, from, bytes));
  }
}

// Each rank's part of a row-major gradient into the rank's line.
void GradientReducer::Impl::add_parts(const Bucket& bucket, size_t k, const Tensor& near,
                                      void* flat) const {
  const auto size = static_cast<int64_t>(dtype_size(near.dtype()));
  const int64_t ranks = bucket.numel / bucket.line, n = near.numel(), part = ops::part_of(n, ranks);
  const char* const from = static_cast<const char*>(near.impl()->data);
  for (int64_t r = 0; r < ranks; ++r) {
    const int64_t first = std::min(r * part, n), own = std::min(part, n - first);
    char* const to = static_cast<char*>(flat) + (r * bucket.line + bucket.offsets[k]) * size;
    put(to, from + first * size, static_cast<size_t>(own * size));
    const auto rest = static_cast<size_t>((part - own) * size);
    if (rest == 0) continue;
    if (place == kCpu) {
      std::memset(to + own * size, 0, rest);
    } else {
      throw_if_error(device_runtime(place).fill(to + own * size, 0, rest));
    }
  }
}

void GradientReducer::Impl::add(size_t parameter, const Tensor& grad) {
  const auto [b, k] = place_of[parameter];
  const Bucket& bucket = buckets[b];
  Filling& f = filling[b];
  if (f.there[k]) return;
  f.there[k] = 1;
  --f.missing;
  make_flat(b);
  const DType sent = f.flat.dtype();
  const Tensor plain = ops::contiguous(grad.dtype() == sent ? grad : ops::cast(grad, sent));
  const Tensor near = plain.device() == place ? plain : plain.to(place);
  if (near.numel() == 0) return;
  if (bucket.scatter) return add_parts(bucket, k, near, f.flat.impl()->data);
  const size_t size = dtype_size(sent);
  put(static_cast<char*>(f.flat.impl()->data) + static_cast<size_t>(bucket.offsets[k]) * size,
      near.impl()->data, static_cast<size_t>(near.numel()) * size);
}

void GradientReducer::Impl::make_flat(size_t b) {
  Filling& f = filling[b];
  if (f.flat.defined()) return;
  const Bucket& bucket = buckets[b];
  const bool wire = options.wire.set && is_floating(bucket.dtype);
  f.flat = Tensor::empty({bucket.numel + static_cast<int64_t>(riders(b))},
                         wire ? options.wire.value : bucket.dtype, place);
}

Collective GradientReducer::Impl::collective_of(size_t b) const {
  const Tensor& flat = filling[b].flat;
  void* const data = flat.impl()->data;
  Collective c{.kind = CollectiveKind::kAllReduce,
               .reduce = options.reduce,
               .dtype = flat.dtype(),
               .shape = flat.shape(),
               .in = data,
               .out = data};
  if (!buckets[b].scatter) return c;
  c.kind = CollectiveKind::kReduceScatter;
  c.out = static_cast<char*>(data) + static_cast<size_t>(buckets[b].line) *
                                         static_cast<size_t>(group->rank()) *
                                         dtype_size(flat.dtype());
  return c;
}

// Of a member, when the bucket is through.
Tensor GradientReducer::Impl::result_of(size_t b, size_t k, const Tensor& flat) const {
  const Bucket& bucket = buckets[b];
  const size_t i = bucket.members[k];
  const int64_t numel = metas[i].numel(), at = bucket.offsets[k];
  if (!bucket.scatter) {
    return ops::reshape(ops::slice_axis(flat, 0, at, at + numel), metas[i].shape);
  }
  const int64_t first = group->rank() * bucket.line + at;
  return ops::slice_axis(flat, 0, first, first + ops::part_of(numel, bucket.numel / bucket.line));
}

void GradientReducer::Impl::start(size_t b) {
  make_flat(b);
  Filling& f = filling[b];
  if (const size_t n = riders(b); n > 0) {
    std::vector<float> flags(present.begin(), present.end());
    flags.push_back(attached ? 0.0f : 1.0f);
    const Tensor sent =
        ops::cast(Tensor::from<float>(std::span<const float>(flags), {static_cast<int64_t>(n)}),
                  f.flat.dtype())
            .to(place);
    const size_t size = dtype_size(f.flat.dtype());
    put(static_cast<char*>(f.flat.impl()->data) + static_cast<size_t>(buckets[b].numel) * size,
        sent.impl()->data, n * size);
  }
  const Collective c = collective_of(b);
  throw_if_error(place == kCpu ? group->start(c)
                               : group->queue_start(c, place, compute_stream(place)));
  f.started = true;
}

void GradientReducer::Impl::start_ready() {
  for (; next < buckets.size() && filling[next].missing == 0; ++next) start(next);
}

// Nobody reads or writes the buckets any more.
void GradientReducer::Impl::drain() {
  const bool any =
      std::any_of(filling.begin(), filling.end(), [](const Filling& f) { return f.started; });
  if (any && group) group->drain();
  filling.clear();
  seen.clear();
}

GradientReducer::GradientReducer(std::vector<TensorMeta> parameters, ReducerOptions options)
    : impl_(std::make_shared<Impl>()) {
  if (options.reduce != Reduce::kMean && options.reduce != Reduce::kSum) {
    throw_error(ErrorCode::kValue, "gradients are averaged or added up");
  }
  if (options.bucket_mb < 0 || options.first_bucket_mb < 0) {
    throw_error(ErrorCode::kValue, "the size of a bucket expects 0 or more");
  }
  if (options.wire.set && !is_floating(options.wire.value)) {
    throw_error(ErrorCode::kType, cat("gradients are sent as floats, not as ", options.wire.value));
  }
  impl_->metas = std::move(parameters);
  impl_->options = std::move(options);
  std::sort(impl_->options.split.begin(), impl_->options.split.end());
  // Until it is known better: from the last parameter to the first.
  std::vector<size_t> order(impl_->metas.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = order.size() - 1 - i;
  impl_->make_buckets(order);
}

GradientReducer::~GradientReducer() { impl_->drain(); }

const std::vector<std::vector<size_t>>& GradientReducer::buckets() const { return impl_->members; }
const ReducerOptions& GradientReducer::options() const { return impl_->options; }

void GradientReducer::attach(GradScope& scope, std::span<const Tensor> watched,
                             std::span<const size_t> index) {
  if (communicator(impl_->options.group)->size() == 1) return;
  if (call_modes().trace) {
    impl_->traced.reset();
    if (!impl_->scattered.empty()) impl_->attach_traced(scope, watched, index);
    return;
  }
  impl_->begin();
  impl_->attached = true;
  for (size_t k = 0; k < watched.size(); ++k) {
    const size_t parameter = index.empty() ? k : index[k];
    // A hook that outlives the step it was made for does nothing.
    scope.add_hook(watched[k], [p = std::weak_ptr<Impl>(impl_), parameter](const Tensor& g) {
      const std::shared_ptr<Impl> impl = p.lock();
      if (!impl || impl->filling.empty() || g.is_symbolic()) return Tensor();
      if (impl->order.empty()) impl->settle(g.device());
      if (!impl->seen[parameter].defined()) impl->order.push_back(parameter);
      impl->seen[parameter] = g;
      impl->add(parameter, g);
      impl->start_ready();
      return Tensor();
    });
  }
}

// In a trace the pass bucket_allreduce makes buckets of what every rank gets; those of which it
// gets a part are made here, in the order in which gradients become ready, which is that of the
// trace.
void GradientReducer::Impl::attach_traced(GradScope& scope, std::span<const Tensor> watched,
                                          std::span<const size_t> index) {
  traced = std::make_unique<TracedBuckets>(options, communicator(options.group));
  for (size_t k = 0; k < watched.size(); ++k) {
    const size_t i = index.empty() ? k : index[k];
    if (!scattered[i]) continue;
    scope.add_hook(watched[k], [p = weak_from_this(), i](const Tensor& g) {
      const std::shared_ptr<Impl> impl = p.lock();
      if (impl && impl->traced && g.is_symbolic()) impl->traced->add(i, impl->segment_of(i), g);
      return Tensor();
    });
  }
}

void GradientReducer::Impl::finish_traced(std::vector<Tensor>* grads) {
  const std::unique_ptr<TracedBuckets> buckets_of_trace =
      traced ? std::move(traced)
             : std::make_unique<TracedBuckets>(options, communicator(options.group));
  // From the last on: that is the order in which they become ready.
  for (size_t i = grads->size(); i-- > 0;) {
    Tensor& g = (*grads)[i];
    if (!g.defined()) continue;
    if (i < scattered.size() && scattered[i]) {
      buckets_of_trace->add(i, segment_of(i), g);
      continue;
    }
    const int64_t fusion = options.split.empty() ? -1 : static_cast<int64_t>(place_of[i].first) + 1;
    const OptionalDType wire = is_floating(g.dtype()) ? options.wire : OptionalDType();
    g = ops::all_reduce(g, {.reduce = options.reduce,
                            .group = options.group,
                            .wire = wire,
                            .fusion = fusion,
                            .bucket_mb = options.bucket_mb});
  }
  buckets_of_trace->finish(grads);
}

void GradientReducer::scatter(std::vector<bool> parameters) {
  impl_->scattered = std::move(parameters);
  impl_->make_buckets(impl_->order_of_buckets);
}

void GradientReducer::finish(std::vector<Tensor>* grads) {
  Impl& m = *impl_;
  if (grads->size() != m.metas.size()) {
    throw_error(ErrorCode::kValue,
                cat("expects ", m.metas.size(), " gradients, got ", grads->size()));
  }
  if (communicator(m.options.group)->size() == 1) return;
  if (call_modes().trace) return m.finish_traced(grads);
  if (m.filling.empty()) {
    m.begin();
  } else if (m.replaced(*grads)) {
    std::vector<size_t> order = std::move(m.order);
    m.begin();
    m.order = std::move(order);
    m.attached = true;
  }
  const auto first =
      std::find_if(grads->begin(), grads->end(), [](const Tensor& g) { return g.defined(); });
  const bool own = first != grads->end();
  if (own || !m.metas.empty()) m.settle(own ? first->device() : m.metas.front().device);
  bool learn = false;
  for (size_t b = 0; b < m.buckets.size(); ++b) {
    for (const size_t i : m.buckets[b].members) {
      const Tensor& g = (*grads)[i];
      if (!m.filling[b].there[m.place_of[i].second]) {
        m.present[i] = g.defined();
        m.add(i, g.defined() ? g : Tensor::zeros(m.metas[i].shape, m.metas[i].dtype));
      }
    }
    m.start_ready();
  }
  for (size_t b = 0; b < m.buckets.size(); ++b) {
    const Bucket& bucket = m.buckets[b];
    Filling& f = m.filling[b];
    const void* const data = m.collective_of(b).out;
    throw_if_error(m.place == kCpu ? m.group->wait(data)
                                   : m.group->queue_wait(data, m.place, compute_stream(m.place)));
    f.started = false;
    if (!(f.flat.device() == m.device)) f.flat = f.flat.to(m.device);
    const Tensor flat = f.flat.dtype() == bucket.dtype ? f.flat : ops::cast(f.flat, bucket.dtype);
    for (size_t k = 0; k < bucket.members.size(); ++k) {
      (*grads)[bucket.members[k]] = m.result_of(b, k, flat);
    }
    if (m.riders(b) == 0) continue;
    const std::vector<float> any =
        ops::cast(ops::slice_axis(flat, 0, bucket.numel, flat.numel()), DType::kF32)
            .to_vector<float>();
    for (size_t i = 0; i < grads->size(); ++i) m.present[i] = any[i] > 0;
    learn = !m.ordered && any.back() == 0;
  }
  for (size_t i = 0; i < grads->size(); ++i) {
    if (!m.present[i]) (*grads)[i] = Tensor();
  }
  m.filling.clear();
  m.seen.clear();
  if (learn) m.keep_order();
  m.group.reset();  // a reducer that outlives its job keeps no group
}

}  // namespace rutile::dist
