// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "rutile/autograd/tape.h"
#include "rutile/core/thread.h"
#include "rutile/graph/ir/dot.h"
#include "rutile/ops/amp.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/custom.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/random.h"
#include "rutile/ops/source_plan.h"
#include "rutile/ops/state.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

Tensor normal(const Shape& shape) {
  ops::RandomNormalAttrs a;
  a.shape = shape;
  return ops::random_normal(a);
}

// A convolution, a norm with ReLU, one without, and a chain.
std::vector<Tensor> net(const std::vector<Tensor>& in) {
  const Tensor y = ops::conv2d(in[0], in[1], {}, {.pad = 1});
  const Tensor a = ops::relu(ops::batch_norm(y).y);
  const Tensor b = ops::batch_norm(a).y;
  return {ops::exp(b * 0.5) + a};
}
std::vector<Tensor> net_inputs() { return {normal({2, 16, 12, 12}), normal({32, 16, 3, 3})}; }
Compiled compiled_net() { return compile(net, {.name = "net <&>"}); }

std::vector<unsigned char> bits(const Tensor& t) {
  std::vector<unsigned char> out(static_cast<size_t>(t.meta().numel()) * dtype_size(t.dtype()));
  t.copy_out(out.data(), out.size());
  return out;
}

TEST(Peaks, AreMeasuredOnceInLessThanTwoSeconds) {
  ThreadCountScope one(1);
  const auto start = std::chrono::steady_clock::now();
  const MachinePeaks& p = machine_peaks();
  const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  RecordProperty("seconds", cat(s));
  EXPECT_EQ(p.threads, 1);
  EXPECT_GT(p.f32_flops, 1e8);
  EXPECT_GT(p.bf16_flops, 1e8);
  ASSERT_GE(p.copies.size(), 2u);
  for (size_t i = 1; i < p.copies.size(); ++i) {
    EXPECT_LT(p.copies[i - 1].first, p.copies[i].first);
    EXPECT_GE(p.copies[i - 1].second, p.copies[i].second);
  }
  EXPECT_EQ(&machine_peaks(), &p) << "remembered";
}

TEST(Peaks, LimitsAreTheLargerOfArithmeticAndTraffic) {
  MachinePeaks p;
  p.f32_flops = 100;
  p.bf16_flops = 400;
  p.copies = {{16, 80}, {1024, 20}};
  EXPECT_EQ(p.bandwidth(8), 80);
  EXPECT_EQ(p.bandwidth(4096), 20);
  EXPECT_NEAR(p.bandwidth(128), 40, 1e-9) << "in the middle of the logarithms";
  EXPECT_EQ(p.seconds({1000, 8}, DType::kF32), 10);
  EXPECT_EQ(p.seconds({1000, 8}, DType::kBF16), 2.5);
  EXPECT_EQ(p.seconds({1000, 8}, DType::kF64), 20);
  EXPECT_EQ(p.seconds({1, 2000}, DType::kF32), 100);
  EXPECT_EQ(p.seconds({0, 0}, DType::kF32), 0);
}

