// SPDX-License-Identifier: Apache-2.0
// Generated kernels compiled by NVRTC for every GPU that the plugin is built for, and what they
// take of a multiprocessor; the cache on disk. Neither needs a GPU.
#include "rutile/kernels/cuda/rtc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "rutile/kernels/cuda/codegen.h"
#include "rutile/kernels/cuda/kernel_cache.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::cuda {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// The toolkit's library, where there is one.
bool find_nvrtc() {
  static const bool found = [] {
    setenv("RUTILE_CUDA_LIBRARIES", RUTILE_CUDA_LIB, 0);
    return rtc_available().ok();
  }();
  return found;
}

Generated generate(const char* program, const std::vector<TensorMeta>& in) {
  const ops::FusedElementwiseAttrs attrs{program};
  std::vector<const TensorMeta*> pointers;
  for (const TensorMeta& m : in) pointers.push_back(&m);
  CallMeta call{&ops::kFusedElementwise, &attrs, pointers, {}};
  SmallVector<TensorMeta, 1> outs;
  throw_if_error(infer_call(call, &outs));
  call.outputs = outs;
  Generated g;
  throw_if_error(generate_fused(call, {}, &g));
  return g;
}

struct Chain {
  const char* name;
  const char* program;
  std::vector<TensorMeta> in;
  size_t launches = 1;
  int registers = 0;  // at most, for sm_80, sm_90 and sm_100
};

// What training steps are made of, at the shapes of GPT-2 124M and ResNet-50.
std::vector<Chain> chains() {
  constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;
  const TensorMeta x({65536, 768}, kBF16), wide({65536, 3072}, kBF16), row({768}, kF32);
  const TensorMeta statistics({65536, 1}, kF32);
  TensorMeta image({256, 64, 56, 56}, kBF16);
  image.strides = ordered_strides(image.shape, {0, 2, 3, 1});
  return {
      {"bias, GELU",
       "2: cast %0 dtype=f32; add %2 %1; gelu %3 approximate=tanh; cast %4 dtype=bf16 -> %5",
       {wide, TensorMeta({3072}, kF32)},
       1,
       64},
      {"gradient of GELU, and of the bias",
       "2: cast %0 dtype=f32; cast %1 dtype=f32; gelu_grad %2 %3 approximate=tanh; cast %4 "
       "dtype=bf16; sum %4 axes=[0] -> %5 %6",
       {wide, wide},
       2,
       72},
      {"dropout and residual",
       "4: cast %0 dtype=f32; cast %1 dtype=f32; mul %4 %5; mul %6 %2; cast %3 dtype=f32; add %7 "
       "%8; "
       "cast %9 dtype=bf16 -> %10",
       {x, TensorMeta({65536, 768}, DType::kBool), TensorMeta({}, kF32), x},
       1,
       56},
      {"layer norm",
       "3: cast %0 dtype=f32; mean %3 axes=[-1] keepdims=true; sub %3 %4; square %5; mean %6 "
       "axes=[-1] keepdims=true; rsqrt %7; mul %5 %8; mul %9 %1; add %10 %2; cast %11 dtype=bf16 "
       "-> "
       "%12 %4 %8",
       {x, row, row},
       1,
       96},
      {"gradient of layer norm",
       "5: sub %1 %3; mul %5 %4; mul %0 %2; mean %7 axes=[-1] keepdims=true; mul %7 %6; mean %9 "
       "axes=[-1] keepdims=true; mul %6 %10; sub %7 %8; sub %12 %11; mul %13 %4; mul %0 %6; sum "
       "%15 axes=[0]; sum %0 axes=[0] -> %14 %16 %17",
       {TensorMeta({65536, 768}, kF32), TensorMeta({65536, 768}, kF32), row, statistics,
        statistics},
       2,
       168},
      {"softmax",
       "1: max %0 axes=[-1] keepdims=true; sub %0 %1; exp %2; sum %3 axes=[-1] keepdims=true; div "
       "%3 %4 -> %5",
       {TensorMeta({8192, 1024}, kF32)},
       1,
       96},
      {"cross entropy and its gradient",
       "3: equal %1 %2; max %0 axes=[-1] keepdims=true; sub %0 %4; exp %5; sum %6 axes=[-1] "
       "keepdims=true; div %6 %7; cast %3 dtype=f32; sub %8 %9; mul %5 %9; sum %11 axes=[-1] "
       "keepdims=true; log %7; sub %13 %12; sum %11 -> %10 %14 %15",
       {TensorMeta({256, 1000}, kF32), TensorMeta({256, 1}, DType::kI64),
        TensorMeta({1000}, DType::kI64)},
       2,
       128},
      {"mean loss", "1: mean %0 -> %1", {TensorMeta({65536, 1}, kF32)}, 2, 40},
      {"gradient of ReLU, channels last",
       "2: relu_grad %0 %1; sum %2 axes=[0,2,3] -> %2 %3",
       {image, image},
       2,
       72},
      {"RMS norm",
       "2: square %0; mean %2 axes=[-1] keepdims=true; rsqrt %3; mul %0 %4; mul %5 %1 -> %6",
       {TensorMeta({8192, 4096}, kF32), TensorMeta({4096}, kF32)},
       1,
       96},
  };
}

