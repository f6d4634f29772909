// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/eigen_fft.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include <unsupported/Eigen/FFT>

namespace rutile::kernels {
namespace {

template <class R>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(32)));
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(32)));
};

// A vector of numbers that calculates as one: Eigen's transform of it transforms a line per lane.
template <class R>
struct Lanes {
  static constexpr int kCount = 32 / sizeof(R);
  using Vector = typename VectorOf<R>::type;
  Vector v;
  Lanes() : v{} {}
  Lanes(R x) : v(Vector{} + x) {}
  Lanes(Vector x) : v(x) {}
  friend Lanes operator+(Lanes a, Lanes b) { return Lanes(a.v + b.v); }
  friend Lanes operator-(Lanes a, Lanes b) { return Lanes(a.v - b.v); }
  friend Lanes operator*(Lanes a, Lanes b) { return Lanes(a.v * b.v); }
  Lanes operator-() const { return Lanes(-v); }
  Lanes& operator+=(Lanes b) { return v += b.v, *this; }
  Lanes& operator-=(Lanes b) { return v -= b.v, *this; }
  Lanes& operator*=(Lanes b) { return v *= b.v, *this; }
};

template <class S>
struct LaneOf {
  using R = S;
  static constexpr int kCount = 1;
  static void set(S* s, int, R x) { *s = x; }
  static R get(const S& s, int) { return s; }
};
template <class T>
struct LaneOf<Lanes<T>> {
  using R = T;
  static constexpr int kCount = Lanes<T>::kCount;
  static void set(Lanes<T>* s, int i, R x) { s->v[i] = x; }
  static R get(const Lanes<T>& s, int i) { return s.v[i]; }
};

// exp(-2 pi i k / n), of which only the remainder of k counts.
std::complex<double> root(int64_t k, int64_t n) {
  const double t = -2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  return {std::cos(t), std::sin(t)};
}
template <class S>
std::complex<S> spread(std::complex<double> z) {
  using R = typename LaneOf<S>::R;
  return {S(static_cast<R>(z.real())), S(static_cast<R>(z.imag()))};
}
template <class C>
C conj_of(C z) {
  return C(z.real(), -z.imag());
}
template <class C>
C times_i(C z) {
  return C(-z.imag(), z.real());
}

constexpr int64_t kLargestPrime = 31;

// The primes beyond 5 of n, each as often as it divides n; what remains of n in *rest.
std::vector<int64_t> primes_of(int64_t n, int64_t* rest) {
  std::vector<int64_t> primes;
  for (const int64_t p : {2, 3, 5}) {
    while (n % p == 0) n /= p;
  }
  const int64_t odd = n;
  for (int64_t p = 7; p * p <= n; p += 2) {
    for (; n % p == 0; n /= p) primes.push_back(p);
  }
  if (n > 1) primes.push_back(n);
  *rest = odd;
  return primes;
}

bool smooth(int64_t n) {
  int64_t rest = 0;
  const std::vector<int64_t> primes = primes_of(n, &rest);
  return primes.empty() || primes.back() <= kLargestPrime;
}

// n points, n a product of primes up to kLargestPrime: Eigen's butterflies for 2 to 5, and above
// them one step per larger prime (Eigen's own for those needs scratch memory that threads would
// share).
template <class S>
class Smooth {
 public:
  using C = std::complex<S>;
  Smooth(int64_t n, bool inverse) : n_(n) {
    int64_t product = 1;
    primes_ = primes_of(n, &product);
    const int64_t m = n / product;
    if (m > 1) {
      base_.factorize(static_cast<int>(m));
      base_.m_inverse = inverse;
      base_.m_twiddles = roots(m, inverse);
    }
    if (!primes_.empty()) roots_ = roots(n, inverse);
  }
  void run(C* out, const C* in) const { step(0, out, in, n_, 1); }

 private:
  static std::vector<C> roots(int64_t n, bool inverse) {
    std::vector<C> all(static_cast<size_t>(n));
    for (int64_t k = 0; k < n; ++k) {
      const std::complex<double> w = root(k, n);
      all[static_cast<size_t>(k)] = spread<S>(inverse ? std::conj(w) : w);
    }
    return all;
  }
  void step(size_t prime, C* out, const C* in, int64_t n, int64_t stride) const {
    if (prime == primes_.size()) {
      if (n == 1) {
        *out = *in;
      } else {
        base_.work(0, out, in, 1, static_cast<size_t>(stride));
      }
      return;
    }
    const int64_t p = primes_[prime], rest = n / p;
    for (int64_t q = 0; q < p; ++q) {
      step(prime + 1, out + q * rest, in + q * stride, rest, stride * p);
    }
    C part[kLargestPrime];
    for (int64_t u = 0; u < rest; ++u) {
      for (int64_t q = 0; q < p; ++q) part[q] = out[u + q * rest] * roots_[q * u * stride];
      for (int64_t k = 0; k < p; ++k) {
        C sum = part[0];
        for (int64_t q = 1; q < p; ++q) sum += part[q] * roots_[q * k % p * rest * stride];
        out[u + k * rest] = sum;
      }
    }
  }

