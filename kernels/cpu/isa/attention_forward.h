// SPDX-License-Identifier: Apache-2.0
// A block of rows against up to kSeen keys at a time, scores and probabilities in cache, running
// maximum and sum per row (Dao et al., 2022).
#pragma once

#include "rutile/kernels/cpu/isa/attention_parts.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class C>
struct ForwardParts {
  using Lane = typename C::Lane;
  Lane *keys, *values, *queries, *scratch;
  float *scores, *sums, *line, *largest, *total;

  ForwardParts(const AttentionShape& s, Parts parts) {
    const int64_t d = lanes_of<C>(s.d);
    keys = parts.take<Lane>(round_up(s.keys, kPanel) * d);
    values = parts.take<Lane>(lanes_of<C>(s.keys) * round_up(s.e, kPanel));
    queries = parts.take<Lane>(kRowBlock<C> * d);
    scratch = parts.take<Lane>(kPanel * d);
    scores = parts.take<float>(kRowBlock<C> * kSeen);
    sums = parts.take<float>(kRowBlock<C> * round_up(s.e, kPanel));
    line = parts.take<float>(kSeen);
    largest = parts.take<float>(kRowBlock<C>);
    total = parts.take<float>(kRowBlock<C>);
    size = parts.used();
  }
  int64_t size;
};

// A row of `n` scores becomes probabilities relative to the largest score so far; lanes up to `to`
// follow as zeros. Returns the factor for what was summed before.
template <class C>
float softmax_row(float* scores, int64_t n, int64_t to, float scale, const float* line,
                  float* largest, float* total) {
  using Lane = typename C::Lane;
  const int64_t full = round_up(n, kWidth);
  VF best = VF{} - kInfinity;
  for (int64_t j = 0; j < full; j += kWidth) {
    VF v = load_v(scores + j) * scale;
    if (line) v += load_v(line + j);
    if (j + kWidth > n) v = iota_v() < static_cast<int32_t>(n - j) ? v : VF{} - kInfinity;
    store_v(scores + j, v);
    best = larger(v, best);
  }
  const float before = *largest, row_best = max_v(best);
  const float now = row_best > before ? row_best : before;
  const float shift = now == -kInfinity ? 0.0f : now;
  VF sum{};
  // Two bf16 take the place of one score: writing stays behind reading.
  Lane* p = reinterpret_cast<Lane*>(scores);
  for (int64_t j = 0; j < full; j += kWidth) {
    const VF v = exp_v(load_v(scores + j) - shift);
    sum += v;
    store_probabilities(p, j, v);
  }
  for (int64_t k = full / C::kDepth; k < lanes_of<C>(to); ++k) p[k] = 0;
  // Nothing was summed before the first keys.
  const float factor = before == -kInfinity ? 0.0f : exp_v(VF{} + (before - shift))[0];
  *largest = now;
  *total = *total * factor + sum_v(sum);
  return factor;
}

template <class C, class T>
void pack_keys(const AttentionShape& s, const AttentionArgs& a, int64_t head,
               const ForwardParts<C>& w) {
  const View<const T> k = head_of<const T>(a.k, s.k, s, head),
                      v = head_of<const T>(a.v, s.v, s, head);
  pack_transposed<C>(k.p, k.step, s.keys, s.d, w.keys, w.scratch);
  pack_panels<C>(v.p, v.step, s.keys, s.e, lanes_of<C>(s.keys), w.values);
}

// Scores of rows [row, row + n) and keys [key, key + keys).
template <class C>
void score_block(const AttentionShape& s, const ForwardParts<C>& w, int64_t row, int64_t n,
                 int64_t key, int64_t keys) {
  const int64_t d = lanes_of<C>(s.d);
  for (int64_t p = 0; p < keys; p += kPanel) {
    for (int64_t g = 0; g < n; g += C::kRows) {
      const int64_t m = min(C::kRows, n - g);
      const int64_t columns = min(kPanel, seen(s, row + g + m - 1, key, keys) - p);
      if (columns <= 0) continue;
      multiply<C>(m, columns, w.queries + g * d, d, 1, w.keys + (key + p) * d, d,
                  w.scores + g * kSeen + p, kSeen, false);
    }
  }
}