TEST(Explain, ShowsPassesFusionsReordersMemoryAndKernels) {
  Compiled f = compiled_net();
  const Explanation e = explain(f, net_inputs(), {.runs = 2});
  EXPECT_EQ(e.name, "net <&>");
  EXPECT_EQ(e.runs, 2);
  EXPECT_EQ(e.kernels.size(), f.session().program().steps.size());
  EXPECT_EQ(e.buffers.size(), f.session().program().arena.size());
  EXPECT_GT(e.step_ms, 0);
  EXPECT_GE(e.step_ms, e.best_ms);
  // The convolution's products, counted by hand, and what the rest adds.
  const double products = 2.0 * 2 * 32 * 12 * 12 * 16 * 9;
  EXPECT_GE(e.cost().flops, products);
  EXPECT_LT(e.cost().flops, 1.2 * products);
  const std::string text = e.text();
  for (const char* part :
       {"net <&>: ", "limit", "GFLOP", "Passes", "fuse_norm_act", "Fused", "batch_norm + relu",
        "Not fused", "not by one relu alone", "Reorders: ", "Memory: arena", "lower bound", "ratio",
        "largest buffers", "Kernels: op (kernel)", "conv2d (", "Slowest", "explain_test.cc:"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  std::istringstream lines(text);
  for (std::string l; std::getline(lines, l);) EXPECT_LE(l.size(), 100u) << l;
}

TEST(Explain, JsonHoldsTheSame) {
  Compiled f = compiled_net();
  const Explanation e = explain(f, net_inputs(), {.runs = 1});
  const json j = json::parse(e.to_json());
  EXPECT_EQ(j["name"], e.name);
  EXPECT_EQ(j["kernels"].size(), e.kernels.size());
  EXPECT_EQ(j["passes"].size(), e.report.passes.size());
  EXPECT_EQ(j["memory"]["peak"], e.report.memory.peak);
  EXPECT_EQ(j["memory"]["buffers"].size(), e.buffers.size());
  EXPECT_DOUBLE_EQ(j["flops"], e.cost().flops);
  EXPECT_GT(j["peaks"]["f32_flops"], 0);
  bool fused = false;
  for (const json& r : j["fusions"]) fused = fused || r["what"] == "batch_norm + relu";
  EXPECT_TRUE(fused);
}

TEST(Explain, PictureOfTheMemory) {
  Compiled f = compiled_net();
  const Explanation e = explain(f, net_inputs(), {.runs = 1});
  const std::string svg = e.memory_svg();
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr("net &lt;&amp;&gt;: arena"));
  EXPECT_THAT(svg, HasSubstr("<title>conv2d f32[2,32,12,12]"));
  EXPECT_THAT(svg, testing::Not(HasSubstr("<script")));
  size_t titles = 0;
  for (size_t at = 0; (at = svg.find("<title>", at)) != std::string::npos; ++at) ++titles;
  EXPECT_EQ(titles, e.buffers.size());
}

// A plan that says of itself that it was generated.
struct WrittenPlan final : SourcePlan {
  std::string name() const override { return "fused_0"; }
  std::string source() const override { return "__global__ void fused_0() {}"; }
  std::string resources() const override { return "fused_0: 24 registers\nfused_0_finish: 16"; }
};

TEST(Explain, ShowsGeneratedSources) {
  CustomOp custom;
  custom.name = "explain_generated";
  custom.inputs = {"x"};
  custom.infer = [](const CustomCall& c) { return std::vector<TensorMeta>{c.in(0)}; };
  custom.compose = [](const CustomAttrs&, std::span<const Tensor> in) {
    return TensorList{in[0] * 1.0};
  };
  const OpDef& op = register_op(std::move(custom));
  register_kernel(
      {.op = &op, .name = "generated", .prepare = [](const CallMeta&, std::unique_ptr<Plan>* plan) {
         auto p = std::make_unique<WrittenPlan>();
         p->run = [](const Plan&, const KernelArgs& a) {
           *static_cast<float*>(a.out[0]) = *static_cast<const float*>(a.in[0]);
           return Status();
         };
         *plan = std::move(p);
         return Status();
       }});
  Compiled f = compile([&op](const std::vector<Tensor>& in) {
    return std::vector<Tensor>{call_op(op, {call_op(op, in)[0]})[0]};
  });
  const Explanation e = explain(f, {Tensor::full({1}, 2.0)}, {.runs = 1});
  ASSERT_EQ(e.sources.size(), 1u);
  EXPECT_EQ(e.sources[0].steps, 2);
  EXPECT_THAT(e.text(), HasSubstr("fused_0, 2 steps"));
  EXPECT_THAT(e.text(), HasSubstr("fused_0_finish: 16"));
  EXPECT_EQ(json::parse(e.to_json())["sources"][0]["source"], e.sources[0].source);
  EXPECT_EQ(e.launches, "");
  const fs::path folder = fs::temp_directory_path() / cat("rutile_sources_", ::getpid());
  e.write(folder.string());
  std::ifstream file(folder / "kernels.cu");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("__global__ void fused_0() {}"));
  fs::remove_all(folder);
}

TEST(Explain, WritesItsFiles) {
  Compiled f = compiled_net();
  const Explanation e = explain(f, net_inputs(), {.runs = 1});
  const fs::path folder = fs::temp_directory_path() / cat("rutile_explain_", ::getpid());
  e.write((folder / "a" / "b").string());
  for (const char* name : {"explain.txt", "explain.json", "memory.svg", "graph.txt", "graph.dot"}) {
    EXPECT_GT(fs::file_size(folder / "a" / "b" / name), 0u) << name;
  }
  const std::string below_a_file = (folder / "a" / "b" / "graph.txt" / "c").string();
  try {
    e.write(below_a_file);
    FAIL() << "a folder below a file";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_THAT(error.message(), HasSubstr(below_a_file));
  }
  fs::remove_all(folder);
}

