// SPDX-License-Identifier: Apache-2.0
// The convolutions of ResNet-50 at 224x224, one by one: forward, gradient by input and by weight.
//
//   bench_ops --benchmark_filter='conv/blocked/.*f32'
//
// blocked: every operand as the kernel prefers it, the weight packed: what the library can do.
// channels_last: as eager execution runs it, the weight row-major.
// onednn: blocked, by oneDNN's kernels alone: the limit that docs/benchmarks.md compares with.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "rutile/core/placement.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/plan_cache.h"

namespace rutile {
namespace {

// Images of this size, this many at a time: ImageNet's, and those of the training on Fashion-MNIST.
struct Images {
  int64_t batch, size;
};
constexpr Images kImages[] = {{16, 224}, {64, 28}};

// A feature map that is `at_224` wide for images of 224.
int64_t scaled(int64_t at_224, int64_t image) {
  for (int64_t full = 224; full > at_224; full /= 2) image = (image + 1) / 2;
  return image;
}

struct Layer {
  int64_t in, out, kernel, stride, size;
  int count;  // in the network
};
constexpr Layer kLayers[] = {
    {3, 64, 7, 2, 224, 1},    {64, 64, 1, 1, 56, 1},    {256, 64, 1, 1, 56, 2},
    {64, 64, 3, 1, 56, 3},    {64, 256, 1, 1, 56, 4},   {256, 128, 1, 1, 56, 1},
    {128, 128, 3, 2, 56, 1},  {128, 512, 1, 1, 28, 4},  {256, 512, 1, 2, 56, 1},
    {512, 128, 1, 1, 28, 3},  {128, 128, 3, 1, 28, 3},  {512, 256, 1, 1, 28, 1},
    {256, 256, 3, 2, 28, 1},  {256, 1024, 1, 1, 14, 6}, {512, 1024, 1, 2, 28, 1},
    {1024, 256, 1, 1, 14, 5}, {256, 256, 3, 1, 14, 5},  {1024, 512, 1, 1, 14, 1},
    {512, 512, 3, 2, 14, 1},  {512, 2048, 1, 1, 7, 3},  {1024, 2048, 1, 2, 14, 1},
    {2048, 512, 1, 1, 7, 2},  {512, 512, 3, 1, 7, 2},
};

enum class Kernels { kBlocked, kChannelsLast, kOneDnn };

enum class Direction { kForward, kInputGrad, kWeightGrad };

// One planned call with its memory.
class Runner {
 public:
  Runner(const Layer& l, Images images, Direction d, DType t, Kernels k) {
    const int64_t size = scaled(l.size, images.size), n = images.batch;
    const int64_t pad = l.kernel / 2, out = (size + 2 * pad - l.kernel) / l.stride + 1;
    const Shape x{n, l.in, size, size}, w{l.out, l.in, l.kernel, l.kernel};
    const Shape y{n, l.out, out, out};
    flops_ = 2.0 * static_cast<double>(y.numel() * l.in * l.kernel * l.kernel);
    ops::Conv2dAttrs forward;
    ops::Conv2dInputGradAttrs by_input;
    ops::Conv2dWeightGradAttrs by_weight;
    forward.stride = by_input.stride = by_weight.stride = l.stride;
    forward.pad = by_input.pad = by_weight.pad = pad;
    by_input.input_shape = x;
    by_weight.weight_shape = w;
    by_weight.out_dtype = DType::kF32;
    switch (d) {
      case Direction::kForward:
        plan(ops::kConv2d, &forward, {{x, t}, {w, t}}, 1, k);
        break;
      case Direction::kInputGrad:
        plan(ops::kConv2dInputGrad, &by_input, {{y, t}, {w, t}}, 1, k);
        break;
      case Direction::kWeightGrad:
        plan(ops::kConv2dWeightGrad, &by_weight, {{y, t}, {x, t}}, -1, k);
        break;
    }
  }

  void run() {
    void* in[] = {in_[0].impl()->data, in_[1].impl()->data};
    void* out[] = {out_.impl()->data};
    throw_if_error(plan_->run(*plan_, {in, out, workspace_.impl()->data}));
  }
  double flops() const { return flops_; }

