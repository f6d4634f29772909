// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/record.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "rutile/core/device_runtime.h"
#include "rutile/ops/cost.h"

namespace rutile::ops {

namespace {

struct Store {
  std::mutex mutex;
  int recorders = 0;
  std::vector<Recorded> values;
};

Store& store() {
  static Store& s = *new Store;  // kernels may run while the process ends
  return s;
}

Status infer_record(const CallMeta& c, TensorMeta* out) {
  if (c.as<RecordAttrs>().tag.empty()) return value_error("expects a tag");
  *out = TensorMeta({}, DType::kBool, c.in(0).device);
  return Status();
}

}  // namespace

constinit const OpDef kRecord = define({
    .name = "record",
    .inputs = {"x"},
    .outputs = {"recorded"},
    .attrs = attrs_of<RecordAttrs>(),
    .infer = infer_record,
    .flops = flops_per_input<0>,
    .effects = kHostCall,
    .no_grad = "gives a value away",
    .doc = "Keeps a copy of x under a kind and a tag, for summaries, where anybody records.",
});

Tensor record(RecordAttrs attrs, Arg x) { return call1(kRecord, &attrs, {x.tensor}, x.where); }

void start_recording() {
  const std::lock_guard lock(store().mutex);
  if (store().recorders++ == 0) store().values.clear();
}

void stop_recording() {
  const std::lock_guard lock(store().mutex);
  if (store().recorders > 0 && --store().recorders == 0) store().values.clear();
}

std::vector<Recorded> take_recorded() {
  synchronize_devices();  // what they still have to record
  const std::lock_guard lock(store().mutex);
  return std::exchange(store().values, {});
}

bool keep_recorded(const RecordAttrs& attrs, const TensorMeta& x, const void* data) {
  {
    const std::lock_guard lock(store().mutex);
    if (store().recorders == 0) return false;
  }
  Tensor copy = Tensor::empty(x.shape, x.dtype);
  const size_t size = dtype_size(x.dtype);
  auto* to = static_cast<char*>(copy.mutable_data());
  const auto* from = static_cast<const char*>(data);
  Dims index = Dims::filled(x.rank(), 0);
  for (int64_t left = x.numel(); left > 0; --left, to += size) {
    int64_t at = 0;
    for (int i = 0; i < x.rank(); ++i) at += index[i] * x.strides[i];
    std::copy_n(from + at * static_cast<int64_t>(size), size, to);
    for (int i = x.rank() - 1; i >= 0 && ++index[i] == x.shape[i]; --i) index[i] = 0;
  }
  const std::lock_guard lock(store().mutex);
  for (Recorded& r : store().values) {
    if (r.kind == attrs.kind && r.tag == attrs.tag) {
      r.value = std::move(copy);
      return true;
    }
  }
  store().values.push_back({attrs.kind, attrs.tag, std::move(copy)});
  return true;
}

}  // namespace rutile::ops
