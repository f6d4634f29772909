// SPDX-License-Identifier: Apache-2.0
// What cuDNN says about the graphs of kernels/cuda/cudnn_graphs.h on GPUs that are not here: since
// 9.8 it takes a GPU's properties in words and chooses and checks engines for them. Nothing runs.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#if defined(RUTILE_CUDNN)

#include <functional>

#include "rutile/core/placement.h"
#include "rutile/kernels/cuda/cudnn_graphs.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/plan_cache.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;
}

namespace rutile::cuda {

// Attention's headers ask the runtime which GPU there is: a stand-in for it (tests/stubs/cudart).
void* open_for_cudnn(const char* file, int mode) {
  const std::string name = file;
  if (name == "libcudart.so.13") return dlopen(RUTILE_BIN_DIR "/stubs/libcudart_stub.so", mode);
  return name.starts_with("libcudart.so") ? nullptr : dlopen(file, mode);
}

namespace {

struct Gpu {
  const char* name;
  int version, processors, shared_bytes;
};
constexpr Gpu kA100{"NVIDIA A100-SXM4-80GB", 800, 108, 166912},
    kH200{"NVIDIA H200", 900, 132, 232448}, kB200{"NVIDIA B200", 1000, 148, 232448};

std::shared_ptr<fe::DeviceProperties> properties(const Gpu& g, std::string* failure) {
  const std::string text =
      cat(R"({"cudaDeviceId":0,"deviceVer":)", g.version,
          R"(,"driverVer":13000,"maxGridSize":[2147483647,65535,65535],)",
          R"("maxBlockSize":[1024,1024,64],"regsPerBlock":65536,"multiProcessorCount":)",
          g.processors, R"(,"warpSize":32,"maxSharedMemoryPerBlock":49152,)",
          R"("maxSharedMemoryPerBlockOptin":)", g.shared_bytes,
          R"(,"reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,)",
          R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,)",
          R"("supportCoopLaunch":1,"smClockRateKHz":1980000,"memClockRateKHz":2619000,)",
          R"("l2CacheSize":52428800,"totalGlobalMem":85899345920,"deviceName":")", g.name, "\"}");
  auto p = std::make_shared<fe::DeviceProperties>();
  fe::error_t e = p->deserialize(std::vector<uint8_t>(text.begin(), text.end()));
  if (e.is_bad()) *failure = e.get_message();
  return p;
}

// Opens cuDNN and what its engines look for; says what is missing.
std::string open_all() {
  // Engines that compile their kernels open the driver's library by this name.
  if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) &&
      !dlopen(RUTILE_CUDA_LIB "/stubs/libcuda.so", RTLD_NOW | RTLD_GLOBAL)) {
    return dlerror();
  }
  fe::cudnn_dlhandle = dlopen(RUTILE_CUDA_LIB "/libcudnn.so.9", RTLD_NOW | RTLD_GLOBAL);
  if (!fe::cudnn_dlhandle) return dlerror();
  if (fe::detail::get_backend_version() < 91100) return "cuDNN 9.11 or newer";
  std::string failure;
  (void)properties(kH200, &failure);
  return failure;
}

class Cudnn : public ::testing::Test {
 protected:
  void SetUp() override {
    static const std::string missing = open_all();
    if (!missing.empty()) GTEST_SKIP() << "missing: " << missing;
  }
};

// A call with its operands placed as the layout pass has them.
struct Call {
  const OpDef& op;
  AnyAttrs attrs;
  std::vector<TensorMeta> in;
  SmallVector<TensorMeta, 4> out;

  Call(const OpDef& o, const void* a, std::vector<TensorMeta> inputs)
      : op(o), attrs(o.attrs, a), in(std::move(inputs)) {
    SmallVector<const TensorMeta*, 6> pointers;
    for (const TensorMeta& m : in) pointers.push_back(&m);
    SmallVector<TensorMeta, 1> outputs;
    throw_if_error(infer_call(CallMeta{&op, attrs.get(), pointers, {}}, &outputs));
    for (const TensorMeta& m : outputs) out.push_back(m);
  }
  template <class F>
  void with(F&& f) const {
    SmallVector<const TensorMeta*, 6> pointers;
    for (const TensorMeta& m : in) pointers.push_back(&m);
    f(CallMeta{&op, attrs.get(), pointers, out});
  }
};