  int64_t n_;
  std::vector<int64_t> primes_;
  std::vector<C> roots_;
  mutable Eigen::internal::kiss_cpx_fft<S> base_;  // work() is not const, but writes nothing
};

// Any length: with a large prime in it as a convolution with a chirp (Bluestein, "A linear
// filtering approach to the computation of discrete Fourier transform", 1970).
template <class S>
class AnyLength {
 public:
  using C = std::complex<S>;
  AnyLength(int64_t n, bool inverse) : n_(n) {
    if (smooth(n)) {
      forward_ = std::make_unique<Smooth<S>>(n, inverse);
      return;
    }
    for (size_ = 2 * n - 1; !five_smooth(size_);) ++size_;
    forward_ = std::make_unique<Smooth<S>>(size_, false);
    back_ = std::make_unique<Smooth<S>>(size_, true);
    std::vector<std::complex<double>> filter(static_cast<size_t>(size_)), spectrum(filter.size());
    for (int64_t k = 0; k < n; ++k) {
      // k^2 grows past exact doubles: the root repeats every 2 n.
      const auto square = static_cast<int64_t>(static_cast<__int128>(k) * k % (2 * n));
      std::complex<double> w = root(square, 2 * n);
      if (inverse) w = std::conj(w);
      chirp_.push_back(spread<S>(w));
      filter[static_cast<size_t>(k)] = std::conj(w);
      if (k > 0) filter[static_cast<size_t>(size_ - k)] = std::conj(w);
    }
    Smooth<double>(size_, false).run(spectrum.data(), filter.data());
    for (const std::complex<double>& z : spectrum) {
      filter_.push_back(spread<S>(z / static_cast<double>(size_)));
    }
  }
  // Elements that run() needs beside its operands.
  int64_t scratch() const { return 2 * size_; }
  double points() const {
    const double n = static_cast<double>(size_ ? size_ : n_);
    return (size_ ? 2.2 : 1) * n * std::log2(std::max(n, 2.0));
  }
  // in and out do not overlap.
  void run(C* out, const C* in, C* scratch) const {
    if (!size_) return forward_->run(out, in);
    C *a = scratch, *b = scratch + size_;
    for (int64_t k = 0; k < n_; ++k) a[k] = in[k] * chirp_[k];
    std::fill(a + n_, a + size_, C());
    forward_->run(b, a);
    for (int64_t k = 0; k < size_; ++k) b[k] *= filter_[k];
    back_->run(a, b);
    for (int64_t k = 0; k < n_; ++k) out[k] = a[k] * chirp_[k];
  }

 private:
  static bool five_smooth(int64_t n) {
    int64_t rest = 0;
    primes_of(n, &rest);
    return rest == 1;
  }
  int64_t n_, size_ = 0;  // 0: no convolution
  std::unique_ptr<Smooth<S>> forward_, back_;
  std::vector<C> chirp_, filter_;
};

template <class S>
class LinesOf : public FftLines {
  using C = std::complex<S>;
  using Lane = LaneOf<S>;
  using R = typename Lane::R;
  using Z = std::complex<R>;

 public:
  // Real lines of even length are half as many complex points.
  explicit LinesOf(const FftSpec& spec)
      : spec_(spec),
        halves_(spec.kind != FftKind::kComplex && spec.n % 2 == 0),
        points_(halves_ ? spec.n / 2 : spec.n),
        transform_(points_, spec.inverse && spec.kind != FftKind::kAllFromReal) {
    for (int64_t k = 0; halves_ && k <= points_; ++k) {
      const std::complex<double> w = root(k, spec.n);
      turn_.push_back(spread<S>(spec.kind == FftKind::kToReal ? std::conj(w) : w));
    }
  }
  int lanes() const override { return Lane::kCount; }
  size_t workspace_bytes() const override {
    return sizeof(C) * static_cast<size_t>(2 * (points_ + 1) + transform_.scratch()) + 64;
  }
  double ns() const override {
    return 20 + (Lane::kCount > 1 ? 1.0 : 0.8) * transform_.points() + 2.0 * spec_.n * Lane::kCount;
  }
  void run(const void* const* in, void* const* out, int count, void* workspace) const override {
    C* a = static_cast<C*>(workspace);
    C* b = a + points_ + 1;
    C* scratch = b + points_ + 1;
    switch (spec_.kind) {
      case FftKind::kComplex:
        read_complex(in, count, points_, a);
        transform_.run(b, a, scratch);
        return write_complex(b, out, count, points_);
      case FftKind::kFromReal:
      case FftKind::kAllFromReal:
        read_real(in, count, a);
        transform_.run(b, a, scratch);
        if (halves_) split(b);
        if (spec_.kind == FftKind::kFromReal) return write_complex(b, out, count, spec_.n / 2 + 1);
        return write_mirrored(b, out, count);
      case FftKind::kToReal:
        read_complex(in, count, spec_.n / 2 + 1, a);
        if (halves_) {
          join(a);
        } else {
          mirror(a);
        }
        transform_.run(b, a, scratch);
        return write_real(b, out, count);
    }
  }

