// SPDX-License-Identifier: Apache-2.0
// What reference kernels share: a plan that keeps the call's metas and attributes, and elements of
// any real dtype read and written as double. Slow, and easy to see right.
#pragma once

#include <memory>
#include <new>
#include <utility>

#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

struct RefPlan : Plan {
  SmallVector<TensorMeta, 6> in;  // a default one stands for an absent input
  SmallVector<TensorMeta, 4> out;
  AnyAttrs attrs;
  template <class A>
  const A& as() const {
    return *static_cast<const A*>(attrs.get());
  }
};
inline const RefPlan& ref_plan(const Plan& p) { return static_cast<const RefPlan&>(p); }

template <RunFn kRun>
Status run_ref(const Plan& plan, const KernelArgs& args) {
  try {
    return kRun(plan, args);
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory, "out of memory in a reference kernel");
  }
}

template <RunFn kRun>
Status prepare_ref(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<RefPlan>();
  for (int i = 0; i < c.num_inputs(); ++i) p->in.push_back(c.has(i) ? c.in(i) : TensorMeta());
  for (const TensorMeta& m : c.outputs) p->out.push_back(m);
  p->attrs = AnyAttrs(c.op->attrs, c.attrs);
  p->run = run_ref<kRun>;
  *plan = std::move(p);
  return Status();
}

template <RunFn kRun>
KernelRow ref_row(const OpDef& op) {
  KernelRow row;
  row.op = &op;
  row.name = "ref";
  row.prepare = prepare_ref<kRun>;
  row.reference = true;
  return row;
}

// A row of an op that has others for complex numbers.
template <RunFn kRun>
KernelRow real_row(const OpDef& op) {
  KernelRow row = ref_row<kRun>(op);
  row.supports = only_real;
  return row;
}

// Elements of one tensor by their offset in memory.
class Elements {
 public:
  Elements() = default;
  Elements(const TensorMeta& m, void* p) : meta_(&m), p_(p) {}
  explicit operator bool() const { return p_ != nullptr; }
  const TensorMeta& meta() const { return *meta_; }
  double get(int64_t offset) const {
    return dispatch_real(meta_->dtype, [&](auto t) {
      using T = typename decltype(t)::type;
      return convert<double>(static_cast<const T*>(p_)[offset]);
    });
  }
  int64_t get_int(int64_t offset) const {
    return dispatch_real(meta_->dtype, [&](auto t) {
      using T = typename decltype(t)::type;
      return convert<int64_t>(static_cast<const T*>(p_)[offset]);
    });
  }
  void put(int64_t offset, double v) const {
    dispatch_real(meta_->dtype, [&](auto t) {
      using T = typename decltype(t)::type;
      static_cast<T*>(p_)[offset] = convert<T>(v);
    });
  }
  void put_int(int64_t offset, int64_t v) const {
    dispatch_real(meta_->dtype, [&](auto t) {
      using T = typename decltype(t)::type;
      static_cast<T*>(p_)[offset] = convert<T>(v);
    });
  }
  double at(const Dims& index) const { return get(offset_at(meta_->strides, index)); }
  int64_t int_at(const Dims& index) const { return get_int(offset_at(meta_->strides, index)); }
  void set(const Dims& index, double v) const { put(offset_at(meta_->strides, index), v); }
  void set_int(const Dims& index, int64_t v) const { put_int(offset_at(meta_->strides, index), v); }

 private:
  const TensorMeta* meta_ = nullptr;
  void* p_ = nullptr;
};

// Input or output i of a run; an absent input gives one that is false.
inline Elements input(const RefPlan& p, const KernelArgs& args, int i) {
  return i < p.in.size() ? Elements(p.in[i], args.in[i]) : Elements();
}
inline Elements output(const RefPlan& p, const KernelArgs& args, int i = 0) {
  return Elements(p.out[i], args.out[i]);
}

// Copies one element between tensors of one dtype.
inline void move_element(DType t, void* to, int64_t to_offset, const void* from,
                         int64_t from_offset) {
  dispatch_size(t, [&](auto id) {
    using T = typename decltype(id)::type;
    static_cast<T*>(to)[to_offset] = static_cast<const T*>(from)[from_offset];
  });
}

}  // namespace rutile::kernels