TensorMeta images(const Shape& s, DType t) {
  TensorMeta m;
  throw_if_error(place(s, t, {DeviceType::kCuda, 0}, {kStrided, true}, &m));
  return m;
}

// Empty if cuDNN has an engine for it, else why not. `built`: compiles a plan, too.
using Describe = std::function<void(const CallMeta&, CudnnGraph*)>;
std::string refusal(const Call& call, const Gpu& gpu, const Describe& describe, bool single = false,
                    bool built = false) {
  std::string why;
  CudnnGraph p;
  const auto there = reinterpret_cast<void (*)(int, int, int)>(
      dlsym(open_for_cudnn("libcudart.so.13", RTLD_NOW), "stub_gpu"));
  if (!there) return "no stand-in for CUDA's runtime";
  there(gpu.version, gpu.processors, gpu.shared_bytes);
  p.graph.set_device_properties(properties(gpu, &why));
  p.graph.set_sm_version(gpu.version / 10);
  call.with([&](const CallMeta& c) { describe(c, &p); });
  fe::error_t e = p.graph.validate();
  if (e.is_good()) e = p.graph.build_operation_graph();
  if (e.is_good()) {
    e = p.graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK});
  }
  p.graph.deselect_numeric_notes(refused_notes(single));
  if (e.is_good()) e = p.graph.check_support();
  if (e.is_good() && built) e = p.graph.build_plans();
  return e.is_good() ? "" : e.get_message();
}

struct Layer {
  int64_t in, out, size, kernel, stride;
};
// All that differ in ResNet-50 at 224x224.
constexpr Layer kLayers[] = {
    {3, 64, 224, 7, 2},     {64, 64, 56, 1, 1},    {64, 64, 56, 3, 1},    {64, 256, 56, 1, 1},
    {256, 64, 56, 1, 1},    {256, 128, 56, 1, 1},  {128, 128, 56, 3, 2},  {128, 512, 28, 1, 1},
    {256, 512, 56, 1, 2},   {512, 128, 28, 1, 1},  {128, 128, 28, 3, 1},  {512, 256, 28, 1, 1},
    {256, 256, 28, 3, 2},   {256, 1024, 14, 1, 1}, {512, 1024, 28, 1, 2}, {1024, 256, 14, 1, 1},
    {256, 256, 14, 3, 1},   {1024, 512, 14, 1, 1}, {512, 512, 14, 3, 2},  {512, 2048, 7, 1, 1},
    {1024, 2048, 14, 1, 2}, {2048, 512, 7, 1, 1},  {512, 512, 7, 3, 1},
};

struct Three {
  Call forward, input_grad, weight_grad;
};
Three calls_of(const Layer& l, DType t, int64_t n = 256) {
  const Int2 stride{static_cast<int>(l.stride), static_cast<int>(l.stride)};
  const int half = static_cast<int>(l.kernel / 2);
  const TensorMeta x = images({n, l.in, l.size, l.size}, t);
  const TensorMeta w = images({l.out, l.in, l.kernel, l.kernel}, t);
  const ops::Conv2dAttrs a{stride, {half, half}};
  Call forward(ops::kConv2d, &a, {x, w});
  const TensorMeta y = forward.out[0];
  ops::Conv2dInputGradAttrs ia;
  ia.stride = stride;
  ia.pad = {half, half};
  ia.input_shape = x.shape;
  ops::Conv2dWeightGradAttrs wa;
  wa.stride = stride;
  wa.pad = {half, half};
  wa.weight_shape = w.shape;
  if (is_low_precision(t)) wa.out_dtype = DType::kF32;
  Call weight(ops::kConv2dWeightGrad, &wa, {y, x});
  weight.out[0] = images(w.shape, weight.out[0].dtype);
  return {std::move(forward), Call(ops::kConv2dInputGrad, &ia, {y, w}), std::move(weight)};
}

const Describe kConv = [](const CallMeta& c, CudnnGraph* p) { describe_conv(c, true, p); };

