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

// ---- Channels-last images, all groups together ----

// The same number for all channels of a group.
RUTILE_INLINE void fill_group(float* to, const GroupNormShape& s, int64_t group, float v) {
  for (int64_t c = 0; c < s.channels; ++c) to[group * s.channels + c] = v;
}

// Calls f(channel, lanes, pixel's first element) in the order of channels: f sums over the pixels.
template <class F, class G>
RUTILE_INLINE void for_channels(const GroupNormShape& s, F f, G done) {
  for_vectors(s.groups * s.channels, [&](int64_t c, int64_t n) {
    V16 a{}, b{};
    for (int64_t pixel = 0; pixel < s.lines; ++pixel) f(c, n, pixel * s.step + c, &a, &b);
    done(c, n, a, b);
  });
}

// Of each group the mean of numbers by channel; `square`: 1 / sqrt(mean + eps) of them.
void group_means(const GroupNormShape& s, const float* by_channel, bool square, float* stats,
                 float* to) {
  const double scale = 1.0 / static_cast<double>(s.lines * s.channels);
  for (int64_t g = 0; g < s.groups; ++g) {
    double sum = 0;
    for (int64_t c = 0; c < s.channels; ++c) {
      sum += static_cast<double>(by_channel[g * s.channels + c]);
    }
    stats[g] = static_cast<float>(square ? 1.0 / __builtin_sqrt(sum * scale + s.eps) : sum * scale);
    fill_group(to, s, g, stats[g]);
  }
}

template <class T>
void forward_images(const GroupNormShape& s, const GroupNormArgs& a, float* workspace,
                    int64_t begin, int64_t end) {
  const int64_t channels = s.groups * s.channels;
  for (int64_t image = begin; image < end; ++image) {
    const T* x = static_cast<const T*>(a.x) + image * s.image_step;
    T* y = static_cast<T*>(a.y) + image * s.image_step;
    float *sums = workspace + image * 4 * channels, *mean = sums + channels,
          *rstd = mean + channels;
    for_channels(
        s, [&](int64_t, int64_t n, int64_t at, V16* sum, V16*) { *sum += get(x, at, n); },
        [&](int64_t c, int64_t n, V16 sum, V16) { put(sums, c, sum, n); });
    group_means(s, sums, false, a.mean + image * s.groups, mean);
    for_channels(
        s,
        [&](int64_t c, int64_t n, int64_t at, V16* sum, V16*) {
          const V16 d = get(x, at, n) - get(mean, c, n);
          *sum += d * d;
        },
        [&](int64_t c, int64_t n, V16 sum, V16) { put(sums, c, sum, n); });
    group_means(s, sums, true, a.rstd + image * s.groups, rstd);
    for (int64_t pixel = 0; pixel < s.lines; ++pixel) {
      const int64_t line = pixel * s.step;
      for_vectors(channels, [&](int64_t c, int64_t n) {
        const V16 w = a.weight ? get(a.weight, c, n) : splat(1);
        const V16 b = a.bias ? get(a.bias, c, n) : V16{};
        put(y, line + c, (get(x, line + c, n) - get(mean, c, n)) * get(rstd, c, n) * w + b, n);
      });
    }
  }
}

template <class T>
void backward_images(const GroupNormShape& s, const GroupNormArgs& a, float* workspace,
                     int64_t begin, int64_t end) {
  const int64_t channels = s.groups * s.channels;
  const double scale = 1.0 / static_cast<double>(s.lines * s.channels);
  for (int64_t image = begin; image < end; ++image) {
    const T* x = static_cast<const T*>(a.x) + image * s.image_step;
    const T* dy = static_cast<const T*>(a.dy) + image * s.image_step;
    T* dx = static_cast<T*>(a.dx) + image * s.image_step;
    float *mean = workspace + image * 4 * channels, *rstd = mean + channels, *c1 = rstd + channels,
          *c2 = c1 + channels;
    float *products = a.products + image * channels, *sums = a.sums + image * channels;
    for (int64_t g = 0; g < s.groups; ++g) {
      fill_group(mean, s, g, a.mean[image * s.groups + g]);
      fill_group(rstd, s, g, a.rstd[image * s.groups + g]);
    }
    for_channels(
        s,
        [&](int64_t c, int64_t n, int64_t at, V16* product, V16* sum) {
          const V16 g = get(dy, at, n);
          *sum += g;
          *product += g * (get(x, at, n) - get(mean, c, n));
        },
        [&](int64_t c, int64_t n, V16 product, V16 sum) {
          put(products, c, product * get(rstd, c, n), n);
          put(sums, c, sum, n);
        });
    for (int64_t g = 0; g < s.groups; ++g) {
      double total = 0, total_product = 0;
      for (int64_t c = g * s.channels; c < (g + 1) * s.channels; ++c) {
        const double w = a.weight ? static_cast<double>(a.weight[c]) : 1;
        total += w * static_cast<double>(sums[c]);
        total_product += w * static_cast<double>(products[c]);
      }
      fill_group(c1, s, g, static_cast<float>(total * scale));
      fill_group(c2, s, g, static_cast<float>(total_product * scale));
    }
    for (int64_t pixel = 0; pixel < s.lines; ++pixel) {
      const int64_t line = pixel * s.step;
      for_vectors(channels, [&](int64_t c, int64_t n) {
        const V16 r = get(rstd, c, n), xhat = (get(x, line + c, n) - get(mean, c, n)) * r;
        const V16 w = a.weight ? get(a.weight, c, n) : splat(1);
        put(dx, line + c, (get(dy, line + c, n) * w - get(c1, c, n) - xhat * get(c2, c, n)) * r, n);
      });
    }
  }
}

}  // namespace

GroupNormKernels group_norm_kernels(bool bf16) {
  return bf16 ? GroupNormKernels{forward<BFloat16>, backward<BFloat16>, forward_images<BFloat16>,
                                 backward_images<BFloat16>}
              : GroupNormKernels{forward<float>, backward<float>, forward_images<float>,
                                 backward_images<float>};
}

}  // namespace rutile::kernels::RUTILE_ISA
