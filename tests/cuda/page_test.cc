// SPDX-License-Identifier: Apache-2.0
// docs/gpu_ops.md is made of the tables: RUTILE_WRITE_DOCS=1 writes it, otherwise it is compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "rutile/ops/attention.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"
#include "rutile/ops/conv_norm.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/post_ops.h"
#include "rutile/tests/cuda/emulated.h"

namespace rutile {
namespace {

// Rows that call libraries are no part of this program.
const std::map<std::string, std::string>& library_rows() {
  static const std::map<std::string, std::string> rows = {
#define RUTILE_LIBRARY_ROW(constant, row) {ops::constant.name, row},
#include "rutile/kernels/cuda/library_rows.inc"
#undef RUTILE_LIBRARY_ROW
  };
  return rows;
}

std::string page() {
  cuda::register_emulated_rows();
  std::map<std::string, std::string> kernels;
  std::vector<std::string> composed, views, without;
  for (const OpDef* op : all_ops()) {
    std::string names;
    const auto library = library_rows().find(op->name);
    if (library != library_rows().end()) names = library->second;
    for (const KernelRow& row : kernel_rows(*op, DeviceType::kCuda)) {
      if (row.name == std::string_view(cuda::kStandIn)) continue;
      names += cat(names.empty() ? "" : ", ", row.name);
    }
    if (!names.empty()) {
      kernels[op->name] = names;
    } else if (op->view_offset) {
      views.emplace_back(op->name);
    } else if (op->compose || op->runs_bodies) {
      composed.emplace_back(op->name);
    } else {
      without.emplace_back(op->name);
    }
  }
  std::ostringstream out;
  out << "# Operations on NVIDIA GPUs\n\n"
      << "Made from the kernel tables by `tests/cuda/page_test.cc`. docs/gpu_log.md says what has "
         "run on hardware.\n\n"
      << kernels.size() << " operations have kernels, " << composed.size()
      << " are made of others, " << views.size() << " are views, " << without.size()
      << " have none yet.\n\n## With kernels\n\n| operation | rows, in order |\n| --- | --- |\n";
  for (const auto& [op, names] : kernels) out << "| `" << op << "` | " << names << " |\n";
  const auto list = [&](const char* title, std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    out << "\n## " << title << "\n\n";
    for (size_t i = 0; i < names.size(); ++i) out << (i ? ", " : "") << "`" << names[i] << "`";
    out << "\n";
  };
  list("Made of others", composed);
  list("Views", views);
  list("Without a kernel", without);
  return out.str();
}

TEST(GpuOpsPage, IsThatOfTheTables) {
  const std::string path = std::string(RUTILE_SOURCE_DIR) + "/docs/gpu_ops.md";
  if (std::getenv("RUTILE_WRITE_DOCS")) {
    std::ofstream(path) << page();
    return;
  }
  std::ifstream file(path);
  std::ostringstream have;
  have << file.rdbuf();
  EXPECT_EQ(have.str(), page()) << "docs/gpu_ops.md is out of date: run this test with "
                                   "RUTILE_WRITE_DOCS=1";
}

}  // namespace
}  // namespace rutile