TEST_F(Cudnn, ConvolutionsOfResNet50) {
  for (const Layer& l : kLayers) {
    SCOPED_TRACE(cat(l.in, " -> ", l.out, ", ", l.kernel, "x", l.kernel, " of ", l.size));
    const Three c = calls_of(l, DType::kBF16);
    EXPECT_EQ(refusal(c.forward, kH200, kConv), "");
    EXPECT_EQ(refusal(c.input_grad, kH200, kConv), "");
    const std::string wide = refusal(c.weight_grad, kH200, kConv);
    if (wide.empty()) continue;
    // The first layer's: in low precision, and a kernel of ours that converts.
    EXPECT_EQ(l.in, 3);
    Call narrow = c.weight_grad;
    narrow.out[0].dtype = DType::kBF16;
    EXPECT_EQ(refusal(narrow, kH200, kConv), "");
  }
}

TEST_F(Cudnn, ConvolutionsOfOtherGpusAndTypes) {
  for (const Gpu& gpu : {kA100, kB200}) {
    for (const DType t : {DType::kBF16, DType::kF16}) {
      for (const Layer& l : {kLayers[2], kLayers[3]}) {
        SCOPED_TRACE(cat(gpu.name, " ", dtype_name(t), " ", l.kernel));
        const Three c = calls_of(l, t);
        for (const Call* call : {&c.forward, &c.input_grad, &c.weight_grad}) {
          EXPECT_EQ(refusal(*call, gpu, kConv), "") << call->op.name;
        }
      }
    }
  }
  // In f32 without tensor cores.
  const Three c = calls_of(kLayers[2], DType::kF32, 8);
  for (const Call* call : {&c.forward, &c.input_grad, &c.weight_grad}) {
    EXPECT_EQ(refusal(*call, kH200, kConv, true), "") << call->op.name;
  }
}

TEST_F(Cudnn, ABiasIsPartOfTheGraph) {
  const ops::Conv2dAttrs a{.pad = {1, 1}};
  const Call c(ops::kConv2d, &a,
               {images({32, 64, 28, 28}, DType::kBF16), images({128, 64, 3, 3}, DType::kBF16),
                TensorMeta({128}, DType::kBF16, {DeviceType::kCuda, 0})});
  for (const Gpu& gpu : {kA100, kH200, kB200}) EXPECT_EQ(refusal(c, gpu, kConv), "") << gpu.name;
}

// ---- Convolutions with a batch norm at both ends ------------------------------------------------

struct Chain {
  Call sums, both, weight_grad, input_grad;
};
Chain chain_of(const Layer& l, DType t) {
  const Device device{DeviceType::kCuda, 0};
  const Three c = calls_of(l, t);
  const TensorMeta &x = c.forward.in[0], &w = c.forward.in[1], &y = c.forward.out[0];
  const TensorMeta low({l.in}, t, device), wide({l.in}, DType::kF32, device);
  const auto& a = *static_cast<const ops::Conv2dAttrs*>(c.forward.attrs.get());
  ops::Conv2dWeightGradAttrs wa;
  wa.stride = a.stride;
  wa.pad = a.pad;
  wa.weight_shape = w.shape;
  Call weight(ops::kConv2dNormWeightGrad, &wa, {y, x, low, low});
  weight.out[0] = images(w.shape, t);
  return {Call(ops::kConv2dStats, &a, {x, w}), Call(ops::kConv2dStats, &a, {x, w, low, low}),
          std::move(weight),
          Call(ops::kConv2dNormInputGrad, &a, {y, w, x, wide, wide, wide, wide})};
}

// Engines for f16 on Ampere and Hopper, as those that the records of MLPerf ran with; none in bf16,
// for which the single operations are left.
TEST_F(Cudnn, NormsWithinConvolutions) {
  for (const Gpu& gpu : {kA100, kH200}) {
    for (const Layer& l : kLayers) {
      if (l.in == 3 || (gpu.version == 800 && l.in != 64)) continue;
      SCOPED_TRACE(cat(gpu.name, " ", l.in, " -> ", l.out, " ", l.kernel, "x", l.kernel));
      const Chain c = chain_of(l, DType::kF16);
      EXPECT_EQ(refusal(c.sums, gpu, describe_stats), "");
      EXPECT_EQ(refusal(c.both, gpu, describe_stats), "");
      EXPECT_EQ(refusal(c.weight_grad, gpu, describe_norm_weight_grad), "");
      EXPECT_EQ(refusal(c.input_grad, gpu, describe_norm_input_grad), "");
    }
  }
  const Chain c = chain_of(kLayers[2], DType::kBF16);
  EXPECT_NE(refusal(c.both, kH200, describe_stats), "");
  EXPECT_NE(refusal(c.weight_grad, kH200, describe_norm_weight_grad), "");
  EXPECT_NE(refusal(c.input_grad, kH200, describe_norm_input_grad), "");
}