 private:
  void plan(const OpDef& op, const void* attrs, std::vector<TensorMeta> in, int weight,
            Kernels kernels) {
    const TensorMeta* pointers[] = {&in[0], &in[1]};
    SmallVector<TensorMeta, 1> out;
    CallMeta call{&op, attrs, pointers, {}};
    throw_if_error(infer_call(call, &out));
    call.outputs = out;
    LayoutPrefs prefs;
    const KernelRow* chosen = nullptr;
    for (const KernelRow& row : kernel_rows(op, DeviceType::kCpu)) {
      if (kernels == Kernels::kChannelsLast || !row.prefer || chosen) continue;
      if (kernels == Kernels::kOneDnn && std::string_view(row.name) != "conv2d_dnnl") continue;
      if (row.prefer(call, &prefs).ok()) chosen = &row;
    }
    for (int i = 0; i < 2; ++i) {
      Placement p{kStrided, i != weight};
      if (!prefs.in.empty()) p = prefs.in[i];
      throw_if_error(place(in[i].shape, in[i].dtype, kCpu, p, &in[i]));
    }
    if (!prefs.out.empty()) {
      throw_if_error(place(out[0].shape, out[0].dtype, kCpu, prefs.out[0], &out[0]));
    }
    if (kernels == Kernels::kOneDnn && chosen) {
      std::unique_ptr<Plan> made;
      throw_if_error(chosen->prepare(call, &made));
      plan_ = std::move(made);
    } else {
      throw_if_error(make_plan(call, DeviceType::kCpu, &plan_));
    }
    for (int i = 0; i < 2; ++i) in_[i] = fresh(in[i]);
    out_ = fresh(out[0]);
    workspace_ = Tensor::empty({static_cast<int64_t>(plan_->workspace_bytes) + 64}, DType::kU8);
  }

  static Tensor fresh(const TensorMeta& m) {
    Tensor t = Tensor::empty(m);
    std::memset(t.impl()->data, 0, static_cast<size_t>(m.nbytes()));
    return t;
  }

  std::shared_ptr<const Plan> plan_;
  Tensor in_[2], out_, workspace_;
  double flops_ = 0;
};

void run_layer(benchmark::State& state, const Layer& l, Direction d, DType t, Kernels k) {
  Runner runner(l, kImages[0], d, t, k);
  runner.run();
  for (auto _ : state) runner.run();
  state.counters["GFLOP/s"] = benchmark::Counter(
      runner.flops() * 1e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

// All layers in the numbers in which the network has them, without the first one's input gradient:
// the fastest of five runs of each, and (usual_images/s) their median.
void run_network(benchmark::State& state, Images images, DType t, Kernels k) {
  double flops = 0;
  for (auto _ : state) {
    double seconds = 0, usual = 0;
    for (const Layer& l : kLayers) {
      for (const Direction d :
           {Direction::kForward, Direction::kInputGrad, Direction::kWeightGrad}) {
        if (l.in == 3 && d == Direction::kInputGrad) continue;
        Runner runner(l, images, d, t, k);
        runner.run();
        double runs[5];
        for (double& took : runs) {
          const auto start = std::chrono::steady_clock::now();
          runner.run();
          took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        }
        std::sort(std::begin(runs), std::end(runs));
        seconds += runs[0] * l.count;
        usual += runs[2] * l.count;
        flops += runner.flops() * l.count;
      }
    }
    state.SetIterationTime(seconds);
    state.counters["usual_images/s"] = static_cast<double>(images.batch) / usual;
  }
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsRate);
  state.counters["images/s"] = benchmark::Counter(
      static_cast<double>(images.batch * state.iterations()), benchmark::Counter::kIsRate);
}

bool register_all() {
  for (const DType t : {DType::kF32, DType::kBF16}) {
    const std::pair<Kernels, const char*> kinds[] = {{Kernels::kBlocked, "blocked"},
                                                     {Kernels::kChannelsLast, "channels_last"},
                                                     {Kernels::kOneDnn, "onednn"}};
    for (const auto& [kernels, placement] : kinds) {
      const Kernels k = kernels;
      for (const Images images : kImages) {
        const std::string name = cat("resnet50_convs_", images.size, "/", placement, "/", t);
        benchmark::RegisterBenchmark(name.c_str(),
                                     [=](benchmark::State& s) { run_network(s, images, t, k); })
            ->UseManualTime()
            ->Iterations(1)
            ->Unit(benchmark::kMillisecond);
      }
      for (const Layer& l : kLayers) {
        int d = 0;
        for (const char* direction : {"forward", "input_grad", "weight_grad"}) {
          const Direction which = static_cast<Direction>(d++);
          const std::string name = cat("conv/", placement, "/", t, "/", direction, "/", l.in, "_",
                                       l.out, "_k", l.kernel, "_s", l.stride, "_", l.size);
          benchmark::RegisterBenchmark(
              name.c_str(), [=, &l](benchmark::State& s) { run_layer(s, l, which, t, k); })
              ->UseRealTime()
              ->Unit(benchmark::kMillisecond);
        }
      }
    }
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_all();

}  // namespace
}  // namespace rutile