TEST(Nvrtc, ChainsCompileForEveryArchitecture) {
  if (!find_nvrtc()) GTEST_SKIP() << rtc_available().message();
  for (const Chain& c : chains()) {
    Generated g;
    ASSERT_NO_THROW(g = generate(c.program, c.in)) << c.name;
    EXPECT_EQ(g.launches.size(), c.launches) << c.name;
    for (const int arch : {80, 90, 100}) {
      Compiled compiled;
      const Status s = rtc_compile(g.name, g.source, arch, &compiled);
      ASSERT_TRUE(s.ok()) << c.name << ": " << s.message() << g.source;
      EXPECT_EQ(compiled.code.substr(1, 3), "ELF");
      const std::vector<KernelResources> all = resources_of(compiled.log);
      ASSERT_EQ(all.size(), c.launches) << compiled.log;
      for (const KernelResources& r : all) {
        const std::string what = cat(c.name, ", sm_", arch, ": ", describe(r));
        if (std::getenv("RUTILE_SHOW_RESOURCES")) std::puts(what.c_str());
        EXPECT_GT(r.registers, 0) << what;
        EXPECT_LE(r.registers, c.registers) << what << g.source;
        EXPECT_EQ(r.spilled_bytes, 0) << what;
        EXPECT_EQ(r.stack_bytes, 0) << what;
        EXPECT_LE(r.shared_bytes, 8192) << what;
      }
    }
  }
}

TEST(Nvrtc, SaysWhatIsWrong) {
  if (!find_nvrtc()) GTEST_SKIP() << rtc_available().message();
  EXPECT_FALSE(rtc_version().empty());
  Compiled out;
  const Status broken = rtc_compile("broken", "nonsense", 90, &out);
  EXPECT_EQ(broken.code(), ErrorCode::kInternal);
  EXPECT_THAT(broken.message(), HasSubstr("broken.cu(1)"));
  const Status unknown = rtc_compile("old", "", 20, &out);
  EXPECT_EQ(unknown.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(unknown.message(), HasSubstr("knows no sm_20"));
}

TEST(Nvrtc, ConditionsTellCompilationsApart) {
  EXPECT_NE(rtc_conditions(80), rtc_conditions(90));
  EXPECT_THAT(rtc_conditions(90), HasSubstr("sm_90"));
  EXPECT_GE(rtc_headers().size(), 10u);
}

TEST(Nvrtc, ReadsWhatPtxasSays) {
  const std::vector<KernelResources> all = resources_of(
      "ptxas info    : Compiling entry function 'a' for 'sm_80'\n"
      "ptxas info    : Function properties for a\n"
      "ptxas         .     8 bytes stack frame, 12 bytes spill stores, 4 bytes spill loads\n"
      "ptxas info    : Used 24 registers, used 1 barriers, 2048 bytes smem, 376 bytes cmem[0]\n");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(describe(all[0]), "a: 24 registers, 12 bytes spilled, 2048 bytes of shared memory");
  EXPECT_EQ(all[0].stack_bytes, 8);
}

// ---- The cache ----------------------------------------------------------------------------------

class KernelCacheTest : public ::testing::Test {
 protected:
  rutile::testing::TempDir folder_;
  const std::string path_ = folder_ / "kernels";
  const Compiled entry_{std::string("\x7f"
                                    "ELF\0code",
                                    9),
                        "a log"};
  bool finds(const std::string& key) {
    Compiled out;
    const bool found = KernelCache(path_).find(key, &out);
    EXPECT_TRUE(!found || (out.code == entry_.code && out.log == entry_.log));
    return found;
  }
};

TEST_F(KernelCacheTest, KeepsWhatItWasGiven) {
  const KernelCache cache(path_);
  EXPECT_EQ(cache.failure(), "");
  EXPECT_FALSE(finds("key"));
  cache.put("key", entry_);
  EXPECT_TRUE(finds("key"));
  EXPECT_FALSE(finds("another key"));
  struct stat s {};
  ASSERT_EQ(stat(cache.path("key").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777u, 0600u);
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), fs::directory_iterator()), 1);
}

