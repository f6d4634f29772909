// SPDX-License-Identifier: Apache-2.0
// Optimizer updates: one pass over parameter, slots and gradient, bound by memory.
#include "rutile/kernels/cpu/optim.h"

#include "rutile/kernels/cpu/isa/vec_math.h"
#include "rutile/kernels/update_rules.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

struct Math16 {
  RUTILE_INLINE static V16 sqrt(V16 v) { return sqrt16(v); }
  RUTILE_INLINE static V16 pow(V16 v, float e) {
    for (int i = 0; i < 16; ++i) v[i] = __builtin_powf(v[i], e);
    return v;
  }
};

// While it lives, this thread takes subnormal numbers for 0: the momentum of a weight that gets no
// gradient any more (a dead unit, a rare word) decays to them, and they cost up to a hundred times.
class SubnormalsAreZero {
 public:
  SubnormalsAreZero() : saved_(_mm_getcsr()) {
    _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
  }
  ~SubnormalsAreZero() { _mm_setcsr(saved_); }
  SubnormalsAreZero(const SubnormalsAreZero&) = delete;
  SubnormalsAreZero& operator=(const SubnormalsAreZero&) = delete;

 private:
  static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x40;
  const unsigned saved_;
};

// Parameter and gradient as the rule wants them.
template <class R, class G, class F>
RUTILE_INLINE void for_elements(const UpdateRun& u, const UpdateNumbers& n, F&& f) {
  const G* grad = static_cast<const G*>(u.grad);
  float* const param = u.param;
  const float scale = n.scale, decay = n.decay, shrink = n.shrink;
  float k[12];
  for (int i = 0; i < 12; ++i) k[i] = n.k[i];
  for_vectors(u.count, [&](int64_t i, int64_t lanes) {
    V16 s[3];
    for (int j = 0; j < R::kSlots; ++j) s[j] = get(u.slots[j], i, lanes);
    V16 p = get(param, i, lanes);
    const V16 g = get(grad, i, lanes) * scale + p * decay;
    p *= shrink;
    f(p, s, g, k, i, lanes);
  });
}

template <class R, class G>
void apply(const UpdateRun& u, const UpdateNumbers& n) {
  const SubnormalsAreZero scope;
  for_elements<R, G>(u, n, [&](V16 p, V16* s, V16 g, const float* k, int64_t i, int64_t lanes) {
    R::template apply<Math16>(p, s, g, k);
    for (int j = 0; j < R::kSlots; ++j) put(u.slots[j], i, s[j], lanes);
    put(u.param, i, p, lanes);
  });
}

template <class R, class G>
void measure(const UpdateRun& whole, const UpdateNumbers& n, double* sums) {
  constexpr int64_t kBlock = 4096;  // summed in f32
  const SubnormalsAreZero scope;
  sums[0] = sums[1] = 0;
  for (int64_t begin = 0; begin < whole.count; begin += kBlock) {
    UpdateRun u = whole;
    u.param += begin;
    for (int j = 0; j < R::kSlots; ++j) u.slots[j] += begin;
    u.grad = static_cast<const G*>(whole.grad) + begin;
    u.count = whole.count - begin < kBlock ? whole.count - begin : kBlock;
    V16 a2{}, b2{};
    for_elements<R, G>(u, n, [&](V16 p, V16* s, V16 g, const float* k, int64_t i, int64_t lanes) {
      V16 a, b;
      R::template measure<Math16>(p, s, g, k, &a, &b);
      if constexpr (R::kMeasureWrites) {
        for (int j = 0; j < R::kSlots; ++j) put(u.slots[j], i, s[j], lanes);
      }
      a2 += keep_lanes(a * a, lanes, 0);
      b2 += keep_lanes(b * b, lanes, 0);
    });
    for (int i = 0; i < 16; ++i) {
      sums[0] += static_cast<double>(a2[i]);
      sums[1] += static_cast<double>(b2[i]);
    }
  }
}

template <class R, class G>
constexpr UpdateKernel kernel_of() {
  UpdateKernel k{apply<R, G>, nullptr};
  if constexpr (rules::kHasNorms<R>) k.measure = measure<R, G>;
  return k;
}

template <class T>
double squares(const void* px, int64_t n) {
  const T* x = static_cast<const T*>(px);
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += 4096) {
    V16 s{};
    for_vectors(n - begin < 4096 ? n - begin : 4096, [&](int64_t i, int64_t lanes) {
      const V16 v = get(x, begin + i, lanes);
      s += v * v;
    });
    for (int i = 0; i < 16; ++i) sum += static_cast<double>(s[i]);
  }
  if (sum <= 1.7e308) return sum;
  sum = 0;  // squares beyond f32, or inf and NaN
  for (int64_t i = 0; i < n; ++i) {
    const double v = static_cast<float>(x[i]);
    sum += v * v;
  }
  return sum;
}

template <class T>
bool unscale(const void* px, float factor, float* y, int64_t n) {
  const T* x = static_cast<const T*>(px);
  V16 bad{};  // x - x is NaN for inf and NaN, else 0
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const V16 v = get(x, i, lanes);
    bad += v - v;
    put(y, i, v * factor, lanes);
  });
  for (int i = 0; i < 16; ++i) {
    if (bad[i] != bad[i]) return true;
  }
  return false;
}

}  // namespace

UpdateKernel update_kernel(int rule, bool bf16_grad) {
#define RUTILE_UPDATE(constant, rule) \
  {kernel_of<rules::rule, float>(), kernel_of<rules::rule, BFloat16>()},
  static constexpr UpdateKernel kernels[][2] = {
#include "rutile/ops/update_list.inc"
  };
#undef RUTILE_UPDATE
  return kernels[rule][bf16_grad];
}

NormScan norm_scan(bool bf16) {
  if (bf16) return {squares<BFloat16>, unscale<BFloat16>};
  return {squares<float>, unscale<float>};
}

}  // namespace rutile::kernels::RUTILE_ISA
