// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/cuda/generated.h"

#include <dlfcn.h>

#include <cstring>
#include <fstream>
#include <sstream>

namespace rutile::cuda {
namespace {

constexpr size_t kBehind = 64;  // bytes that must stay as they are
constexpr int kParts = 2;       // compiled at the same time

void write_launchers(const Generated& g, std::ostream& out) {
  for (const GeneratedLaunch& l : g.launches) {
    out << "extern \"C\" void run_" << l.name << "(void* const* p) {\n"
        << "  rutile::cuda::emulator::run(" << l.blocks << ", " << l.rows_of_blocks << ", "
        << l.threads << ", " << (g.source.find("__shared__") != std::string::npos) << ", [&] { "
        << l.name << "(";
    for (size_t i = 0; i < g.args.size(); ++i) {
      out << (i ? ", " : "") << "static_cast<" << g.args[i].type << ">(p[" << i << "])";
    }
    out << "); });\n}\n";
  }
}

Tensor guarded_block(int64_t bytes) {
  Tensor block = Tensor::empty({bytes + static_cast<int64_t>(kBehind)}, DType::kU8);
  std::memset(block.mutable_data(), 0xFF, static_cast<size_t>(bytes) + kBehind);
  return block;
}
void check_guard(const Tensor& block, const char* what) {
  const auto* end = static_cast<const unsigned char*>(block.impl()->data) + block.numel();
  for (const auto* p = end - kBehind; p < end; ++p) {
    if (*p != 0xFF) throw_error(ErrorCode::kInternal, cat("writes behind ", what));
  }
}

}  // namespace

void EmulatedSources::add(const Generated& g) {
  if (!g.launches.empty()) all_.emplace(g.name, g);
}

std::string EmulatedSources::build() {
  int part = 0;
  std::ofstream files[kParts];
  std::string command;
  for (int i = 0; i < kParts; ++i) files[i].open(folder_ / cat("part", i, ".cc"));
  for (const auto& [name, g] : all_) {
    std::ofstream& file = files[part++ % kParts];
    file << g.source;
    write_launchers(g, file);
  }
  const std::string base =
      cat("'" RUTILE_CXX "' -std=c++20 -O1 -g0 -w -fPIC -DRUTILE_CUDA_EMULATED=1 -I'" RUTILE_INCLUDE
          "' ");
  for (int i = 0; i < kParts; ++i) {
    files[i].close();
    const std::string stem = folder_ / cat("part", i);
    command += cat("(", base, "-c '", stem, ".cc' -o '", stem, ".o' 2> '", stem, ".log') & ");
  }
  const std::string library = folder_ / "all.so", log = folder_ / "link.log";
  command += cat("wait; ", base, "-shared '", folder_.path(), "'/part*.o '", RUTILE_INCLUDE,
                 "/rutile/tests/cuda/emulator.cc' -o '", library, "' 2> '", log, "'");
  std::string failure;
  if (std::system(command.c_str()) != 0) {
    for (const std::string& file : folder_.list()) {
      if (file.find(".log") == std::string::npos) continue;
      std::ifstream in(folder_ / file);
      std::ostringstream text;
      text << in.rdbuf();
      failure += text.str().substr(0, 4000);
    }
    return failure.empty() ? "the compiler failed" : failure;
  }
  library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  return library_ ? "" : dlerror();
}

std::vector<Tensor> EmulatedSources::run(const Generated& g, const std::vector<Tensor>& in,
                                         std::span<const TensorMeta> outs) const {
  using Kind = GeneratedArg::Kind;
  std::vector<Tensor> out, blocks;
  for (const TensorMeta& m : outs) {
    blocks.push_back(guarded_block(m.nbytes()));
    Tensor& block = blocks.back();
    Ref<RefCounted> owner = block.impl()->owner;
    if (!owner) owner = block.ref();
    out.push_back(Tensor::view_of(std::move(owner), block.impl()->data, m));
  }
  const Tensor workspace = guarded_block(static_cast<int64_t>(g.workspace_bytes));
  std::vector<void*> args;
  for (const GeneratedArg& a : g.args) {
    args.push_back(a.kind == Kind::kInput ? in[static_cast<size_t>(a.index)].impl()->data
                   : a.kind == Kind::kOutput
                       ? out[static_cast<size_t>(a.index)].impl()->data
                       : static_cast<char*>(workspace.impl()->data) + a.offset);
  }
  for (const GeneratedLaunch& l : g.launches) {
    using Run = void (*)(void* const*);
    const auto run = reinterpret_cast<Run>(dlsym(library_, cat("run_", l.name).c_str()));
    if (!run) throw_error(ErrorCode::kInternal, cat("there is no ", l.name));
    run(args.data());
  }
  for (const Tensor& b : blocks) check_guard(b, "an output");
  check_guard(workspace, "its workspace");
  return out;
}

}  // namespace rutile::cuda
