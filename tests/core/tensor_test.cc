// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/tensor.h"

#include <gmock/gmock.h>

#include <limits>
#include <thread>

#include "rutile/core/sanitizer.h"

namespace rutile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorCode::kOk, "");
}

bool inside(const Tensor& t, const void* p) {
  const auto* begin = t.impl()->inline_data;
  return p >= begin && p < begin + TensorImpl::kInlineBytes;
}

TEST(Tensor, SmallOnesNeedNoAllocator) {
  const int64_t before = allocator(kCpu).stats().allocations;
  Tensor t = Tensor::empty({16});
  EXPECT_TRUE(inside(t, t.data()));
  EXPECT_FALSE(t.impl()->owner);
  Tensor wide = Tensor::empty({4}, DType::kC128);  // just fits
  EXPECT_TRUE(inside(wide, wide.data()));
  EXPECT_EQ(allocator(kCpu).stats().allocations, before);
  Tensor u = Tensor::empty({17});
  EXPECT_FALSE(inside(u, u.data()));
  EXPECT_EQ(allocator(kCpu).stats().allocations, before + 1);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data()) % 64, 0u);
}

TEST(Tensor, ImplBlocksAreReused) {
  if (kAddressSanitizer) GTEST_SKIP() << "blocks are not kept under AddressSanitizer";
  TensorImpl* first = Tensor::empty({4}).impl();  // compared, never followed
  Tensor t = Tensor::empty({4});
  EXPECT_EQ(t.impl(), first);
}

TEST(Tensor, HandlesCrossThreads) {
  // Made on one thread, released on another, both ways and by many.
  std::vector<Tensor> tensors;
  for (int i = 0; i < 1000; ++i) tensors.push_back(Tensor::full({3}, i));
  std::thread releases([moved = std::move(tensors)]() mutable { moved.clear(); });
  releases.join();
  std::vector<std::vector<Tensor>> made(4);
  std::vector<std::thread> threads;
  for (size_t k = 0; k < made.size(); ++k) {
    threads.emplace_back([&made, k] {
      for (int i = 0; i < 500; ++i) made[k].push_back(Tensor::full({3}, i + 1000 * int(k)));
    });
  }
  for (std::thread& t : threads) t.join();
  for (size_t k = 0; k < made.size(); ++k) {
    for (int i = 0; i < 500; ++i) {
      ASSERT_EQ(made[k][static_cast<size_t>(i)].to_vector<float>()[2], i + 1000 * int(k));
    }
  }
  std::vector<Tensor> copies(8, made[0][7]);
  threads.clear();
  for (Tensor& c : copies) threads.emplace_back([t = std::move(c)]() mutable { t = Tensor(); });
  for (std::thread& t : threads) t.join();
  copies.clear();
  EXPECT_TRUE(made[0][7].unique());
}

TEST(Tensor, OutlivesTheListsOfItsThread) {
  const int64_t before = allocator(kCpu).stats().live_bytes;
  std::thread([] {
    // Constructed first, hence destroyed after what the thread keeps of blocks and memory.
    thread_local std::vector<Tensor> held;
    for (int i = 0; i < 10; ++i) held.push_back(Tensor::full({i * 10 + 1}, i));
    Tensor::empty({3});
    EXPECT_EQ(held[9].to_vector<float>()[90], 9.0f);
  }).join();
  EXPECT_EQ(allocator(kCpu).stats().live_bytes, before);
}

TEST(Tensor, TooLargeIsAnErrorNotTheEnd) {
  constexpr int64_t kSide = int64_t{1} << 24;
  EXPECT_EQ(error_of([] {
              Tensor::empty({kSide, kSide}, DType::kC128);
            }).code(),
            ErrorCode::kOutOfMemory);
  EXPECT_EQ(error_of([] { Tensor::full({kSide, kSide / 2}, 1); }).code(), ErrorCode::kOutOfMemory);
  EXPECT_EQ(error_of([] { Tensor::zeros({kSide, kSide, 2}); }).code(), ErrorCode::kValue);
  EXPECT_EQ(Tensor::full({100}, 1).to_vector<float>()[99], 1.0f);
}

