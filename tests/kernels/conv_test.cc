// SPDX-License-Identifier: Apache-2.0
// Convolutions of the sizes that networks have: the samples of tests/ops are small.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <string_view>
#include <thread>

#include "rutile/core/rng.h"
#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/post_ops.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

using samples::in;

struct Layer {
  const char* name;
  Shape x, weight;
  int64_t stride, pad, groups;
};
const Layer kLayers[] = {
    {"stem", {2, 3, 64, 64}, {64, 3, 7, 7}, 2, 3, 1},
    {"1x1", {2, 64, 28, 28}, {256, 64, 1, 1}, 1, 0, 1},
    {"3x3", {2, 64, 28, 28}, {64, 64, 3, 3}, 1, 1, 1},
    {"3x3 strided", {2, 128, 28, 28}, {128, 128, 3, 3}, 2, 1, 1},
    {"1x1 strided", {2, 256, 14, 14}, {512, 256, 1, 1}, 2, 0, 1},
    {"odd images", {5, 48, 13, 11}, {80, 48, 1, 1}, 1, 0, 1},
    {"odd images strided", {3, 80, 15, 9}, {48, 80, 3, 3}, 2, 1, 1},
    {"3x3 wide", {11, 32, 17, 13}, {112, 32, 3, 3}, 1, 1, 1},
    {"3x3 unpadded", {3, 96, 15, 18}, {48, 96, 3, 3}, 1, 0, 1},
    {"3x3 two lines around", {2, 64, 9, 17}, {64, 64, 3, 3}, 1, 2, 1},
    {"7x7", {3, 160, 7, 7}, {560, 160, 3, 3}, 1, 1, 1},
    {"wide stride", {4, 32, 17, 40}, {32, 32, 3, 5}, 3, 2, 1},
    {"one pixel", {8, 512, 1, 1}, {512, 512, 3, 3}, 1, 1, 1},
    {"depthwise", {2, 96, 28, 28}, {96, 1, 3, 3}, 1, 1, 96},
    {"grouped", {2, 128, 14, 14}, {128, 4, 3, 3}, 1, 1, 32},
};

// A call with its operands placed as a row prefers them, or as they are.
struct Planned {
  std::vector<Tensor> in;
  Tensor out, workspace;
  std::shared_ptr<const Plan> plan;

  Status run() const {
    void* inputs[4] = {};
    for (size_t i = 0; i < in.size(); ++i)
      inputs[i] = in[i].defined() ? in[i].impl()->data : nullptr;
    void* outputs[] = {out.impl()->data};
    return plan->run(*plan, {inputs, outputs, workspace.impl()->data});
  }
};

Planned plan(const OpDef& op, const void* attrs, std::vector<Tensor> operands, bool preferred) {
  Planned p;
  std::vector<const TensorMeta*> metas;
  for (const Tensor& t : operands) metas.push_back(t.defined() ? &t.meta() : nullptr);
  CallMeta call{&op, attrs, metas, {}};
  SmallVector<TensorMeta, 1> out;
  throw_if_error(infer_call(call, &out));
  call.outputs = out;
  LayoutPrefs prefs;
  for (const KernelRow& row : kernel_rows(op, DeviceType::kCpu)) {
    if (preferred && row.prefer && prefs.in.empty()) (void)row.prefer(call, &prefs).ok();
  }
  for (int i = 0; i < prefs.in.size(); ++i) {
    if (!operands[static_cast<size_t>(i)].defined()) continue;
    TensorMeta m;
    throw_if_error(place(operands[static_cast<size_t>(i)].shape(),
                         operands[static_cast<size_t>(i)].dtype(), kCpu, prefs.in[i], &m));
    operands[static_cast<size_t>(i)] = samples::place(operands[static_cast<size_t>(i)], m);
    metas[static_cast<size_t>(i)] = &operands[static_cast<size_t>(i)].meta();
  }
  if (!prefs.out.empty())
    throw_if_error(place(out[0].shape, out[0].dtype, kCpu, prefs.out[0], &out[0]));
  throw_if_error(make_plan(call, DeviceType::kCpu, &p.plan));
  p.in = operands;
  p.out = Tensor::empty(out[0]);
  p.workspace = Tensor::empty({static_cast<int64_t>(p.plan->workspace_bytes) + 64}, DType::kU8);
  return p;
}

