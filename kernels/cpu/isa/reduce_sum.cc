// SPDX-License-Identifier: Apache-2.0
// Sums, products and what is made of sums. Lanes gather few elements, slots the lanes in f64: the
// error grows with the run of a lane, not with the length of the reduction.
#include "rutile/kernels/cpu/isa/reduce_loops.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kShortRun = 64, kLongRun = int64_t{1} << 20;

// Integers add and multiply modulo 2^64.
template <class T>
struct SlotFor {
  using type = double;
};
template <>
struct SlotFor<uint64_t> {
  using type = uint64_t;
};

template <class Type, bool kProduct>
struct Fold {
  using C = Type;
  using Slot = typename SlotFor<C>::type;
  static constexpr C kFill = kProduct ? 1 : 0;
  // In f64 eager and traced gradients agree to the last bit: sums of a line come first there.
  static constexpr bool kShifts = false, kMerges = !__is_same(C, double);
  static constexpr int64_t kRun = kShortRun;
  struct Acc {
    VecOf<C> v;
    RUTILE_INLINE void start(int64_t) { v = fill<C>(kFill); }
    template <class S>
    RUTILE_INLINE void take(VecOf<C> x, int64_t, S) {
      v = kProduct ? v * x : v + x;
    }
    RUTILE_INLINE void join(const Acc& o) { take(o.v, 0, 0); }
  };
  static Slot empty() { return kFill; }
  static RUTILE_INLINE void merge(Slot& a, Slot b) { a = kProduct ? a * b : a + b; }
  static RUTILE_INLINE void spread(const Acc& a, int64_t, Slot* s, int64_t n) {
    for (int64_t i = 0; i < n; ++i) merge(s[i], static_cast<Slot>(a.v[i]));
  }
  static RUTILE_INLINE void gather(const Acc& a, int64_t, Slot& s) {
    if constexpr (__is_same(C, float) && !kProduct) {
      s += sum_lanes(a.v);
    } else {
      C all = a.v[0];
      for (int i = 1; i < Lanes<C>::kCount; ++i) all = kProduct ? all * a.v[i] : all + a.v[i];
      merge(s, static_cast<Slot>(all));
    }
  }
};

// NaN count as 0.
template <class Type>
struct SumNumbers : Fold<Type, false> {
  static constexpr bool kMerges = false;
  struct Acc : Fold<Type, false>::Acc {
    template <class S>
    RUTILE_INLINE void take(VecOf<Type> x, int64_t, S) {
      this->v += x == x ? x : VecOf<Type>{};
    }
    RUTILE_INLINE void join(const Acc& o) { this->v += o.v; }
  };
};

struct SumSquares : Fold<double, false> {
  static constexpr bool kMerges = false;
  struct Acc : Fold<double, false>::Acc {
    template <class S>
    RUTILE_INLINE void take(VecOf<double> x, int64_t, S) {
      v += x * x;
    }
    RUTILE_INLINE void join(const Acc& o) { v += o.v; }
  };
  static constexpr int64_t kRun = kLongRun;
};

struct SumExp : Fold<float, false> {
  static constexpr bool kShifts = true, kMerges = false;
  static constexpr float kFill = -__builtin_inff();
  struct Acc : Fold<float, false>::Acc {
    template <class S>
    RUTILE_INLINE void take(V16 x, int64_t, S shift) {
      v += exp16(x - shift);
    }
    RUTILE_INLINE void join(const Acc& o) { v += o.v; }
  };
};

template <class Op>
ReduceKernels of_integers(DType in) {
  switch (in) {
#define RUTILE_CASE(D, T) \
  case DType::D:          \
    return kernels_of<Op, T>();
    RUTILE_CASE(kBool, bool)
    RUTILE_CASE(kU8, uint8_t)
    RUTILE_CASE(kU16, uint16_t)
    RUTILE_CASE(kU32, uint32_t)
    RUTILE_CASE(kU64, uint64_t)
    RUTILE_CASE(kI8, int8_t)
    RUTILE_CASE(kI16, int16_t)
    RUTILE_CASE(kI32, int32_t)
    RUTILE_CASE(kI64, int64_t)
    default:
      return {};
  }
}
// Floats of up to 32 bits.
template <class Op>
ReduceKernels of_floats(DType in) {
  switch (in) {
    RUTILE_CASE(kF16, Half)
    RUTILE_CASE(kBF16, BFloat16)
    RUTILE_CASE(kF32, float)
#undef RUTILE_CASE
    default:
      return {};
  }
}

template <bool kProduct>
ReduceKernels fold(DType in, bool wide) {
  if (in == DType::kF64) return kernels_of<Fold<double, kProduct>, double>();
  if (is_floating(in)) {
    // Products of f32 pass its range on the way to a result inside it.
    return wide || kProduct ? of_floats<Fold<double, kProduct>>(in)
                            : of_floats<Fold<float, kProduct>>(in);
  }
  return wide ? of_integers<Fold<double, kProduct>>(in) : of_integers<Fold<uint64_t, kProduct>>(in);
}

}  // namespace

ReduceKernels sum_kernels(ReduceKind kind, DType in, bool wide) {
  switch (kind) {
    case ReduceKind::kSum:
      return fold<false>(in, wide);
    case ReduceKind::kProd:
      return fold<true>(in, wide);
    case ReduceKind::kSumNumbers:
      if (in == DType::kF64) return kernels_of<SumNumbers<double>, double>();
      return wide ? of_floats<SumNumbers<double>>(in) : of_floats<SumNumbers<float>>(in);
    case ReduceKind::kSquares:
      return of_floats<SumSquares>(in);
    case ReduceKind::kSumExp:
      return of_floats<SumExp>(in);
    default:
      return {};
  }
}

}  // namespace rutile::kernels::RUTILE_ISA
