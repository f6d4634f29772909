// SPDX-License-Identifier: Apache-2.0
// Complex numbers, one element at a time, computed in double.
#include "rutile/ops/complex.h"

#include <tuple>

#include "rutile/core/complex.h"
#include "rutile/kernels/complex_math.h"
#include "rutile/kernels/complex_pairs.h"
#include "rutile/kernels/ref/ref_plan.h"
#include "rutile/kernels/register.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/special.h"

namespace rutile::kernels {
namespace {

template <class T>
T load(DType t, const void* p, int64_t i) {
  return dispatch_all(t, [&](auto id) {
    return cast_complex<T>(static_cast<const typename decltype(id)::type*>(p)[i]);
  });
}
template <class T>
void store(DType t, void* p, int64_t i, T v) {
  dispatch_all(t, [&](auto id) {
    using To = typename decltype(id)::type;
    static_cast<To*>(p)[i] = cast_complex<To>(v);
  });
}

// Offset of a broadcast input's element that belongs to `index` of the result.
int64_t offset_of(const TensorMeta& m, const Dims& index) {
  int64_t offset = 0;
  const int lead = index.rank() - m.rank();
  for (int d = 0; d < m.rank(); ++d) offset += m.shape[d] == 1 ? 0 : index[d + lead] * m.strides[d];
  return offset;
}

template <auto F>
struct Each;
template <class Out, class... In, Out (*F)(In...)>
struct Each<F> {
  template <size_t... K>
  static void all(const RefPlan& p, const KernelArgs& args, std::index_sequence<K...>) {
    for (Walk w(p.out[0]); !w.done(); w.next()) {
      const std::tuple<In...> x{
          load<In>(p.in[K].dtype, args.in[K], offset_of(p.in[K], w.index()))...};
      store<Out>(p.out[0].dtype, args.out[0], w.offset(), F(std::get<K>(x)...));
    }
  }
  static Status run(const Plan& plan, const KernelArgs& args) {
    all(ref_plan(plan), args, std::index_sequence_for<In...>{});
    return Status();
  }
};

std::complex<double> same(std::complex<double> x) { return x; }

Status run_cast(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  if (is_complex(p.in[0].dtype)) return Each<same>::run(plan, args);
  dispatch_real(p.in[0].dtype, [&](auto id) {  // 64-bit integers do not pass through double
    const auto* x = static_cast<const typename decltype(id)::type*>(args.in[0]);
    for (Walk w(p.out[0]); !w.done(); w.next()) {
      store(p.out[0].dtype, args.out[0], w.offset(), x[offset_of(p.in[0], w.index())]);
    }
  });
  return Status();
}

Status run_product(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const TensorMeta &x = p.in[0], &y = p.out[0];
  const TensorMeta* in[] = {&x};
  const uint32_t mask = ops::reduced_mask({&ops::kProd, p.attrs.get(), in, {}});
  Shape kept, reduced;
  Strides kept_strides, reduced_strides;
  for (int d = 0; d < x.rank(); ++d) {
    const bool goes = mask >> d & 1u;
    (goes ? reduced : kept).push_back(x.shape[d]);
    (goes ? reduced_strides : kept_strides).push_back(x.strides[d]);
  }
  int64_t at = 0;
  for (Walk k(kept, kept_strides); !k.done(); k.next()) {
    std::complex<double> product = 1;
    for (Walk r(reduced, reduced_strides); !r.done(); r.next()) {
      product = complex_math::mul(
          product, load<std::complex<double>>(x.dtype, args.in[0], k.offset() + r.offset()));
    }
    store(y.dtype, args.out[0], at++, product);
  }
  return Status();
}

template <RunFn kRun>
void add(const OpDef& op) {
  KernelRow row = ref_row<kRun>(op);
  row.name = "complex_ref";
  row.supports = [](const CallMeta& c, Reason*) {
    return any_complex(c) && c.in(0).layout == kStrided && c.out().layout == kStrided;
  };
  register_kernel(row);
}

// Between a complex tensor and a real one with a last dimension of 2.
Status run_copy(const Plan& plan, const KernelArgs& args) {
  const RefPlan& p = ref_plan(plan);
  const bool to_real = is_complex(p.in[0].dtype);
  const TensorMeta &z = to_real ? p.in[0] : p.out[0], &pairs = to_real ? p.out[0] : p.in[0];
  for (Walk w(pairs); !w.done(); w.next()) {
    Dims at = w.index();
    at.pop_back();
    const int64_t part = 2 * offset_at(z.strides, at) + w.index().back();
    move_element(pairs.dtype, args.out[0], to_real ? w.offset() : part, args.in[0],
                 to_real ? part : w.offset());
  }
  return Status();
}

}  // namespace

void register_complex_ref() {
#define RUTILE_COMPLEX(constant, function, ns) \
  add<Each<complex_math::function<double>>::run>(ops::constant);
#include "rutile/kernels/complex_list.inc"
#undef RUTILE_COMPLEX
  add<run_cast>(ops::kCast);
  add<run_product>(ops::kProd);
  register_kernel(ref_row<run_copy>(ops::kViewAsReal));
  register_kernel(ref_row<run_copy>(ops::kViewAsComplex));
  register_complex_pairs(true);
  register_complex_conv(true);
}

}  // namespace rutile::kernels