 private:
  void read_complex(const void* const* in, int count, int64_t n, C* a) const {
    const int64_t given = std::min(spec_.given, n), step = spec_.in_step;
    for (int64_t k = 0; k < given; ++k) {
      S re{}, im{};
      for (int i = 0; i < count; ++i) {
        const Z z = static_cast<const Z*>(in[i])[k * step];
        Lane::set(&re, i, z.real());
        Lane::set(&im, i, z.imag());
      }
      a[k] = C(re, im);
    }
    std::fill(a + given, a + n, C());
  }
  // Point k holds the numbers 2 k and 2 k + 1 of an even line, number k of another one.
  void read_real(const void* const* in, int count, C* a) const {
    const int64_t given = std::min(spec_.given, spec_.n), step = spec_.in_step;
    const int parts = halves_ ? 2 : 1;
    for (int64_t k = 0; k < points_; ++k) {
      S part[2] = {S(), S()};
      for (int j = 0; j < parts && parts * k + j < given; ++j) {
        for (int i = 0; i < count; ++i) {
          Lane::set(&part[j], i, static_cast<const R*>(in[i])[(parts * k + j) * step]);
        }
      }
      a[k] = C(part[0], part[1]);
    }
  }
  void write_complex(const C* b, void* const* out, int count, int64_t n) const {
    const S scale(static_cast<R>(spec_.scale));
    for (int64_t k = 0; k < n; ++k) {
      const S re = b[k].real() * scale, im = b[k].imag() * scale;
      for (int i = 0; i < count; ++i) {
        static_cast<Z*>(out[i])[k * spec_.out_step] = Z(Lane::get(re, i), Lane::get(im, i));
      }
    }
  }
  // The half that there is, and the conjugates; the inverse of real numbers is the conjugate of
  // all.
  void write_mirrored(const C* b, void* const* out, int count) const {
    const S scale(static_cast<R>(spec_.scale)), turn(static_cast<R>(spec_.inverse ? -1 : 1));
    for (int64_t k = 0; 2 * k <= spec_.n; ++k) {
      const S re = b[k].real() * scale, im = b[k].imag() * scale * turn;
      const int64_t twin = k ? spec_.n - k : 0;
      for (int i = 0; i < count; ++i) {
        Z* to = static_cast<Z*>(out[i]);
        const Z z(Lane::get(re, i), Lane::get(im, i));
        if (twin != k) to[twin * spec_.out_step] = std::conj(z);
        to[k * spec_.out_step] = z;
      }
    }
  }
  void write_real(const C* b, void* const* out, int count) const {
    const S scale(static_cast<R>(spec_.scale));
    const int parts = halves_ ? 2 : 1;
    for (int64_t k = 0; k < points_; ++k) {
      const S part[2] = {b[k].real() * scale, b[k].imag() * scale};
      for (int j = 0; j < parts; ++j) {
        for (int i = 0; i < count; ++i) {
          static_cast<R*>(out[i])[(parts * k + j) * spec_.out_step] = Lane::get(part[j], i);
        }
      }
    }
  }
  // From the transform of the even numbers plus i times the odd ones to that of all of them.
  void split(C* b) const {
    const S half(R(0.5));
    b[points_] = b[0];
    for (int64_t k = 0; 2 * k <= points_; ++k) {
      const C x = b[k], y = conj_of(b[points_ - k]);
      const C even = (x + y) * half, odd = times_i(y - x) * half;
      b[k] = even + odd * turn_[k];
      b[points_ - k] = conj_of(even) + conj_of(odd) * turn_[points_ - k];
    }
  }
  // The way back.
  void join(C* a) const {
    a[0] = C(a[0].real(), S());
    a[points_] = C(a[points_].real(), S());
    for (int64_t k = 0; 2 * k <= points_; ++k) {
      const C x = a[k], y = a[points_ - k];
      const C even = x + conj_of(y), odd = (x - conj_of(y)) * turn_[k];
      const C even_back = y + conj_of(x), odd_back = (y - conj_of(x)) * turn_[points_ - k];
      a[k] = even + times_i(odd);
      a[points_ - k] = even_back + times_i(odd_back);
    }
  }
  void mirror(C* a) const {
    a[0] = C(a[0].real(), S());
    for (int64_t k = 1; 2 * k < spec_.n; ++k) a[spec_.n - k] = conj_of(a[k]);
  }

  FftSpec spec_;
  bool halves_;
  int64_t points_;
  AnyLength<S> transform_;
  std::vector<C> turn_;
};

// Lanes of lines beyond the second-level cache cost more than they save.
constexpr int64_t kLongLine = 1 << 15;

template <class R>
std::unique_ptr<FftLines> make(const FftSpec& spec, int64_t lines) {
  if (lines < 3 || spec.n > kLongLine) return std::make_unique<LinesOf<R>>(spec);
  return std::make_unique<LinesOf<Lanes<R>>>(spec);
}

}  // namespace

std::unique_ptr<FftLines> make_fft_lines(const FftSpec& spec, int64_t lines) {
  return spec.in_double ? make<double>(spec, lines) : make<float>(spec, lines);
}

}  // namespace rutile::kernels