TEST(Tensor, FromAndBack) {
  Tensor t = Tensor::from<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(t.dtype(), DType::kI32);
  EXPECT_THAT(t.to_vector<int32_t>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(t.dim(1), 3);
  Tensor b = Tensor::from<bool>({true, false, true}, {3});
  EXPECT_THAT(b.to_vector<bool>(), ElementsAre(true, false, true));
  Tensor none = Tensor::from<float>({}, {0, 3});
  EXPECT_EQ(none.numel(), 0);
  EXPECT_TRUE(none.to_vector<float>().empty());
  const Error e = error_of([] { Tensor::from<float>({1, 2, 3}, {2, 2}); });
  EXPECT_EQ(e.code(), ErrorCode::kValue);
  EXPECT_EQ(e.message(), "shape [2,2] of f32 needs 4 elements (16 bytes), got 3 (12 bytes)");
  EXPECT_EQ(error_of([&] { t.to_vector<float>(); }).code(), ErrorCode::kType);
  EXPECT_EQ(error_of([&] { t.data_as<float>(); }).message(),
            "the tensor holds i32, asked for as f32");
  EXPECT_EQ(error_of([] { Tensor::empty({3, -1}); }).code(), ErrorCode::kValue);
}

TEST(Tensor, UndefinedIsAnError) {
  Tensor t;
  EXPECT_FALSE(t.defined());
  EXPECT_FALSE(t.is_symbolic());
  EXPECT_FALSE(t.unique());
  EXPECT_THAT(error_of([&] { (void)t.shape(); }).message(), HasSubstr("default-constructed"));
  EXPECT_THAT(error_of([&] { (void)t.data(); }).message(), HasSubstr("default-constructed"));
  EXPECT_EQ(t.repr(), "Tensor()");
}

TEST(Tensor, FullOfEveryType) {
  for (int i = 0; i < kNumDTypes; ++i) {
    const DType t = static_cast<DType>(i);
    for (const int64_t n : {1, 3, 1000, 5000}) {
      Tensor x = Tensor::full({n}, 1, t);
      std::vector<char> bytes(static_cast<size_t>(n) * dtype_size(t));
      x.copy_out(bytes.data(), bytes.size());
      const Tensor last =
          Tensor::from_bytes(bytes.data() + bytes.size() - dtype_size(t), dtype_size(t), {}, t);
      EXPECT_EQ(last.item(), 1.0) << dtype_name(t);
      for (size_t k = dtype_size(t); k < bytes.size(); ++k) {
        ASSERT_EQ(bytes[k], bytes[k - dtype_size(t)]) << dtype_name(t) << " byte " << k;
      }
    }
    EXPECT_EQ(Tensor::scalar(0, t).item(), 0.0);
  }
  EXPECT_EQ(Tensor::full({2}, 0.1, DType::kF64).to_vector<double>()[1], 0.1);
  EXPECT_EQ(Tensor::full({2}, (int64_t{1} << 53) + 1, DType::kI64).to_vector<int64_t>()[1],
            (int64_t{1} << 53) + 1);
  EXPECT_EQ(Tensor::full({}, 2.7, DType::kI32).item<int32_t>(), 2);
  EXPECT_EQ(Tensor::full({}, 0.5, DType::kBool).item<bool>(), true);
  EXPECT_EQ(error_of([] { Tensor::full({2}, 300, DType::kU8); }).message(),
            "the value 300 does not fit u8");
  EXPECT_EQ(error_of([] { Tensor::full({2}, -1, DType::kU64); }).code(), ErrorCode::kValue);
  EXPECT_THAT(Tensor::zeros({2000}, DType::kF32).to_vector<float>(), testing::Each(0.0f));
}

TEST(Tensor, ItemIsExact) {
  EXPECT_EQ(Tensor::from<int64_t>({(int64_t{1} << 62) + 1}, {1}).item<int64_t>(),
            (int64_t{1} << 62) + 1);
  EXPECT_EQ(Tensor::from<uint64_t>({~uint64_t{0}}, {}).item<uint64_t>(), ~uint64_t{0});
  EXPECT_EQ(Tensor::from<float>({2.5f}, {1, 1}).item(), 2.5);
  EXPECT_EQ(Tensor::from<float>({-2.5f}, {1, 1}).item<int32_t>(), -2);
  EXPECT_EQ(Tensor::from<BFloat16>({BFloat16(3.0f)}, {}).item<float>(), 3.0f);
  EXPECT_EQ(Tensor::from<Half>({Half(0.5f)}, {}).item<double>(), 0.5);
  using Complex = std::complex<float>;
  EXPECT_EQ(Tensor::from<Complex>({Complex(1, 2)}, {}).item<Complex>(), Complex(1, 2));
  EXPECT_EQ(Tensor::from<float>({1.5f}, {}).item<std::complex<double>>(), 1.5);
  EXPECT_EQ(error_of([] { Tensor::from<Complex>({Complex(1, 2)}, {}).item(); }).code(),
            ErrorCode::kType);
  EXPECT_EQ(error_of([] { Tensor::from<float>({1e10f}, {}).item<int32_t>(); }).code(),
            ErrorCode::kValue);
  EXPECT_EQ(error_of([] { Tensor::empty({2}).item(); }).message(),
            "item() needs exactly one element, got shape [2]");
}

TEST(Tensor, CopyOutFollowsStrides) {
  Tensor base = Tensor::from<int16_t>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {3, 4});
  TensorMeta m({4, 3}, DType::kI16);
  m.strides = {1, 4};
  Tensor transposed = Tensor::view_of(base.ref(), base.impl()->data, m);
  EXPECT_THAT(transposed.to_vector<int16_t>(), ElementsAre(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11));
  m = TensorMeta({2, 2, 2}, DType::kI16);
  m.strides = {0, 8, 2};  // broadcast, every other row and column
  EXPECT_THAT(Tensor::view_of(base.ref(), base.impl()->data, m).to_vector<int16_t>(),
              ElementsAre(0, 2, 8, 10, 0, 2, 8, 10));
  m = TensorMeta({4}, DType::kI16);
  m.strides = {-1};
  EXPECT_THAT(Tensor::view_of(base.ref(), static_cast<int16_t*>(base.impl()->data) + 3, m)
                  .to_vector<int16_t>(),
              ElementsAre(3, 2, 1, 0));
  std::vector<int16_t> small(5);
  EXPECT_EQ(error_of([&] { transposed.copy_out(small.data(), 10); }).code(), ErrorCode::kValue);
}