// ---- Attention ----------------------------------------------------------------------------------

struct Attention {
  Call forward, backward;
};
// As GPT's blocks call it: q, k and v are views of one projection [b, t, 3, h, d].
Attention attention(DType t, int64_t b, int64_t h, int64_t length, int64_t d, bool causal) {
  TensorMeta m({b, h, length, d}, t, {DeviceType::kCuda, 0});
  m.strides = {length * 3 * h * d, d, 3 * h * d, 1};
  const ops::AttentionAttrs a{.causal = causal};
  Call forward(ops::kAttention, &a, {m, m, m});
  const TensorMeta y = forward.out[0], lse = forward.out[1];
  return {std::move(forward), Call(ops::kAttentionGrad, &a, {y, m, m, m, y, lse})};
}

TEST_F(Cudnn, Attention) {
  for (const Gpu& gpu : {kA100, kH200, kB200}) {
    for (const DType t : {DType::kBF16, DType::kF16}) {
      for (const bool causal : {true, false}) {
        SCOPED_TRACE(cat(gpu.name, " ", dtype_name(t), causal ? " causal" : ""));
        const Attention c = attention(t, 64, 12, 1024, 64, causal);
        EXPECT_EQ(refusal(c.forward, gpu, describe_attention), "");
        EXPECT_EQ(refusal(c.backward, gpu, describe_attention), "");
      }
    }
  }
}

// Gradients as graph/pass/join_slices.cc places them: one tensor [b, t, 3, h, d] has all three.
TEST_F(Cudnn, AttentionsGradientsInOneTensor) {
  for (const Gpu& gpu : {kA100, kH200, kB200}) {
    for (const DType t : {DType::kBF16, DType::kF16}) {
      SCOPED_TRACE(cat(gpu.name, " ", dtype_name(t)));
      Attention c = attention(t, 64, 12, 1024, 64, true);
      for (TensorMeta& m : c.backward.out) m.strides = c.forward.in[0].strides;
      EXPECT_EQ(refusal(c.backward, gpu, describe_attention), "");
    }
  }
}

// Masks as their users write them: of keys, of keys and rows, for each head, and with causal. They
// reach cuDNN as numbers to add, f32.
TEST_F(Cudnn, AttentionWithAMask) {
  const Device device{DeviceType::kCuda, 0};
  constexpr int64_t b = 8, h = 12, length = 512;
  const Shape shapes[] = {{b, 1, 1, length},
                          {length, length},
                          {b, 1, length, length},
                          {h, length, length},
                          {b, h, length, length}};
  for (const Gpu& gpu : {kA100, kH200, kB200}) {
    for (const DType t : {DType::kBF16, DType::kF16}) {
      for (const Shape& shape : shapes) {
        for (const bool causal : {true, false}) {
          SCOPED_TRACE(cat(gpu.name, " ", dtype_name(t), shape, causal ? " causal" : ""));
          const Attention c = attention(t, b, h, length, 64, causal);
          const ops::AttentionAttrs a{.causal = causal};
          const TensorMeta mask(shape, DType::kBool, device);
          std::vector<TensorMeta> in = c.forward.in, back = c.backward.in;
          in.push_back(mask);
          back.push_back(mask);
          EXPECT_EQ(refusal(Call(ops::kAttention, &a, in), gpu, describe_attention), "");
          EXPECT_EQ(refusal(Call(ops::kAttentionGrad, &a, back), gpu, describe_attention), "");
        }
      }
    }
  }
}

}  // namespace
}  // namespace rutile::cuda

#endif
