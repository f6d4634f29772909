// SPDX-License-Identifier: Apache-2.0
// librutile_cuda.so as it was built, on a machine with or without a GPU.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

#include "rutile/core/plugin.h"

namespace rutile {
namespace {

#if defined(RUTILE_CUDA_PLUGIN)

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> lines_of(const std::string& command) {
  std::vector<std::string> lines;
  FILE* out = popen(command.c_str(), "r");
  char line[4096];
  while (out && fgets(line, sizeof line, out)) {
    lines.emplace_back(line);
    lines.back().pop_back();
  }
  if (out) pclose(out);
  return lines;
}

TEST(CudaPlugin, ExportsTwoFunctions) {
  std::vector<std::string> names;
  for (const std::string& line : lines_of(cat("nm -D --defined-only ", RUTILE_CUDA_PLUGIN))) {
    names.push_back(line.substr(line.rfind(' ') + 1));
  }
  EXPECT_THAT(names, ElementsAre("rutile_plugin_info", "rutile_plugin_init"));
}

// It is opened where no library of NVIDIA's is installed, to say so.
TEST(CudaPlugin, NeedsNoLibraryOfNvidiaToBeOpened) {
  for (const std::string& line : lines_of(cat("readelf -d ", RUTILE_CUDA_PLUGIN))) {
    if (line.find("NEEDED") == std::string::npos) continue;
    EXPECT_THAT(line, testing::Not(testing::ContainsRegex(
                          "cuda\\.so|cudart|cublas|cudnn|cusolver|cufft|nvidia")));
  }
}

TEST(CudaPlugin, LibraryHasNoCudaSymbol) {
  Dl_info info{};
  ASSERT_NE(dladdr(reinterpret_cast<void*>(&find_devices), &info), 0);
  for (const std::string& line : lines_of(cat("nm -D ", info.dli_fname))) {
    const std::string name = line.substr(line.rfind(' ') + 1);
    EXPECT_FALSE(std::regex_search(name, std::regex("^(cuda|cu[A-Z]|cublas|cudnn|__cuda|nccl)")))
        << name;
  }
  for (const std::string& line : lines_of(cat("readelf -d ", info.dli_fname))) {
    EXPECT_THAT(line, testing::Not(HasSubstr("libcuda")));
  }
}

// What the rows call is in the toolkit's libraries, which can be opened without a GPU.
TEST(CudaPlugin, LibrariesHaveWhatIsCalled) {
  const auto check = [](const char* file, std::initializer_list<const char*> names) {
    void* const library = dlopen(cat(RUTILE_CUDA_LIB "/", file).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) GTEST_SKIP() << dlerror();
    for (const char* name : names) EXPECT_TRUE(dlsym(library, name)) << file << " lacks " << name;
  };
#define RUTILE_FUNCTION(name) #name,
  check("libcublasLt.so.13", {
#include "rutile/kernels/cuda/cublaslt_functions.inc"
                             });
  check("libcusolver.so.12", {
#include "rutile/kernels/cuda/cusolver_functions.inc"
                             });
  check("libcufft.so.12", {
#include "rutile/kernels/cuda/cufft_functions.inc"
                          });
  check("libcupti.so.13", {
#include "rutile/kernels/cuda/cupti_functions.inc"
                          });
#undef RUTILE_FUNCTION
}

TEST(CudaPlugin, SaysWhatIsMissing) {
  const DeviceFns* fns = nullptr;
  const Status s = find_devices(DeviceType::kCuda, &fns);
  if (s.ok()) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(fns, nullptr);
  EXPECT_THAT(s.message(), HasSubstr("NVIDIA"));
  EXPECT_THAT(s.message(), HasSubstr("driver"));
}

struct Kernel {
  std::string arch, name;
  int registers = 0, stack = 0;
};

// What ptxas said of a .cu file.
std::vector<Kernel> kernels_of(const std::filesystem::path& log) {
  std::vector<Kernel> all;
  std::ifstream file(log);
  std::string line;
  std::smatch m;
  while (std::getline(file, line)) {
    if (std::regex_search(line, m, std::regex("Compiling entry function '(\\S+)' for '(\\S+)'"))) {
      all.push_back({m[2], m[1]});
    } else if (std::regex_search(line, m, std::regex("(\\d+) bytes stack frame")) && !all.empty()) {
      all.back().stack = std::max(all.back().stack, std::stoi(m[1]));
    } else if (std::regex_search(line, m, std::regex("Used (\\d+) registers")) && !all.empty()) {
      all.back().registers = std::stoi(m[1]);
    }
  }
  return all;
}

// A block of 256 threads fits on every multiprocessor with room to spare, and no array lies in slow
// memory: what stack there is holds a few registers around the calls of the slow path of rare
// types.
TEST(CudaPlugin, KernelsUseModestResources) {
  constexpr int kMostRegisters = 200, kMostStack = 256;
  constexpr int kGridStack = 1280;  // a sample's cubic taps: up to 64 places and weights
  int kernels = 0;
  for (const auto& entry : std::filesystem::directory_iterator(RUTILE_CUDA_LOGS)) {
    if (entry.path().extension() != ".log") continue;
    const std::string file = entry.path().stem().string();
    if (file == "sort") continue;  // CUB's own
    for (const Kernel& k : kernels_of(entry.path())) {
      ++kernels;
      EXPECT_LE(k.registers, kMostRegisters) << file << " " << k.arch << " " << k.name;
      const int most = file == "grid" ? kGridStack : kMostStack;
      EXPECT_LE(k.stack, most) << file << " " << k.arch << " " << k.name;
    }
  }
  EXPECT_GT(kernels, 300);
}

#else

TEST(CudaPlugin, IsNotBuiltHere) { GTEST_SKIP() << "no CUDA toolkit was found"; }

#endif

}  // namespace
}  // namespace rutile