template <class T>
void check_strided_copy() {
  TensorMeta m({5, 7, 3}, dtype_of<T>);
  m.strides = ordered_strides(m.shape, {2, 0, 1});
  Tensor t = Tensor::empty(m);
  T* p = t.mutable_data_as<T>();
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 7; ++j) {
      for (int64_t k = 0; k < 3; ++k)
        p[i * 7 + j + k * 35] = T(static_cast<float>(i * 21 + j * 3 + k));
    }
  }
  const std::vector<T> v = t.template to_vector<T>();
  for (size_t i = 0; i < v.size(); ++i) ASSERT_EQ(v[i], T(static_cast<float>(i)));
}
TEST(Tensor, CopyOutOfEveryElementSize) {
  check_strided_copy<uint8_t>();
  check_strided_copy<Half>();
  check_strided_copy<float>();
  check_strided_copy<double>();
  check_strided_copy<std::complex<double>>();
}

TEST(Tensor, CopyOutFollowsLayouts) {
  for (const char* tag : {"aBcd16b", "ABcd8b16a2b", "acdb", "ABcd16b16a"}) {
    TensorMeta m({5, 19, 3, 2}, DType::kF32);
    m.layout = intern_layout(tag);
    Tensor t = Tensor::empty(m);
    float* p = t.mutable_data_as<float>();
    std::fill_n(p, layout_elements(m.layout, m.shape), -1.0f);
    int64_t i[4];
    float next = 0;
    for (i[0] = 0; i[0] < 5; ++i[0]) {
      for (i[1] = 0; i[1] < 19; ++i[1]) {
        for (i[2] = 0; i[2] < 3; ++i[2]) {
          for (i[3] = 0; i[3] < 2; ++i[3]) p[layout_offset(m.layout, m.shape, i)] = next++;
        }
      }
    }
    const std::vector<float> v = t.to_vector<float>();
    for (size_t k = 0; k < v.size(); ++k) ASSERT_EQ(v[k], static_cast<float>(k)) << tag;
  }
}