double relative_error(const Tensor& got, const Tensor& want) {
  const std::vector<double> g = samples::to_doubles(got), w = samples::to_doubles(want);
  double error = 0, norm = 0;
  for (size_t i = 0; i < g.size(); ++i) {
    error += (g[i] - w[i]) * (g[i] - w[i]);
    norm += w[i] * w[i];
  }
  return std::sqrt(error / norm);
}

// The three products of a layer in f64 (Eigen) against another type, plain and as preferred.
class ConvLayers : public testing::TestWithParam<std::tuple<int, DType, bool>> {};

TEST_P(ConvLayers, AgreeWithFloat64) {
  const auto [index, dtype, preferred] = GetParam();
  const Layer& l = kLayers[index];
  const double tolerance = dtype == DType::kF32 ? 2e-6 : dtype == DType::kF16 ? 1e-3 : 6e-3;
  ops::Conv2dAttrs a;
  a.stride = l.stride;
  a.pad = l.pad;
  a.groups = l.groups;
  const Tensor x = samples::make_tensor(in(l.x), dtype, PhiloxKey{1});
  const Tensor w = samples::make_tensor(in(l.weight), dtype, PhiloxKey{2});
  const Tensor x64 = ops::cast(x, DType::kF64), w64 = ops::cast(w, DType::kF64);
  const Tensor y64 = ops::conv2d(x64, w64, {}, a);
  const Planned forward = plan(ops::kConv2d, &a, {x, w}, preferred);
  throw_if_error(forward.run());
  EXPECT_LT(relative_error(forward.out, y64), tolerance) << forward.plan->kernel;

  const Tensor dy = samples::make_tensor(in(y64.shape()), dtype, PhiloxKey{3});
  const Tensor dy64 = ops::cast(dy, DType::kF64);
  ops::Conv2dInputGradAttrs by_input;
  by_input.stride = l.stride;
  by_input.pad = l.pad;
  by_input.groups = l.groups;
  by_input.input_shape = l.x;
  const Planned input_grad = plan(ops::kConv2dInputGrad, &by_input, {dy, w}, preferred);
  throw_if_error(input_grad.run());
  EXPECT_LT(relative_error(input_grad.out, ops::conv2d_input_grad(dy64, w64, by_input)), tolerance)
      << input_grad.plan->kernel;

  ops::Conv2dWeightGradAttrs by_weight;
  by_weight.stride = l.stride;
  by_weight.pad = l.pad;
  by_weight.groups = l.groups;
  by_weight.weight_shape = l.weight;
  const Tensor dw64 = ops::conv2d_weight_grad(dy64, x64, by_weight);
  by_weight.out_dtype = DType::kF32;
  const Planned weight_grad = plan(ops::kConv2dWeightGrad, &by_weight, {dy, x}, preferred);
  throw_if_error(weight_grad.run());
  EXPECT_LT(relative_error(weight_grad.out, dw64), 2e-6) << weight_grad.plan->kernel;

  // Large 3x3 convolutions take the fewer products: of blocks of 16 channels, and of row-major
  // images.
  const Layout layout = forward.out.meta().layout;
  const bool placed = layout == kStrided ? !preferred : channel_block(layout) == 16;
  if (std::string_view(l.name).starts_with("3x3 w") && placed && dtype == DType::kF32 &&
      kernels::isa() != kernels::Isa::kBaseline) {
    for (const Planned* p : {&forward, &input_grad, &weight_grad}) {
      EXPECT_STREQ(p->plan->kernel, "conv2d_winograd");
    }
  }

  // The same bits again.
  for (const Planned* p : {&forward, &input_grad, &weight_grad}) {
    const size_t bytes = static_cast<size_t>(p->out.meta().nbytes());
    std::vector<char> first(bytes);
    std::memcpy(first.data(), p->out.impl()->data, bytes);
    throw_if_error(p->run());
    EXPECT_EQ(std::memcmp(first.data(), p->out.impl()->data, bytes), 0) << p->plan->kernel;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConvLayers,
                         testing::Combine(testing::Range(0, static_cast<int>(std::size(kLayers))),
                                          testing::Values(DType::kF32, DType::kBF16, DType::kF16),
                                          testing::Bool()),
                         [](const auto& info) {
                           std::string name = kLayers[std::get<0>(info.param)].name;
                           for (char& c : name) c = c == ' ' ? '_' : c;
                           return cat(name, "_", std::get<1>(info.param),
                                      std::get<2>(info.param) ? "_preferred" : "_plain");
                         });

// What stands behind the sum, with each operand that may be missing.
TEST(WinogradAct, AgreesWithFloat64) {
  const Tensor x = samples::make_tensor(in({3, 32, 21, 14}), DType::kF32, PhiloxKey{1});
  const Tensor w = samples::make_tensor(in({48, 32, 3, 3}), DType::kF32, PhiloxKey{2});
  const Tensor bias = samples::make_tensor(in({48}), DType::kF32, PhiloxKey{3});
  const Tensor residual = samples::make_tensor(in({3, 48, 21, 14}), DType::kF32, PhiloxKey{4});
  const auto wide = [](const Tensor& t) {
    return t.defined() ? ops::cast(t, DType::kF64) : Tensor();
  };
  for (const ops::Activation act : {ops::Activation::kNone, ops::Activation::kRelu}) {
    for (int mask = 0; mask < 4; ++mask) {
      const Tensor b = mask & 1 ? bias : Tensor(), r = mask & 2 ? residual : Tensor();
      ops::Conv2dActAttrs a;
      a.pad = 1;
      a.act = act;
      const Planned act_plan = plan(ops::kConv2dAct, &a, {x, w, b, r}, true);
      throw_if_error(act_plan.run());
      if (act_plan.out.meta().layout != kStrided &&
          channel_block(act_plan.out.meta().layout) == 16) {
        EXPECT_STREQ(act_plan.plan->kernel, "conv2d_winograd");
      }
      const Tensor want = ops::conv2d_act(wide(x), wide(w), wide(b), wide(r), a);
      EXPECT_LT(relative_error(act_plan.out, want), 2e-6) << mask;
    }
  }
}

// A plan is shared by threads: each run must keep its pointers to itself.
TEST(Plans, RunOnSeveralThreads) {
  const Tensor x = samples::make_tensor(in({2, 16, 12, 12}), DType::kF32, PhiloxKey{1});
  const Tensor w = samples::make_tensor(in({16, 16, 3, 3}), DType::kF32, PhiloxKey{2});
  const ops::Conv2dAttrs a;
  ThreadCountScope one(1);
  const Planned first = plan(ops::kConv2d, &a, {x, w}, false);
  throw_if_error(first.run());
  const std::vector<float> want = first.out.to_vector<float>();
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      ThreadCountScope single(1);
      Planned mine = first;
      mine.out = Tensor::empty(first.out.meta());
      mine.workspace = Tensor::empty(first.workspace.meta());
      for (int i = 0; i < 50; ++i) {
        std::memset(mine.out.impl()->data, 0, static_cast<size_t>(mine.out.meta().nbytes()));
        if (!mine.run().ok() || mine.out.to_vector<float>() != want)
          ++wrong[static_cast<size_t>(t)];
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

// A plan is shared by threads; each run has arguments of its own.
TEST(ConvPlan, RunsOnManyThreadsAtOnce) {
  const ops::Conv2dAttrs attrs;
  const Planned shared = plan(
      ops::kConv2d, &attrs, {Tensor::full({1, 16, 8, 8}, 0.5), Tensor::full({16, 16, 3, 3}, 0.25)},
      /*preferred=*/false);
  throw_if_error(shared.run());
  const std::vector<float> want = shared.out.to_vector<float>();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      Planned own = shared;
      own.out = Tensor::zeros(shared.out.shape());
      own.workspace = Tensor::empty(shared.workspace.shape(), DType::kU8);
      for (int i = 0; i < 50; ++i) wrong += !own.run().ok() || own.out.to_vector<float>() != want;
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace rutile