// Two copies of the same training, one with explain() between its steps.
TEST(Explain, LeavesStatesAndResultsAsTheyAre) {
  struct Training {
    Ref<State> w, generator, v;
    std::unique_ptr<Compiled> step;
    Training() {
      set_seed(3);
      w = Ref<State>(new State("w", normal({16, 16})));
      v = Ref<State>(new State("v", Tensor::zeros({16, 16})));
      step = std::make_unique<Compiled>(
          [this](const std::vector<Tensor>& in) {
            const Tensor y = ops::dropout(ops::matmul(in[0], w->read()), {.p = 0.5});
            const Tensor g = ops::matmul(in[0], y, {.transpose_a = true});
            v->write(v->read() * 0.9 + g);
            w->write(w->read() - v->read() * 1e-3);
            return std::vector<Tensor>{y};
          },
          CompileOptions{});
    }
  };
  const Tensor x = normal({8, 16});
  std::vector<std::vector<unsigned char>> results[2];
  for (const bool explained : {false, true}) {
    Training t;
    for (int i = 0; i < 4; ++i) {
      if (explained) {
        const Tensor before = t.w->concrete();
        EXPECT_GE(explain(*t.step, {x}, {.runs = 2}).kernels.size(), 3u);
        EXPECT_EQ(bits(before), bits(t.w->concrete()));
      }
      results[explained].push_back(bits((*t.step)({x})[0]));
      results[explained].push_back(bits(t.w->concrete()));
      results[explained].push_back(bits(t.v->concrete()));
    }
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST(Explain, ChangesNoProgram) {
  Compiled f = compiled_net();
  const std::vector<Tensor> in = net_inputs();
  const Tensor before = f(in)[0];
  const Session* session = &f.session();
  explain(f, in, {.runs = 1});
  EXPECT_EQ(&f.session(), session) << "nothing was compiled for it";
  EXPECT_EQ(f.compilations(), 1);
  EXPECT_EQ(bits(f(in)[0]), bits(before));
}

TEST(Explain, FunctionsWithoutNodes) {
  Compiled same = compile([](const std::vector<Tensor>& in) { return in; }, {});
  const Explanation e = explain(same, {normal({3, 4})}, {.runs = 1});
  EXPECT_EQ(e.cost().flops, 0);
  EXPECT_THAT(e.text(), HasSubstr("Memory: arena 0.00 MiB"));
  EXPECT_TRUE(e.memory_svg().ends_with("</svg>\n"));
  EXPECT_TRUE(json::accept(e.to_json()));
  Compiled nothing = compile([](const std::vector<Tensor>&) { return std::vector<Tensor>{}; }, {});
  EXPECT_EQ(explain(nothing, {}, {.runs = 1}).kernels.size(), 0u);
  EXPECT_FALSE(explain(nothing, {}).text().empty());
}

TEST(Explain, InferenceInMixedPrecision) {
  Compiled f = compile(
      [](const std::vector<Tensor>& in) {
        AmpScope amp(DType::kBF16);
        return std::vector<Tensor>{ops::relu(ops::linear(in[0], in[1]))};
      },
      {});
  const Explanation e = explain(f, {normal({64, 32}), normal({48, 32})}, {.runs = 1});
  bool found = false;
  for (const KernelTime& k : e.kernels) {
    if (k.op.find("linear") == std::string::npos) continue;
    found = true;
    EXPECT_THAT(k.operands, HasSubstr("bf16[64,32]"));
    EXPECT_DOUBLE_EQ(k.limit_ms, 1e3 * e.peaks.seconds(k.cost, DType::kBF16));
  }
  EXPECT_TRUE(found);
}

TEST(Explain, InferenceFoldsAndFreezes) {
  const Ref<State> w(new State("w", normal({8, 3, 3, 3}))), one(new State("one", ops::ones({8})));
  Compiled f = compile(
      [&](const std::vector<Tensor>& in) {
        const Tensor y = ops::conv2d(in[0], w->read(), {}, {.pad = 1});
        const Tensor s = one->read();
        return std::vector<Tensor>{ops::relu(ops::batch_norm_inference(y, s, s))};
      },
      {});
  const Explanation e = explain(f, {normal({2, 3, 6, 6})}, {.runs = 1});
  const std::string text = e.text();
  EXPECT_THAT(text, HasSubstr("conv2d + batch_norm_inference"));
  EXPECT_GT(e.frozen_kernels, 0);
  EXPECT_GT(e.frozen_bytes, 0);
  EXPECT_THAT(text, HasSubstr("kernels that run when weights change"));
  EXPECT_THAT(e.graph ? to_dot(*e.graph) : "", HasSubstr("#e3d9f2"));
}

TEST(Explain, RefusesTracesAndGradients) {
  Compiled f = compiled_net();
  const std::vector<Tensor> in = net_inputs();
  GradScope scope;
  try {
    explain(f, in);
    FAIL() << "inside a gradient scope";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kRuntime);
    EXPECT_THAT(e.message(), HasSubstr("outside of traces and gradients"));
  }
}

}  // namespace
}  // namespace rutile::graph
