// SPDX-License-Identifier: Apache-2.0
// docs/gpu_ops.md is made of the tables: RUTILE_WRITE_DOCS=1 writes it, otherwise it is compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "rutile/ops/attention.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/conv3d.h"
#include "rutile/ops/conv_norm.h"
#include "rutile/ops/epilogues.h"
#include "rutile/ops/fft.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/post_ops.h"
#include "rutile/tests/cuda/emulated.h"
#include "rutile/tests/ops/samples/sample.h"

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

// Of ops that are neither over libraries nor made of others: the types of samples that the cpu
// takes and no row here does.
std::string refused_types(const OpDef& op) {
  std::string names;
  if (!samples::has_samples(op) || library_rows().contains(op.name) || op.compose) return names;
  std::set<DType> taken, seen;
  for (const samples::Sample& s : samples::samples_of(op).samples) {
    for (const DType t : s.dtypes) {
      try {
        const std::vector<Tensor> in = s.make_inputs(t);
        SmallVector<const TensorMeta*, 6> metas;
        for (const Tensor& x : in) metas.push_back(x.defined() ? &x.meta() : nullptr);
        CallMeta call{&op, s.attrs.get(), metas, {}};
        SmallVector<TensorMeta, 1> outs;
        throw_if_error(infer_call(call, &outs));
        call.outputs = outs;
        if (op.promote && std::any_of(in.begin(), in.end(), [&](const Tensor& x) {
              return x.defined() && x.dtype() != in[0].dtype();
            })) {
          continue;
        }
        seen.insert(t);
        if (has_kernel(call, DeviceType::kCuda, Rows::kAll)) taken.insert(t);
      } catch (const Error&) {
        continue;  // a sample that needs a shape from its data
      }
    }
  }
  for (const DType t : seen) {
    if (!taken.contains(t)) names += cat(names.empty() ? "" : ", ", t);
  }
  return names;
}

std::string page() {
  const cuda::GeneratedScope generated;
  std::map<std::string, std::string> kernels;
  std::vector<std::string> composed, views, without;
  for (const OpDef* op : all_ops()) {
    std::string names;
    const auto library = library_rows().find(op->name);
    if (library != library_rows().end()) names = library->second;
    for (const KernelRow& row : kernel_rows(*op, DeviceType::kCuda)) {
      if (row.name == std::string_view(cuda::kStandIn)) continue;
      // Where the toolkit is, some rows over libraries are in this program after all.
      if (library != library_rows().end() && library->second == row.name) continue;
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
    out << "\n## " << title << "\n\n" << (names.empty() ? "None." : "");
    for (size_t i = 0; i < names.size(); ++i) out << (i ? ", " : "") << "`" << names[i] << "`";
    out << "\n";
  };
  list("Made of others", composed);
  list("Views", views);
  list("Without a kernel", without);
  std::string types;
  for (const auto& [name, rows] : kernels) {
    const std::string refused = refused_types(*find_op(name));
    if (!refused.empty()) types += cat("| `", name, "` | ", refused, " |\n");
  }
  out << "\n## Types without a kernel\n\nOf operations with kernels of ours that are not made of "
         "others: the types that the cpu takes and no kernel here.\n\n"
      << (types.empty() ? "None.\n" : "| operation | types |\n| --- | --- |\n") << types;
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
