// SPDX-License-Identifier: Apache-2.0
// Where NVIDIA's libraries are found, in trees of files that stand for installations: a program
// with kernels/cuda/open_library.cc lies where the plugin would and says what it opened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "rutile/core/strings.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::cuda {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::TempDir;

std::string output_of(const std::string& command) {
  std::string text;
  FILE* out = popen((command + " 2>&1").c_str(), "r");
  char part[4096];
  while (out && fgets(part, sizeof part, out)) text += part;
  const int code = out ? pclose(out) : -1;
  return code == 0 ? text : cat("exit ", code, ": ", text);
}

constexpr const char* kProbe = R"(
#include <dlfcn.h>
#include <link.h>
#include <cstdio>
#include "rutile/kernels/cuda/libraries.h"
int main(int, char** names) {
  while (*++names) {
    const rutile::cuda::Library& l = rutile::cuda::open_library(*names);
    link_map* map = nullptr;
    if (l.handle) dlinfo(l.handle, RTLD_DI_LINKMAP, &map);
    std::puts(map ? map->l_name : l.failure.c_str());
    auto ready = (int (*)())(l.handle ? dlsym(l.handle, "ready") : nullptr);
    if (ready) std::puts(ready() ? "ready" : "lacks another");
  }
}
)";

class Libraries : public ::testing::Test {
 protected:
  // The program that asks, in `folder`.
  std::string probe_in(const std::string& folder) {
    const fs::path to = root_ / folder;
    fs::create_directories(to);
    compile(kProbe, cat(RUTILE_SOURCE_DIR "/kernels/cuda/open_library.cc -I" RUTILE_INCLUDE " -o ",
                        (to / "probe").string(), " -ldl"));
    return (to / "probe").string();
  }
  // A library that asks for no folder of its own, as a toolkit's do not.
  void library(const std::string& folder, const std::string& file, const std::string& source = "",
               const std::string& needs = "") {
    const fs::path to = root_ / folder;
    fs::create_directories(to);
    compile(source,
            cat("-shared -fPIC -Wl,--no-as-needed -Wl,-soname,", file, " -o ", (to / file).string(),
                needs.empty() ? "" : cat(" ", (root_ / needs).string()), " -ldl"));
  }
  // Stand for large ones that this machine may have.
  void libraries(const std::string& folder, std::initializer_list<const char*> files) {
    for (const char* file : files) library(folder, file);
  }
  // What the program says, without any variable that names folders but those given.
  std::string ask(const std::string& probe, const std::string& files,
                  const std::string& variables) {
    return output_of(cat("env -u CUDA_HOME -u CUDA_PATH -u RUTILE_CUDA_LIBRARIES ", variables, " ",
                         probe, " ", files));
  }
  std::string at(const std::string& path) const { return (root_ / path).string(); }

 private:
  void compile(const std::string& source, const std::string& flags) {
    testing::write_text(dir_ / "source.cc", source);
    const std::string said =
        output_of(cat(RUTILE_CXX " -std=c++20 -O0 -g0 ", dir_ / "source.cc", " ", flags));
    ASSERT_EQ(said, "") << flags;
  }
  TempDir dir_;
  fs::path root_ = fs::canonical(dir_.path());
};

TEST_F(Libraries, OfWheelsBesideThePluginComeFirst) {
  const std::string probe = probe_in("site/rutile/lib");
  libraries("site/nvidia/cu13/lib", {"libcublasLt.so.13", "libnvrtc.so.13"});
  library("site/nvidia/cudnn/lib", "libcudnn.so.9");
  library("elsewhere", "libcudnn.so.9");
  EXPECT_EQ(ask(probe, "libcublasLt.so.13 libcudnn.so.9", "LD_LIBRARY_PATH=" + at("elsewhere")),
            cat(at("site/nvidia/cu13/lib/libcublasLt.so.13"), "\n",
                at("site/nvidia/cudnn/lib/libcudnn.so.9"), "\n"));
  // But for folders that somebody names.
  EXPECT_EQ(ask(probe, "libcudnn.so.9", "RUTILE_CUDA_LIBRARIES=/nowhere:" + at("elsewhere")),
            at("elsewhere/libcudnn.so.9") + "\n");
}

TEST_F(Libraries, TheLoaderThenToolkits) {
  const std::string probe = probe_in("lib");
  library("loader", "libcutest.so.1");
  library("toolkit/lib64", "libcutest.so.1");
  const std::string home = "CUDA_HOME=" + at("toolkit");
  EXPECT_EQ(ask(probe, "libcutest.so.1", home + " LD_LIBRARY_PATH=" + at("loader")),
            at("loader/libcutest.so.1") + "\n");
  EXPECT_EQ(ask(probe, "libcutest.so.1", home), at("toolkit/lib64/libcutest.so.1") + "\n");
  const std::string said = ask(probe, "libcutest.so.1", "");
  EXPECT_THAT(said, HasSubstr("needs libcutest.so.1, which is neither in an nvidia-* package"));
  EXPECT_THAT(said, HasSubstr(cat("beside ", at("lib"), ", nor in RUTILE_CUDA_LIBRARIES")));
}

// What one of them needs lies in another folder, where the loader does not look.
TEST_F(Libraries, WhatALibraryNeedsIsOpenedBeforeIt) {
  const std::string probe = probe_in("lib");
  libraries("blas", {"libcublasLt.so.13", "libcusparse.so.12", "libnvJitLink.so.13"});
  library("blas", "libcublas.so.13", R"(extern "C" int ours() { return 1; })");
  library("solver", "libcusolver.so.12", R"(extern "C" int ours();
                                            extern "C" int ready() { return ours(); })",
          "blas/libcublas.so.13");
  const std::string folders = "RUTILE_CUDA_LIBRARIES=" + at("solver") + ":" + at("blas");
  EXPECT_EQ(ask(probe, "libcusolver.so.12", folders), at("solver/libcusolver.so.12") + "\nready\n");
}

// NVRTC opens a library of its own, whose name has the minor version.
TEST_F(Libraries, NvrtcHasItsOwnPart) {
  const std::string probe = probe_in("lib");
  const auto opens = [](const char* file) {
    return cat("#include <dlfcn.h>\nextern \"C\" int ready() { void* other = dlopen(\"", file,
               "\", RTLD_NOW); return other && dlsym(other, \"ready\"); }\n");
  };
  library("toolkit", "libnvrtc-builtins.so.13.7", R"(extern "C" int ready() { return 1; })");
  library("toolkit", "libnvrtc.so.13", opens("libnvrtc-builtins.so.13.7"));
  library("toolkit", "libcublasLt.so.13");
  library("cudnn", "libcudnn.so.9", opens("libnvrtc.so.13"));
  const std::string folders = "RUTILE_CUDA_LIBRARIES=" + at("cudnn") + ":" + at("toolkit");
  EXPECT_EQ(ask(probe, "libnvrtc.so.13", folders), at("toolkit/libnvrtc.so.13") + "\nready\n");
  EXPECT_EQ(ask(probe, "libcudnn.so.9", folders), at("cudnn/libcudnn.so.9") + "\nready\n");
}

}  // namespace
}  // namespace rutile::cuda
