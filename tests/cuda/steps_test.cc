// SPDX-License-Identifier: Apache-2.0
// Training steps as the compiler makes them for a GPU, without one: what is fused, how many kernels
// there are, and the bytes and FLOPs that they move. The part of docs/performance.md about GPUs is
// made here: RUTILE_WRITE_DOCS=1 writes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "rutile/graph/compile.h"
#include "rutile/graph/explain/peaks.h"
#include "rutile/graph/plan/joins.h"
#include "rutile/kernels/cuda/codegen.h"
#include "rutile/kernels/cuda/rtc.h"
#include "rutile/nn/models/gpt.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/conv_norm.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/tests/cuda/emulated.h"
#include "rutile/tests/cuda/stub_device.h"

namespace rutile {
namespace {

using namespace nn::models;
using testing::HasSubstr;

constexpr Device kGpu{DeviceType::kCuda, 0};

struct Network {
  const char* name;
  std::function<nn::CellPtr()> net;
  TensorMeta x, y;
  double items = 1;
  const char* unit = "img/s";
};

struct Compiled {
  std::unique_ptr<graph::Graph> graph;
  std::vector<graph::NodeId> nodes;  // with kernels of their own
  std::vector<graph::PassReport> reports;
  std::map<std::string, int> kernels;  // by op
  int count = 0, fused_steps = 0;
  Cost cost;
  double limit = 0, flops_alone = 0, bytes_alone = 0;  // seconds
};

// Rows over libraries are no part of this program; without one for attention it would be expanded.
void register_stand_ins() {
  static const bool once = [] {
    const auto stand_in = [](const OpDef& op, bool (*supports)(const CallMeta&, Reason*)) {
      register_kernel({.op = &op,
                       .device = DeviceType::kCuda,
                       .name = cuda::kStandIn,
                       .supports = supports,
                       .prepare = [](const CallMeta&, std::unique_ptr<Plan>* plan) {
                         *plan = std::make_unique<Plan>();
                         return Status();
                       }});
    };
    stand_in(ops::kAttention, nullptr);
    stand_in(ops::kAttentionGrad, nullptr);
    // What tests/cuda_plugin/cudnn_test.cc finds on an H200.
    for (const OpDef* op :
         {&ops::kConv2dStats, &ops::kConv2dNormWeightGrad, &ops::kConv2dNormInputGrad}) {
      stand_in(*op, [](const CallMeta& c, Reason*) {
        return c.in(0).dtype == DType::kF16 && c.in(0).is_channels_last();
      });
    }
    return true;
  }();
  (void)once;
}

// The traced step with its values on a GPU, through the passes.
Compiled compile(const Network& n, OptionalDType amp) {
  const cuda::GeneratedScope generated;
  EXPECT_TRUE(cuda::use_stub_device());
  register_stand_ins();
  const nn::CellPtr net = n.net();
  nn::TrainStep step(net, nn::CrossEntropyLoss(),
                     std::make_shared<nn::optim::AdamW>(net->parameters()),
                     {.mode = nn::Mode::kGraph, .amp = amp});
  Compiled c;
  c.graph = step.compiled()->traced({n.x, n.y});
  for (graph::Value& v : c.graph->values) v.meta.device = kGpu;
  const DeviceScope on_gpu(kGpu);
  throw_if_error(graph::run_pipeline(*c.graph, "", &c.reports));
  const graph::MachinePeaks peaks = graph::stated_peaks({.name = "NVIDIA H200"});
  const std::vector<graph::NodeId> joined = graph::joined_nodes(*c.graph);
  for (const graph::NodeId id : c.graph->order) {
    const graph::Node& node = c.graph->nodes[static_cast<size_t>(id)];
    if (node.op->view_offset || std::find(joined.begin(), joined.end(), id) != joined.end()) {
      continue;
    }
    c.nodes.push_back(id);
    ++c.kernels[node.op->name];
    ++c.count;
    const Cost cost = cost_of(*c.graph, node);
    DType type = DType::kF32;
    for (const graph::ValueId v : node.inputs) {
      if (v != graph::kNone && is_floating(c.graph->meta(v).dtype)) {
        type = c.graph->meta(v).dtype;
        break;
      }
    }
    c.cost.flops += cost.flops;
    c.cost.bytes += cost.bytes;
    c.limit += peaks.seconds(cost, type);
    c.flops_alone += cost.flops / peaks.flops(type);
    c.bytes_alone += cost.bytes / peaks.memory_bandwidth();
  }
  return c;
}

int count(const Compiled& c, const char* op) {
  const auto at = c.kernels.find(op);
  return at == c.kernels.end() ? 0 : at->second;
}

std::string list(const Compiled& c) {
  std::string text;
  for (const auto& [op, n] : c.kernels) text += cat(n, " ", op, "\n");
  return text;
}

std::vector<Network> small_networks() {
  return {
      {"MLP", [] { return nn::CellPtr(nn::make<Mlp>()); }, TensorMeta({64, 784}, DType::kF32),
       TensorMeta({64}, DType::kI64)},
      {"LeNet", [] { return nn::CellPtr(nn::make<LeNet>()); },
       TensorMeta({32, 1, 32, 32}, DType::kF32), TensorMeta({32}, DType::kI64)},
      {"ResNet",
       [] {
         return nn::CellPtr(nn::make<ResNet>(ResNetOptions{.blocks = {1, 1, 1, 1}, .classes = 10}));
       },
       TensorMeta({2, 3, 64, 64}, DType::kF32), TensorMeta({2}, DType::kI64)},
      {"GPT",
       [] {
         return nn::CellPtr(nn::make<Gpt>(GptOptions{
             .vocab = 128, .positions = 64, .layers = 2, .width = 64, .heads = 2, .dropout = 0.1}));
       },
       TensorMeta({2, 64}, DType::kI64), TensorMeta({2, 64}, DType::kI64)},
  };
}

// Counts that only a change of the passes or of the rows changes.
std::vector<Network> large_networks() {
  return {
      {"ResNet-50 224x224, batch 256", [] { return resnet50({.classes = 1000}); },
       TensorMeta({256, 3, 224, 224}, DType::kF32), TensorMeta({256}, DType::kI64), 256, "img/s"},
      {"GPT-2 124M, batch 64 x 1024", [] { return nn::CellPtr(nn::make<Gpt>(gpt2_124m())); },
       TensorMeta({64, 1024}, DType::kI64), TensorMeta({64, 1024}, DType::kI64), 65536, "tokens/s"},
  };
}

TEST(Steps, HaveSoManyKernels) {
  const std::map<std::string, std::pair<int, int>> most = {
      {"MLP", {17, 17}}, {"LeNet", {33, 37}}, {"ResNet", {117, 132}}, {"GPT", {69, 63}}};
  for (const Network& n : small_networks()) {
    const Compiled fp32 = compile(n, {}), bf16 = compile(n, DType::kBF16);
    const auto& [a, b] = most.at(n.name);
    if (std::getenv("RUTILE_SHOW_KERNELS")) {
      std::printf("%s: %d and %d kernels\n%s\n%s\n", n.name, fp32.count, bf16.count,
                  list(fp32).c_str(), list(bf16).c_str());
    }
    EXPECT_LE(fp32.count, a) << n.name << "\n" << list(fp32);
    EXPECT_LE(bf16.count, b) << n.name << "\n" << list(bf16);
    for (const graph::PassReport& r : fp32.reports) EXPECT_EQ(r.dropped, "") << n.name << r.name;
    // Updates of many parameters each.
    EXPECT_LE(count(fp32, "adamw_multi"), 4) << n.name;
    EXPECT_EQ(count(fp32, "adamw"), 0) << n.name;
    if (std::string_view(n.name) != "GPT") continue;
    // What attention gives for queries, keys and values lies in one tensor.
    EXPECT_EQ(count(fp32, "concat"), 0);
    EXPECT_EQ(count(bf16, "concat"), 0);
    // The library's products end with GELU and its gradient, and sum for biases, in bf16 alone.
    EXPECT_EQ(count(bf16, "linear_gelu"), 2);
    EXPECT_EQ(count(bf16, "matmul_gelu_grad"), 2);
    EXPECT_EQ(count(bf16, "matmul_sums"), 4);
    EXPECT_EQ(count(bf16, "gelu") + count(bf16, "gelu_grad"), 0);
    EXPECT_EQ(count(fp32, "linear_gelu"), 0);
    // Norms are parts of the kernels around them, no piece of one is left over.
    for (const Compiled* c : {&fp32, &bf16}) {
      for (const char* op : {"layer_norm", "layer_norm_grad", "mean", "rsqrt", "cast"}) {
        EXPECT_EQ(count(*c, op), 0) << op << "\n" << list(*c);
      }
    }
  }
}

// The chain of the record holders where the library has it: in f16, not in bf16.
TEST(Steps, NormsAreWithinConvolutions) {
  Network resnet = small_networks()[2];
  resnet.x = TensorMeta({64, 3, 64, 64}, DType::kF32);
  resnet.y = TensorMeta({64}, DType::kI64);
  const Compiled f16 = compile(resnet, DType::kF16), bf16 = compile(resnet, DType::kBF16);
  // The stem; four blocks of three convolutions with a projection beside them.
  EXPECT_EQ(count(f16, "conv2d_stats"), 17) << list(f16);
  EXPECT_EQ(count(f16, "conv2d"), 0);
  EXPECT_EQ(count(f16, "batch_norm_relu") + count(f16, "batch_norm"), 0);
  EXPECT_EQ(count(f16, "batch_norm_apply"), 9) << "the stem's, the sums' and the projections'";
  EXPECT_EQ(count(f16, "conv2d_norm_weight_grad"), 8);
  EXPECT_EQ(count(f16, "conv2d_norm_input_grad"), 8);
  EXPECT_EQ(count(f16, "batch_norm_relu_grad"), 1) << "the stem's";
  EXPECT_EQ(count(bf16, "conv2d_stats"), 0);
  EXPECT_LT(f16.cost.bytes, bf16.cost.bytes);
  for (const graph::PassReport& r : f16.reports) EXPECT_EQ(r.dropped, "") << r.name;
}

// No weight is cast in a step; the update writes its copy.
TEST(Steps, NoWeightIsCast) {
  for (const Network& n : small_networks()) {
    const Compiled c = compile(n, DType::kBF16);
    for (const graph::NodeId id : c.graph->order) {
      const graph::Node& node = c.graph->nodes[static_cast<size_t>(id)];
      if (node.op != &ops::kCast) continue;
      EXPECT_NE(c.graph->values[static_cast<size_t>(node.inputs[0])].kind, graph::ValueKind::kState)
          << n.name;
    }
  }
}

// What NVRTC makes of every kernel that the steps generate: it fits into registers on all GPUs that
// the plugin is built for, in both forms.
TEST(Steps, GeneratedKernelsFit) {
  setenv("RUTILE_CUDA_LIBRARIES", RUTILE_CUDA_LIB, 0);
  if (const Status s = cuda::rtc_available(); !s.ok()) GTEST_SKIP() << s.message();
  // Of blocks of 256 threads; the form for any place in memory is for the few calls that need it.
  constexpr int kMostRegisters = 168, kMostAnywhere = 224;
  std::map<std::string, std::string> programs;  // by the source's name
  std::vector<Network> all = large_networks();
  for (const Network& n : small_networks()) all.push_back(n);
  for (const Network& n : all) {
    const Compiled c = compile(n, DType::kBF16);
    for (const graph::NodeId id : c.graph->order) {
      const graph::Node& node = c.graph->nodes[static_cast<size_t>(id)];
      if (node.op != &ops::kFusedElementwise) continue;
      SmallVector<const TensorMeta*, 6> in;
      SmallVector<TensorMeta, 2> out;
      const CallMeta call = c.graph->call_meta(node, &in, &out);
      for (const bool vectors : {true, false}) {
        cuda::Generated g;
        const Status s = cuda::generate_fused(call, {.vectors = vectors}, &g);
        ASSERT_TRUE(s.ok()) << n.name << ": " << s.message();
        if (!programs.emplace(g.name, n.name).second) continue;
        for (const int arch : {80, 90, 100}) {
          cuda::Compiled compiled;
          const Status made = cuda::rtc_compile(g.name, g.source, arch, &compiled);
          ASSERT_TRUE(made.ok()) << made.message() << g.source;
          for (const cuda::KernelResources& r : cuda::resources_of(compiled.log)) {
            const std::string what =
                cat(n.name, vectors ? "" : " anywhere", ", sm_", arch, ": ", describe(r), " of ",
                    call.as<ops::FusedElementwiseAttrs>().program);
            if (std::getenv("RUTILE_SHOW_RESOURCES")) std::puts(what.c_str());
            EXPECT_LE(r.registers, vectors ? kMostRegisters : kMostAnywhere) << what;
            EXPECT_EQ(r.spilled_bytes, 0) << what;
            EXPECT_EQ(r.stack_bytes, 0) << what;
            EXPECT_LE(r.shared_bytes, 16384) << what;
          }
        }
      }
    }
  }
  EXPECT_GE(programs.size(), 20u);
}

// ---- The page -----------------------------------------------------------------------------------

constexpr const char* kBegin = "<!-- generated by tests/cuda: begin -->\n";
constexpr const char* kEnd = "<!-- generated by tests/cuda: end -->";

std::string digits(double v) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", v >= 100 ? 0 : v >= 10 ? 1 : v >= 1 ? 2 : 3, v);
  return text;
}

std::string page_part() {
  std::string steps =
      "| step in bf16 | kernels | GFLOP | GB | FLOPs alone, ms | bytes alone, ms | limit, ms | at "
      "that |\n|---|---:|---:|---:|---:|---:|---:|---:|\n";
  std::string ops =
      "| step | op | kernels | GFLOP | GB | limit, ms |\n|---|---|---:|---:|---:|---:|\n";
  const graph::MachinePeaks peaks = graph::stated_peaks({.name = "NVIDIA H200"});
  for (const Network& n : large_networks()) {
    const Compiled c = compile(n, DType::kBF16);
    steps += cat("| ", n.name, " | ", c.count, " | ", digits(c.cost.flops / 1e9), " | ",
                 digits(c.cost.bytes / 1e9), " | ", digits(1e3 * c.flops_alone), " | ",
                 digits(1e3 * c.bytes_alone), " | ", digits(1e3 * c.limit), " | ",
                 digits(n.items / c.limit), " ", n.unit, " |\n");
    struct Sum {
      int kernels = 0;
      Cost cost;
      double limit = 0;
    };
    std::map<std::string, Sum> sums;
    for (const graph::NodeId id : c.nodes) {
      const graph::Node& node = c.graph->nodes[static_cast<size_t>(id)];
      DType type = DType::kF32;
      for (const graph::ValueId v : node.inputs) {
        if (v != graph::kNone && is_floating(c.graph->meta(v).dtype)) {
          type = c.graph->meta(v).dtype;
          break;
        }
      }
      const Cost cost = cost_of(*c.graph, node);
      Sum& s = sums[node.op->name];
      ++s.kernels;
      s.cost.flops += cost.flops;
      s.cost.bytes += cost.bytes;
      s.limit += peaks.seconds(cost, type);
    }
    std::vector<std::pair<std::string, Sum>> sorted(sums.begin(), sums.end());
    std::sort(sorted.begin(), sorted.end(),
              [](const auto& a, const auto& b) { return a.second.limit > b.second.limit; });
    for (size_t i = 0; i < std::min<size_t>(8, sorted.size()); ++i) {
      const auto& [op, s] = sorted[i];
      ops +=
          cat("| ", i ? "" : n.name, " | ", op, " | ", s.kernels, " | ", digits(s.cost.flops / 1e9),
              " | ", digits(s.cost.bytes / 1e9), " | ", digits(1e3 * s.limit), " |\n");
    }
  }
  return cat("Stated for one H200: bf16 ", digits(peaks.bf16_flops / 1e12),
             " TFLOP/s (dense), tf32 ", digits(peaks.f32_flops / 1e12), " TFLOP/s, memory ",
             digits(peaks.memory_bandwidth() / 1e12), " TB/s.\n\n", steps, "\n", ops);
}

TEST(Steps, PageOfLimits) {
#if !RUTILE_ONEDNN
  GTEST_SKIP() << "the step is traced on the cpu, whose rows place values another way";
#endif
  const std::string path = std::string(RUTILE_SOURCE_DIR) + "/docs/performance.md";
  std::ifstream file(path);
  std::ostringstream have;
  have << file.rdbuf();
  const std::string all = have.str();
  const size_t begin = all.find(kBegin), end = all.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::string part = page_part();
  const size_t from = begin + std::string_view(kBegin).size();
  if (std::getenv("RUTILE_WRITE_DOCS")) {
    std::ofstream(path) << all.substr(0, from) << part << all.substr(end);
    return;
  }
  EXPECT_EQ(all.substr(from, end - from), part)
      << "docs/performance.md is out of date: run this test with RUTILE_WRITE_DOCS=1";
}

}  // namespace
}  // namespace rutile
