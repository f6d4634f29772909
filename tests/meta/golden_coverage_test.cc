// SPDX-License-Identifier: Apache-2.0
// Every op that PyTorch has, too, is held against its results in a file of tests/golden; the others
// stand below with the reason. Gradients of ops are compared through the ops.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "rutile/ops/op_def.h"

namespace rutile {
namespace {

using Json = nlohmann::json;

// Why an op is in no file.
const std::map<std::string, std::set<std::string>>& alone() {
  static const std::map<std::string, std::set<std::string>> list{
      {"draws random numbers, others than PyTorch",
       {"alpha_dropout", "bernoulli", "dropout", "feature_dropout", "gumbel_softmax", "multinomial",
        "next_key", "randperm", "rrelu", "truncated_normal"}},
      {"moves data between processes or devices",
       {"all_gather", "all_reduce", "all_reduce_start", "all_reduce_wait", "all_to_all",
        "broadcast", "reduce_scatter", "sync_batch_norm", "to_device"}},
      {"is made by the compiler of ops that are compared",
       {"batch_norm_add_relu", "batch_norm_apply", "batch_norm_relu", "conv2d_act", "conv2d_stats",
        "fused_elementwise", "linear_act", "linear_gelu", "matmul_gelu_grad", "matmul_sums",
        "reorder"}},
      {"runs a body, or reads and writes States",
       {"assign", "assign_add", "batch_norm_update_stats", "cond", "recompute", "record", "scan",
        "unscale_and_check", "update_loss_scale", "while_loop"}},
      {"is a part of an op that is compared, or of its gradient",
       {"ctc_nll", "igamma_grad_a", "lu_permutation", "max_pool2d_gather", "pool_gather",
        "pool_scatter", "product_of_others"}},
      {"PyTorch's have 6 to 9 digits (tests/ops/samples/special_more.cc)",
       {"bessel_j0", "bessel_j1", "bessel_k0", "bessel_k0e", "bessel_k1", "bessel_k1e", "bessel_y0",
        "bessel_y1"}},
      {"PyTorch has none, or another under this name",
       {"depth_to_space", "extract_glimpse", "require_range", "roi_align", "scale_and_translate",
        "space_to_depth"}},
      {"is compared as a layer (tests/nn/golden_layers_test.cc)", {"recurrent"}},
  };
  return list;
}

// A step of an optimizer is compared as the optimizer (tests/nn/optimizer_golden_test.cc).
bool stands_for_another(const std::string& name) {
  for (const char* end : {"_grad", "_multi", "_grad_grad"}) {
    if (name.ends_with(end)) return true;
  }
  return name.starts_with("random_");
}

void collect(const Json& j, std::set<std::string>* names) {
  if (j.is_object() && j.contains("op") && j["op"].is_string()) names->insert(j["op"]);
  if (!j.is_structured()) return;
  for (const Json& part : j) collect(part, names);
}

TEST(OpTable, EveryOpThatPyTorchHasIsInAGoldenFile) {
  std::set<std::string> compared, reasons;
  for (const auto& entry : std::filesystem::directory_iterator(RUTILE_SOURCE_DIR "/tests/golden")) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream stream(entry.path());
    collect(Json::parse(stream), &compared);
  }
  for (const auto& [why, names] : alone()) {
    for (const std::string& name : names) {
      EXPECT_NE(find_op(name), nullptr) << name << " is no op";
      EXPECT_FALSE(compared.contains(name)) << name << " is in a file: drop the reason";
      reasons.insert(name);
    }
  }
  for (const OpDef* op : all_ops()) {
    const std::string name(op->name);
    EXPECT_TRUE(stands_for_another(name) || compared.contains(name) || reasons.contains(name))
        << name << " is in no file of tests/golden: add a case to tests/golden/make_shared_*.py";
  }
}

}  // namespace
}  // namespace rutile
