// SPDX-License-Identifier: Apache-2.0
// The elementwise kernel, for the .cu files that instantiate it.
#pragma once

#include "rutile/kernels/cuda/elementwise.h"
#include "rutile/kernels/cuda/values.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {

// Functors of many instructions take one element at a time: eight would not fit into registers.
template <template <class> class F>
inline constexpr bool kHeavy = false;
#define RUTILE_HEAVY(name) \
  template <>              \
  inline constexpr bool kHeavy<kernels::name> = true;
RUTILE_HEAVY(Erfinv)
RUTILE_HEAVY(Lgamma)
RUTILE_HEAVY(Digamma)
RUTILE_HEAVY(Polygamma)
RUTILE_HEAVY(I0)
RUTILE_HEAVY(I1)
RUTILE_HEAVY(Igamma)
RUTILE_HEAVY(Igammac)
RUTILE_HEAVY(IgammaGradA)
RUTILE_HEAVY(Zeta)
RUTILE_HEAVY(Ndtr)
RUTILE_HEAVY(LogNdtr)
RUTILE_HEAVY(Ndtri)
RUTILE_HEAVY(Erfcx)
RUTILE_HEAVY(I0e)
RUTILE_HEAVY(I1e)
RUTILE_HEAVY(BesselJ0)
RUTILE_HEAVY(BesselJ1)
RUTILE_HEAVY(BesselY0)
RUTILE_HEAVY(BesselY1)
RUTILE_HEAVY(BesselK0)
RUTILE_HEAVY(BesselK1)
RUTILE_HEAVY(BesselK0e)
RUTILE_HEAVY(BesselK1e)
RUTILE_HEAVY(Entr)
RUTILE_HEAVY(FrexpMantissa)
RUTILE_HEAVY(FrexpExponent)
#undef RUTILE_HEAVY

// Number of inputs, then elements per thread.
template <class F, class C, int kInputs, int kEach>
RUTILE_FN auto apply_at(const F& f, const C (&v)[kInputs][kEach], int e) {
  if constexpr (kInputs == 1) {
    return f(v[0][e]);
  } else if constexpr (kInputs == 2) {
    return f(v[0][e], v[1][e]);
  } else {
    return f(v[0][e], v[1][e], v[2][e]);
  }
}

template <class F, class C, int kInputs, int kEach>
__global__ void __launch_bounds__(256) elementwise(RUTILE_PARAM ElementwiseArgs a) {
  const F f{a.params};
  const int64_t block = static_cast<int64_t>(blockIdx.x) * blockDim.x * kEach;
  const int64_t first = block + static_cast<int64_t>(threadIdx.x) * kEach;
  C v[kInputs][kEach];
  using R = decltype(apply_at<F, C, kInputs, kEach>(f, v, 0));
  R r[kEach];
  if constexpr (kEach == kVector) {
    if (a.vectors && first + kEach <= a.n) {
#pragma unroll
      for (int k = 0; k < kInputs; ++k) {
        if (a.single[k]) {
          const C x = load<C>(a.in_type[k], a.in[k], 0);
          for (int e = 0; e < kEach; ++e) v[k][e] = x;
        } else {
          load_vector(a.in_type[k], a.in[k], first, v[k]);
        }
      }
#pragma unroll
      for (int e = 0; e < kEach; ++e) r[e] = apply_at<F, C, kInputs, kEach>(f, v, e);
      store_vector(a.out_type, a.out, first, r);
      return;
    }
  }
  // Neighbouring threads take neighbouring elements.
#pragma unroll 1
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = a.vectors ? first + e : block + e * blockDim.x + threadIdx.x;
    if (i >= a.n) return;
    int64_t at[4];
    if (a.linear) {
      at[0] = i;
      for (int k = 0; k < kInputs; ++k) at[k + 1] = a.single[k] ? 0 : i;
    } else {
      a.index.find(i, at);
    }
    C x[kInputs][1];
#pragma unroll
    for (int k = 0; k < kInputs; ++k) x[k][0] = load<C>(a.in_type[k], a.in[k], at[k + 1]);
    store<R>(a.out_type, a.out, at[0], apply_at<F, C, kInputs, 1>(f, x, 0));
    if constexpr (kInputs == 2) {
      if (a.checks_zero && x[1][0] == C(0)) {
        a.fault.raise(FaultKind::kDivision, 0, i, 0, false);
      }
    }
  }
}

template <class F, class C, int kInputs, int kEach>
int launch_elementwise(const ElementwiseArgs& a, Stream stream) {
  constexpr int kThreads = 256;
  return launch(elementwise<F, C, kInputs, kEach>,
                {.x = blocks_for(a.n, kThreads, kEach), .threads = kThreads}, stream, a);
}

// The kernel of a functor for one compute type, or null if its domain has none.
template <template <class> class F, int kInputs>
ElementwiseLaunch instance(Compute c) {
  using kernels::Domain;
  using Fn = F<kernels::StdMath>;
  constexpr Domain kDomain = Fn::kDomain;
  // Vectors for float, f16 and bf16 only: the other types are rare, and code takes time to compile.
  constexpr int kEach = kHeavy<F> ? 1 : kVector;
  if constexpr (kDomain == Domain::kReal || kDomain == Domain::kNumber ||
                kDomain == Domain::kFloat) {
    if (c == Compute::kFloat) return launch_elementwise<Fn, float, kInputs, kEach>;
    if (c == Compute::kDouble) return launch_elementwise<Fn, double, kInputs, 1>;
  }
  if constexpr (kDomain != Domain::kFloat && kDomain != Domain::kLogical) {
    if (c == Compute::kInt) return launch_elementwise<Fn, int64_t, kInputs, 1>;
    if (c == Compute::kUnsigned) return launch_elementwise<Fn, uint64_t, kInputs, 1>;
  }
  if constexpr (kDomain != Domain::kFloat && kDomain != Domain::kNumber) {
    if (c == Compute::kBool) return launch_elementwise<Fn, bool, kInputs, 1>;
  }
  return nullptr;
}

}  // namespace rutile::cuda
