// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/group_norm.h"

#include "rutile/kernels/cpu/isa/vec_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

struct Task {
  int64_t at;       // first element of the group
  int64_t channel;  // its first channel
  int64_t stat;     // its place among the statistics
  int64_t sums;     // its first channel among all images' channels
};

RUTILE_INLINE Task task_of(const GroupNormShape& s, int64_t t) {
  const int64_t image = t / s.groups, group = t % s.groups;
  return {image * s.image_step + group * s.group_step, group * s.channels, t,
          (image * s.groups + group) * s.channels};
}

// Weight or bias of the lanes from i of a line; `missing` where there is none.
RUTILE_INLINE V16 scale_of(const GroupNormShape& s, const float* v, int64_t channel, int64_t line,
                           int64_t i, int64_t lanes, float missing) {
  if (!v) return splat(missing);
  return s.line_is_channel ? splat(v[channel + line]) : get(v, channel + i, lanes);
}

template <class T>
void forward(const GroupNormShape& s, const GroupNormArgs& a, int64_t begin, int64_t end) {
  const double scale = 1.0 / static_cast<double>(s.lines * s.width);
  for (int64_t t = begin; t < end; ++t) {
    const Task task = task_of(s, t);
    const T* x = static_cast<const T*>(a.x) + task.at;
    T* y = static_cast<T*>(a.y) + task.at;
    Sum4 sum;
    for (int64_t l = 0; l < s.lines; ++l) {
      for_vectors4(s.width,
                   [&](int64_t i, int64_t n, int j) { sum.s[j] += get(x + l * s.step, i, n); });
    }
    const float mean = static_cast<float>(sum.result() * scale);
    Sum4 square;
    for (int64_t l = 0; l < s.lines; ++l) {
      for_vectors4(s.width, [&](int64_t i, int64_t n, int j) {
        const V16 d = get(x + l * s.step, i, n) - mean;
        square.s[j] += n == 16 ? d * d : keep_lanes(d * d, n, 0);
      });
    }
    const float rstd = static_cast<float>(1.0 / __builtin_sqrt(square.result() * scale + s.eps));
    a.mean[task.stat] = mean;
    a.rstd[task.stat] = rstd;
    for (int64_t l = 0; l < s.lines; ++l) {
      for_vectors(s.width, [&](int64_t i, int64_t n) {
        const V16 w = scale_of(s, a.weight, task.channel, l, i, n, 1);
        const V16 b = scale_of(s, a.bias, task.channel, l, i, n, 0);
        put(y + l * s.step, i, (get(x + l * s.step, i, n) - mean) * rstd * w + b, n);
      });
    }
  }
}

// Sums of dy and of dy * xhat over the pixels of each channel of a group.
template <class T>
void channel_sums(const GroupNormShape& s, const T* x, const T* dy, float mean, float rstd,
                  float* products, float* sums) {
  if (s.line_is_channel) {
    for (int64_t l = 0; l < s.lines; ++l) {
      Sum4 product, sum;
      for_vectors4(s.width, [&](int64_t i, int64_t n, int j) {  // lanes past the end are zero in g
        const V16 g = get(dy + l * s.step, i, n);
        sum.s[j] += g;
        product.s[j] += g * ((get(x + l * s.step, i, n) - mean) * rstd);
      });
      products[l] = product.result();
      sums[l] = sum.result();
    }
    return;
  }
  for_vectors(s.width, [&](int64_t i, int64_t n) {
    V16 product{}, sum{};
    for (int64_t l = 0; l < s.lines; ++l) {
      const V16 g = get(dy + l * s.step, i, n);
      sum += g;
      product += g * ((get(x + l * s.step, i, n) - mean) * rstd);
    }
    put(products, i, product, n);
    put(sums, i, sum, n);
  });
}

template <class T>
void backward(const GroupNormShape& s, const GroupNormArgs& a, int64_t begin, int64_t end) {
  const double scale = 1.0 / static_cast<double>(s.lines * s.width);
  for (int64_t t = begin; t < end; ++t) {
    const Task task = task_of(s, t);
    const T* x = static_cast<const T*>(a.x) + task.at;
    const T* dy = static_cast<const T*>(a.dy) + task.at;
    T* dx = static_cast<T*>(a.dx) + task.at;
    const float mean = a.mean[task.stat], rstd = a.rstd[task.stat];
    float *products = a.products + task.sums, *sums = a.sums + task.sums;
    channel_sums(s, x, dy, mean, rstd, products, sums);
    double total = 0, total_product = 0;
    for (int64_t c = 0; c < s.channels; ++c) {
      const double w = a.weight ? static_cast<double>(a.weight[task.channel + c]) : 1;
      total += w * static_cast<double>(sums[c]);
      total_product += w * static_cast<double>(products[c]);
    }
    const float c1 = static_cast<float>(total * scale);
    const float c2 = static_cast<float>(total_product * scale);
    for (int64_t l = 0; l < s.lines; ++l) {
      for_vectors(s.width, [&](int64_t i, int64_t n) {
        const V16 xhat = (get(x + l * s.step, i, n) - mean) * rstd;
        const V16 w = scale_of(s, a.weight, task.channel, l, i, n, 1);
        put(dx + l * s.step, i, (get(dy + l * s.step, i, n) * w - c1 - xhat * c2) * rstd, n);
      });
    }
  }
}

}  // namespace

GroupNormKernels group_norm_kernels(bool bf16) {
  return bf16 ? GroupNormKernels{forward<BFloat16>, backward<BFloat16>}
              : GroupNormKernels{forward<float>, backward<float>};
}

}  // namespace rutile::kernels::RUTILE_ISA