template <class C>
void value_block(const AttentionShape& s, const ForwardParts<C>& w, int64_t row, int64_t n,
                 int64_t key, int64_t keys) {
  const int64_t e = round_up(s.e, kPanel), depth = lanes_of<C>(s.keys);
  const auto* p = reinterpret_cast<const typename C::Lane*>(w.scores);
  constexpr int64_t kDepthAtOnce = 64;  // a panel's part that stays in the first cache
  for (int64_t c = 0; c < s.e; c += kPanel) {
    for (int64_t k0 = 0; k0 < keys; k0 += kDepthAtOnce * C::kDepth) {
      for (int64_t g = 0; g < n; g += C::kRows) {
        const int64_t m = min(C::kRows, n - g);
        const int64_t k1 = min(k0 + kDepthAtOnce * C::kDepth, seen(s, row + g + m - 1, key, keys));
        if (k1 <= k0) continue;
        multiply<C>(m, min(kPanel, s.e - c), p + g * kSeen + k0 / C::kDepth, kSeen, 1,
                    w.values + c * depth + (key + k0) / C::kDepth * kPanel, lanes_of<C>(k1 - k0),
                    w.sums + g * e + c, e, key + k0 > 0);
      }
    }
  }
}

template <class C, class T>
void forward_rows(const AttentionShape& s, const AttentionArgs& a, int64_t head,
                  const ForwardParts<C>& w, int64_t row, int64_t n) {
  const View<const T> q = head_of<const T>(a.q, s.q, s, head);
  const View<T> y = head_of<T>(a.y, s.y, s, head);
  const int64_t e = round_up(s.e, kPanel);
  pack_rows<C>(q.row(row), q.step, n, s.d, w.queries);
  for (int64_t i = 0; i < n; ++i) {
    w.largest[i] = -kInfinity;
    w.total[i] = 0;
  }
  const int64_t limit = seen(s, row + n - 1, 0, s.keys);
  for (int64_t key = 0; key < limit; key += kSeen) {
    const int64_t keys = min(kSeen, limit - key);
    score_block<C>(s, w, row, n, key, keys);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t group_end = min(i / C::kRows * C::kRows + C::kRows, n) - 1;
      const int64_t mine = seen(s, row + i, key, keys);
      const int64_t to = seen(s, row + group_end, key, keys);
      if (to == 0) continue;
      if (a.mask) {
        mask_line(s, a.mask, head, row + i, key, mine, w.line);
        for (int64_t j = mine; j < round_up(mine, kWidth); ++j) w.line[j] = 0;
      }
      const float factor = softmax_row<C>(w.scores + i * kSeen, mine, to, s.scale,
                                          a.mask ? w.line : nullptr, w.largest + i, w.total + i);
      if (key == 0) continue;
      for (int64_t j = 0; j < e; j += kWidth) {
        store_v(w.sums + i * e + j, load_v(w.sums + i * e + j) * factor);
      }
    }
    value_block<C>(s, w, row, n, key, keys);
  }
  for (int64_t i = 0; i < n; ++i) {
    const float total = w.total[i];
    unpack_row(w.sums + i * e, s.e, total == 0 ? 0.0f : 1.0f / total, y.row(row + i));
    a.lse[head * s.rows + row + i] = w.largest[i] + __builtin_logf(total);
  }
}

template <class C, class T>
void forward(const AttentionShape& s, const AttentionArgs& a) {
  const int64_t size = ForwardParts<C>(s, Parts(nullptr)).size;
  int64_t packed[kMostThreads];
  for (int64_t& p : packed) p = -1;
  share_out(s.batch * s.heads * s.splits, s.threads, [&](int64_t unit, int64_t t) {
    [[maybe_unused]] const typename C::Scope scope;
    const ForwardParts<C> w(s, Parts(a.workspace + t * size));
    const int64_t head = unit / s.splits, step = s.splits * kRowBlock<C>;
    if (packed[t] != head) pack_keys<C, T>(s, a, head, w);
    packed[t] = head;
    for (int64_t row = unit % s.splits * kRowBlock<C>; row < s.rows; row += step) {
      forward_rows<C, T>(s, a, head, w, row, min(kRowBlock<C>, s.rows - row));
    }
  });
}

template <class C>
int64_t forward_workspace(const AttentionShape& s) {
  return ForwardParts<C>(s, Parts(nullptr)).size * s.threads;
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
