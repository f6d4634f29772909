// SPDX-License-Identifier: Apache-2.0
// CUDA source for a fused_elementwise call: the program that the fusion pass made, for the shapes
// and strides of its operands. A block takes whole rows (or parts of one), a thread vectors of 16
// bytes; what a row comes to is in registers before its elements go on. Sums over rows and of
// everything leave one number per block, and a second kernel adds those up in a fixed order: the
// same bits every time.
//
//   Generated k;
//   if (Status s = generate_fused(call, {}, &k); s.ok()) std::puts(k.source.c_str());
//
// The source compiles by NVRTC (kernels/cuda/rtc.h) and as C++ for the emulator.
#pragma once

#include <string>
#include <vector>

#include "rutile/ops/kernel_table.h"

namespace rutile::cuda {

struct GeneratedArg {
  enum class Kind : uint8_t { kInput, kOutput, kWorkspace };
  Kind kind = Kind::kInput;
  int index = 0;       // of the operand
  int64_t offset = 0;  // bytes into the workspace
  std::string type;    // "const g::BF16*"
};
// A kernel of the source; all take all arguments.
struct GeneratedLaunch {
  std::string name;
  int64_t blocks = 0;
  int rows_of_blocks = 1;
  int threads = 0;
};
struct Generated {
  std::string name;    // "fused_" and a number made from the source
  std::string source;  // with #include "rutile/kernels/cuda/generated.h"
  std::vector<GeneratedArg> args;
  std::vector<GeneratedLaunch> launches;  // none: there is nothing to compute
  size_t workspace_bytes = 0;
  uint32_t may_overwrite = 0;  // as Plan's
  size_t alignment = 1;        // bytes that every operand must be aligned to
};
struct CodegenOptions {
  bool vectors = true;  // false: for operands that lie anywhere
};

// kUnsupported, with the reason, for what no kernel is made of.
Status generate_fused(const CallMeta& call, const CodegenOptions& options, Generated* out);

}  // namespace rutile::cuda
