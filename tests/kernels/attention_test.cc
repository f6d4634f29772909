// SPDX-License-Identifier: Apache-2.0
// Attention's kernels read and write their operands and their workspace and nothing behind them.
#include "rutile/kernels/cpu/attention.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "rutile/core/half.h"
#include "rutile/kernels/cpu/isa.h"

namespace rutile::kernels {
namespace {

// Memory that ends where a page begins that nobody may touch.
class Guarded {
 public:
  explicit Guarded(size_t bytes) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    size_ = (bytes + page - 1) / page * page + page;
    base_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(base_, MAP_FAILED);
    char* const end = static_cast<char*>(base_) + size_ - page;
    EXPECT_EQ(::mprotect(end, page, PROT_NONE), 0);
    data_ = end - bytes;
  }
  ~Guarded() { ::munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  void* data() const { return data_; }

 private:
  void* base_ = nullptr;
  size_t size_ = 0;
  char* data_ = nullptr;
};

struct Sizes {
  int64_t rows, keys, d, e;
};

// [1, heads, rows, size] of numbers between -1 and 1.
template <class T>
class Operand {
 public:
  Operand(int64_t heads, int64_t rows, int64_t size)
      : n_(heads * rows * size),
        memory_(static_cast<size_t>(n_) * sizeof(T)),
        strides_{0, rows * size, size} {
    for (int64_t i = 0; i < n_; ++i) data()[i] = T(std::sin(static_cast<float>(7 * i + n_)));
  }
  T* data() const { return static_cast<T*>(memory_.data()); }
  const AttentionStrides& strides() const { return strides_; }
  bool finite() const {
    for (int64_t i = 0; i < n_; ++i) {
      if (!std::isfinite(static_cast<float>(data()[i]))) return false;
    }
    return true;
  }

 private:
  int64_t n_;
  Guarded memory_;
  AttentionStrides strides_;
};

template <class T>
void run(const AttentionKernels& kernels, const Sizes& z, bool causal, int64_t splits) {
  const int64_t heads = 2;
  const Operand<T> q(heads, z.rows, z.d), k(heads, z.keys, z.d), v(heads, z.keys, z.e);
  const Operand<T> y(heads, z.rows, z.e), dy(heads, z.rows, z.e);
  const Operand<T> dq(heads, z.rows, z.d), dk(heads, z.keys, z.d), dv(heads, z.keys, z.e);
  const Operand<float> lse(heads, z.rows, 1);
  AttentionShape s;
  s.batch = 1;
  s.heads = heads;
  s.rows = z.rows;
  s.keys = z.keys;
  s.d = z.d;
  s.e = z.e;
  s.causal = causal;
  s.scale = 0.25F;
  s.q = q.strides();
  s.k = k.strides();
  s.v = v.strides();
  s.y = y.strides();
  s.dy = dy.strides();
  s.dq = dq.strides();
  s.dk = dk.strides();
  s.dv = dv.strides();
  s.splits = splits;
  AttentionArgs a{};
  a.q = q.data();
  a.k = k.data();
  a.v = v.data();
  a.y = y.data();
  a.lse = lse.data();
  // All bits of a NaN: what is taken for a number though nobody wrote it shows.
  const auto workspace = [&](int64_t floats) {
    auto memory = std::make_unique<Guarded>(static_cast<size_t>(floats) * sizeof(float));
    std::memset(memory->data(), 0xff, static_cast<size_t>(floats) * sizeof(float));
    a.workspace = static_cast<float*>(memory->data());
    return memory;
  };
  const auto forward = workspace(kernels.forward_workspace(s));
  kernels.forward(s, a);
  a.y_in = y.data();
  a.lse_in = lse.data();
  a.dy = dy.data();
  a.dq = dq.data();
  a.dk = dk.data();
  a.dv = dv.data();
  const auto backward = workspace(kernels.backward_workspace(s));
  kernels.backward(s, a);
  for (const auto* t : {&y, &dq, &dk, &dv}) {
    EXPECT_TRUE(t->finite()) << z.rows << " " << z.keys << " " << z.d << " " << z.e;
  }
}

TEST(AttentionKernels, StayWithinTheirMemory) {
  if (isa() == Isa::kBaseline) GTEST_SKIP() << "needs AVX2";
  constexpr Sizes kSizes[] = {{1, 1, 1, 1},     {5, 3, 8, 8},     {16, 32, 32, 16},
                              {17, 33, 40, 24}, {97, 65, 64, 64}, {31, 257, 33, 65},
                              {130, 70, 80, 72}};
  for (const Sizes& z : kSizes) {
    for (const bool causal : {false, true}) {
      for (const int64_t splits : {1, 3}) {
        run<float>(RUTILE_CHOOSE_ISA(attention_f32), z, causal, splits);
        run<BFloat16>(RUTILE_CHOOSE_ISA(attention_bf16), z, causal, splits);
      }
    }
  }
}

}  // namespace
}  // namespace rutile::kernels