TEST(Tensor, UniqueSeesEveryHolder) {
  Tensor small = Tensor::empty({4});
  EXPECT_TRUE(small.unique());
  {
    Tensor copy = small;
    EXPECT_FALSE(small.unique());
  }
  {
    Tensor view = Tensor::view_of(small.ref(), small.impl()->data, TensorMeta({2}, DType::kF32));
    EXPECT_FALSE(small.unique()) << "a view of the inline block holds the tensor";
    EXPECT_FALSE(view.unique());
    EXPECT_EQ(error_of([&] { small.mutable_data(); }).code(), ErrorCode::kRuntime);
  }
  EXPECT_TRUE(small.unique());
  Tensor view = Tensor::view_of(small.ref(), small.impl()->data, TensorMeta({2}, DType::kF32));
  small = Tensor();
  EXPECT_TRUE(view.unique()) << "the last holder of the inline block";
  Tensor large = Tensor::empty({100});
  EXPECT_TRUE(large.unique());
  Tensor part =
      Tensor::view_of(large.impl()->owner, large.impl()->data, TensorMeta({50}, DType::kF32));
  EXPECT_FALSE(large.unique());
  large = Tensor();
  EXPECT_TRUE(part.unique());
  EXPECT_EQ(part.mutable_data(), part.data());
}

TEST(Tensor, ViewsKeepTheMemoryAlive) {
  Tensor small = Tensor::from<float>({1, 2, 3, 4}, {4});
  TensorMeta m({2}, DType::kF32);
  m.strides = {2};
  Tensor view = Tensor::view_of(small.ref(), small.impl()->data, m);
  small = Tensor();
  EXPECT_THAT(view.to_vector<float>(), ElementsAre(1, 3));
  EXPECT_THROW(Tensor::view_of(nullptr, &m, m), Error);
}

TEST(Tensor, ForeignMemoryIsNeverUnique) {
  float memory[4] = {1, 2, 3, 4};
  int deleted = 0;
  {
    Tensor t = Tensor::view_of(
        Storage::borrow(
            memory, sizeof(memory), kCpu, [](void* n) { ++*static_cast<int*>(n); }, &deleted),
        memory, TensorMeta({4}, DType::kF32));
    EXPECT_EQ(t.data(), memory);
    EXPECT_FALSE(t.unique()) << "its owner may look at any time";
    EXPECT_THROW(t.mutable_data(), Error);
  }
  EXPECT_EQ(deleted, 1);
}

TEST(Tensor, SymbolicCannotBeRead) {
  Tensor t = Tensor::empty({2, 3});
  t.impl()->trace_id = 1;
  EXPECT_TRUE(t.is_symbolic());
  const Error e = error_of([&] { (void)t.data(); });
  EXPECT_EQ(e.code(), ErrorCode::kRuntime);
  EXPECT_THAT(e.message(), HasSubstr("data() needs the value of a tensor that is being traced"));
  EXPECT_THAT(e.message(), HasSubstr("f32[2,3]@cpu"));
  EXPECT_EQ(t.repr(), "Tensor(<traced>, shape=[2, 3], dtype=f32)");
  set_symbolic_read_handler([](const TensorImpl&, const char* what) {
    throw_error(ErrorCode::kUnsupported, cat("handler saw ", what));
  });
  EXPECT_EQ(error_of([&] { t.to_vector<float>(); }).message(), "handler saw copy_out()");
  set_symbolic_read_handler([](const TensorImpl&, const char*) {});
  EXPECT_EQ(error_of([&] { t.mutable_data(); }).code(), ErrorCode::kRuntime)
      << "a handler that returns does not make it readable";
  set_symbolic_read_handler(nullptr);
}

TEST(Tensor, OtherDevicesCannotBeRead) {
  TensorMeta m({2}, DType::kF32, Device{DeviceType::kFake, 0});
  Tensor owner = Tensor::empty({2});
  Tensor t = Tensor::view_of(owner.ref(), owner.impl()->data, m);
  EXPECT_THAT(error_of([&] { (void)t.data(); }).message(), HasSubstr("f32[2]@fake:0"));
  EXPECT_EQ(t.repr(), "Tensor(..., shape=[2], dtype=f32, device=fake:0)");
  EXPECT_EQ(error_of([] {
              Tensor::empty({1}, DType::kF32, Device{DeviceType::kCuda, 0});
            }).code(),
            ErrorCode::kUnsupported);
}

TEST(Scalar, WholeNumberOfAFloatStaysInRange) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  static_assert(Scalar(kInf).i == INT64_MAX && Scalar(-kInf).i == INT64_MIN);
  static_assert(Scalar(std::numeric_limits<float>::quiet_NaN()).i == 0);
  static_assert(Scalar(0x1p63).i == INT64_MAX && Scalar(-0x1p63).i == INT64_MIN);
  static_assert(Scalar(-2.9f).i == -2 && Scalar(1e18).i == 1000000000000000000);
  EXPECT_EQ(Scalar(kInf).f, kInf);
}

}  // namespace
}  // namespace rutile
