// SPDX-License-Identifier: Apache-2.0
// Gradient by the weight of convolutions whose images have few pixels, as one matrix product: dy
// [pixels, out] transposed times the windows of x [pixels, in * kh * kw]. oneDNN's convolution adds
// the products of one image at a time to all of dw, which then costs more than the products.
#include <algorithm>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/conv_shape.h"
#include "rutile/kernels/cpu/dnnl_rows.h"
#include "rutile/kernels/cpu/dnnl_util.h"
#include "rutile/kernels/cpu/planning.h"
#include "rutile/ops/conv.h"

namespace rutile::kernels {

using dnnl::memory;

namespace {

constexpr double kElementNs = 0.3;  // of packing

constexpr int64_t kMostPixels = 4;           // of an image of dy
constexpr int64_t kLeastWeights = 1 << 16;   // below that dw stays in cache anyway
constexpr int64_t kMostWindows = 256 << 20;  // bytes

// Images with channels in runs of neighbours.
struct Images {
  int64_t batch = 0, row = 0, column = 0;  // strides in elements
  int64_t run = 1, run_step = 1;           // channels that are neighbours; between runs
  bool plain = false;                      // rows of channels, pixel after pixel
};

bool describe(const TensorMeta& m, Images* images) {
  const int64_t channels = m.dim(1), pixels = m.dim(2) * m.dim(3);
  if (m.layout != kStrided) {
    const int64_t block = channel_block(m.layout);
    if (block == 0 || channels % block != 0) return false;
    *images = {channels * pixels, m.dim(3) * block, block, block, pixels * block, pixels == 1};
    return true;
  }
  images->batch = m.strides[0];
  images->row = m.strides[2];
  images->column = m.strides[3];
  const bool together = m.strides[1] == 1 || channels == 1;
  images->run = together ? channels : 1;
  images->run_step = m.strides[1];
  images->plain = together && (m.is_channels_last() || (pixels == 1 && m.is_contiguous()));
  return m.is_dense();
}

struct GemmPlan : Plan {
  ConvShape shape;
  Images x, y;
  DnnlCall call;
  size_t dy_at = 0, windows_at = 0;
  bool packs_dy = false, packs_x = false;
  int64_t taps = 1;
};

// Rows of channels for all pixels of dy.
template <class T>
void pack_dy(const GemmPlan& p, const T* dy, T* to) {
  const ConvShape& s = p.shape;
  const Images& m = p.y;
  parallel_for(0, s.n, grain_for(kElementNs * static_cast<double>(s.oh * s.ow * s.oc)),
               [&](int64_t begin, int64_t end) {
                 T* row = to + begin * s.oh * s.ow * s.oc;
                 for (int64_t n = begin; n < end; ++n) {
                   for (int64_t pixel = 0; pixel < s.oh * s.ow; ++pixel, row += s.oc) {
                     const T* from =
                         dy + n * m.batch + pixel / s.ow * m.row + pixel % s.ow * m.column;
                     for (int64_t c = 0; c < s.oc; c += m.run) {
                       std::copy_n(from + c / m.run * m.run_step, m.run, row + c);
                     }
                   }
                 }
               });
}

// The window of one pixel of dy: channels, and for each its taps.
template <class T>
void pack_window(const GemmPlan& p, const T* image, int64_t top, int64_t left, T* to) {
  const ConvShape& s = p.shape;
  const Images& m = p.x;
  const int64_t taps = p.taps;
  for (int64_t t = 0; t < taps; ++t) {
    const int64_t i = top + t / s.kw * s.dil_h, j = left + t % s.kw * s.dil_w;
    const bool inside = i >= 0 && i < s.h && j >= 0 && j < s.w;
    const T* from = image + i * m.row + j * m.column;
    for (int64_t c = 0; c < s.ic; c += m.run) {
      T* row = to + c * taps + t;
      if (!inside) {
        for (int64_t k = 0; k < m.run; ++k) row[k * taps] = T{};
      } else if (taps == 1) {
        std::copy_n(from + c / m.run * m.run_step, m.run, row);
      } else {
        const T* run = from + c / m.run * m.run_step;
        for (int64_t k = 0; k < m.run; ++k) row[k * taps] = run[k];
      }
    }
  }
}

template <class T>
void pack_windows(const GemmPlan& p, const T* x, T* to) {
  const ConvShape& s = p.shape;
  const int64_t pixels = s.oh * s.ow, width = s.ic * p.taps;
  parallel_for(0, s.n * pixels, grain_for(kElementNs * static_cast<double>(width)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t k = begin; k < end; ++k) {
                   const int64_t oi = k % pixels / s.ow, oj = k % s.ow;
                   pack_window(p, x + k / pixels * p.x.batch, oi * s.stride_h - s.pad_h,
                               oj * s.stride_w - s.pad_w, to + k * width);
                 }
               });
}

// T: the bits of an element.
template <class T>
Status run(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const GemmPlan&>(plan);
  void *dy = args.in[0], *x = args.in[1];
  char* workspace = static_cast<char*>(args.workspace);
  if (p.packs_dy) {
    dy = workspace + p.dy_at;
    pack_dy(p, static_cast<const T*>(args.in[0]), static_cast<T*>(dy));
  }
  if (p.packs_x) {
    x = workspace + p.windows_at;
    pack_windows(p, static_cast<const T*>(args.in[1]), static_cast<T*>(x));
  }
  return p.call.run({dy, x, args.out[0], workspace});
}

dnnl::matmul::primitive_desc product(const CallMeta& call, const ConvShape& s) {
  const int64_t k = s.n * s.oh * s.ow, width = s.ic * s.kh * s.kw;
  const auto type = dnnl_dtype(call.in(0).dtype);
  const memory::desc a({s.oc, k}, type, memory::dims{1, s.oc});
  const memory::desc b({k, width}, type, memory::dims{width, 1});
  const memory::desc c({s.oc, width}, dnnl_dtype(call.out().dtype), memory::dims{width, 1});
  return dnnl::matmul::primitive_desc(dnnl_engine(), a, b, c, dnnl_attr(), true);
}

int threads_for(const ConvShape& s) {
  return dnnl_threads(static_cast<double>(s.n * s.oh * s.ow) *
                      static_cast<double>(s.oc * s.ic * s.kh * s.kw));
}

bool supports(const CallMeta& call, Reason* reason) {
  if (!dnnl_has(call.in(0).dtype) || !dnnl_has(call.out().dtype)) {
    return refuse(reason, "takes f32, and bf16 where the machine has AVX-512");
  }
  const ConvShape s = conv_shape(call);
  if (s.empty() || s.groups != 1) return refuse(reason, "is empty or has groups");
  if (s.oh * s.ow > kMostPixels || s.oc * s.ic * s.kh * s.kw < kLeastWeights) {
    return refuse(reason, "is for images of few pixels and many weights");
  }
  const int64_t windows = s.n * s.oh * s.ow * s.ic * s.kh * s.kw * 4;
  if (windows > kMostWindows || s.n * s.oh * s.ow * s.oc > INT32_MAX) {
    return refuse(reason, "would write out too many windows");
  }
  Images x, y;
  if (!describe(call.in(1), &x) || !describe(call.in(0), &y)) {
    return refuse(reason, "takes tensors without gaps and padding");
  }
  if (call.out().layout != kStrided || !call.out().is_contiguous()) {
    return refuse(reason, "gives row-major gradients");
  }
  bool made = false;
  const Status status = dnnl_try(threads_for(s), [&] {
    const auto pd = product(call, s);
    made = pd && std::string_view(pd.impl_info_str()).find("ref") == std::string_view::npos;
  });
  return (status.ok() && made) || refuse(reason, "oneDNN has no fast product");
}

Status prepare(const CallMeta& call, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<GemmPlan>();
  const ConvShape s = p->shape = conv_shape(call);
  const int64_t k = s.n * s.oh * s.ow;
  const size_t size = dtype_size(call.in(0).dtype);
  p->taps = s.kh * s.kw;
  RUTILE_CHECK(describe(call.in(1), &p->x) && describe(call.in(0), &p->y), "supports() looked");
  const bool strides = s.stride_h == 1 && s.stride_w == 1;
  const bool direct = p->taps == 1 && s.pad_h == 0 && s.pad_w == 0 && p->x.plain;
  p->packs_x = !(direct && (strides || s.h * s.w == 1));
  p->packs_dy = !p->y.plain;
  RUTILE_RETURN_IF_ERROR(dnnl_try(threads_for(s), [&] {
    const auto pd = product(call, s);
    size_t* ws = &p->workspace_bytes;
    reserve(pd.scratchpad_desc().get_size(), ws);  // at offset 0
    if (p->packs_dy) p->dy_at = reserve(static_cast<size_t>(k * s.oc) * size, ws);
    if (p->packs_x) {
      p->windows_at = reserve(static_cast<size_t>(k * s.ic * p->taps) * size, ws);
    }
    p->call.set(dnnl::matmul(pd), {{DNNL_ARG_SRC, pd.src_desc()},
                                   {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                   {DNNL_ARG_DST, pd.dst_desc()},
                                   {DNNL_ARG_SCRATCHPAD, pd.scratchpad_desc()}});
  }));
  p->run = size == 2 ? run<uint16_t> : run<uint32_t>;
  *plan = std::move(p);
  return Status();
}

}  // namespace

void register_conv_gemm_dnnl() {
  register_kernel({.op = &ops::kConv2dWeightGrad,
                   .name = "conv2d_gemm",
                   .supports = supports,
                   .prepare = prepare});
}

}  // namespace rutile::kernels