TEST_F(KernelCacheTest, DamagedFilesAreNone) {
  const KernelCache cache(path_);
  cache.put("key", entry_);
  std::string bytes;
  {
    std::ifstream in(cache.path("key"), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto write = [&](const std::string& content) {
    std::ofstream(cache.path("key"), std::ios::binary | std::ios::trunc) << content;
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string other = bytes;
    other[i] = static_cast<char>(other[i] ^ 0x41);
    write(other);
    EXPECT_FALSE(finds("key")) << "byte " << i;
    write(bytes.substr(0, i));
    EXPECT_FALSE(finds("key")) << i << " bytes";
  }
  write(bytes + "x");
  EXPECT_FALSE(finds("key"));
  write(bytes);
  EXPECT_TRUE(finds("key"));
  write("");
  cache.put("key", entry_);  // takes its place
  EXPECT_TRUE(finds("key"));
}

TEST_F(KernelCacheTest, FollowsNoLinkAndWaitsForNoPipe) {
  const KernelCache cache(path_);
  cache.put("key", entry_);
  const std::string file = cache.path("key"), moved = folder_ / "moved";
  fs::rename(file, moved);
  fs::create_symlink(moved, file);
  EXPECT_FALSE(finds("key"));
  fs::remove(file);
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_FALSE(finds("key"));
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_FALSE(finds("key"));
  cache.put("key", entry_);  // cannot
  EXPECT_FALSE(finds("key"));
}

TEST_F(KernelCacheTest, TakesNothingThatOthersMayWrite) {
  const KernelCache cache(path_);
  cache.put("key", entry_);
  ASSERT_EQ(chmod(cache.path("key").c_str(), 0666), 0);
  EXPECT_FALSE(finds("key"));
  ASSERT_EQ(chmod(cache.path("key").c_str(), 0644), 0);
  EXPECT_TRUE(finds("key"));
  ASSERT_EQ(chmod(path_.c_str(), 0777), 0);
  EXPECT_FALSE(finds("key"));
  EXPECT_THAT(KernelCache(path_).failure(), HasSubstr("others may write"));
  ASSERT_EQ(chmod(path_.c_str(), 0700), 0);
}

TEST_F(KernelCacheTest, WithoutAFolderNothingIsKept) {
  std::ofstream(folder_ / "file") << "x";
  for (const std::string& where : {std::string(), folder_ / "file", folder_ / "file/below"}) {
    const KernelCache cache(where);
    EXPECT_NE(cache.failure(), "");
    cache.put("key", entry_);
    Compiled out;
    EXPECT_FALSE(cache.find("key", &out));
  }
}

TEST_F(KernelCacheTest, ManyMayWriteAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this] {
      const KernelCache cache(path_);
      for (int i = 0; i < 50; ++i) {
        cache.put("key", entry_);
        EXPECT_TRUE(finds("key"));
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), fs::directory_iterator()), 1);
}

TEST(KernelCacheFolder, IsNamedByTheEnvironment) {
  const auto with = [](const char* named, const char* caches) {
    if (named) setenv("RUTILE_CACHE_DIR", named, 1);
    setenv("XDG_CACHE_HOME", caches, 1);
    const std::string folder = default_cache_folder();
    unsetenv("RUTILE_CACHE_DIR");
    unsetenv("XDG_CACHE_HOME");
    return folder;
  };
  EXPECT_EQ(with("", "/c"), "");
  EXPECT_EQ(with("/mine", "/c"), "/mine/kernels");
  EXPECT_EQ(with(nullptr, "/c"), "/c/rutile/kernels");
}

}  // namespace
}  // namespace rutile::cuda
