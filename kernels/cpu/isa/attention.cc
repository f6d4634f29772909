// SPDX-License-Identifier: Apache-2.0
// Attention by tiles of packed heads. Forward: a block of rows against up to kSeen keys at a time,
// scores and probabilities in cache, running maximum and sum per row (Dao et al., 2022). Backward:
// a block of keys against all rows that see it; the keys' and values' gradients of the block and
// the head's dq stay in cache. Row by row the order of all sums is fixed, whatever the number of
// threads.
#include "rutile/kernels/cpu/attention.h"

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/isa/tile_gemm.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

constexpr int64_t kRowBlock = 4 * kGroup;   // forward
constexpr int64_t kSeen = 256;              // keys at a time, forward
constexpr int64_t kKeyBlock = 64;           // backward
constexpr int64_t kGradRows = 16 * kGroup;  // rows at a time, backward
constexpr float kInfinity = __builtin_inff();

RUTILE_INLINE int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
RUTILE_INLINE int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// Parts of one workspace, each on its own cache lines; without a workspace only their size counts.
class Parts {
 public:
  explicit Parts(float* base) : base_(base) {}
  template <class L>
  L* take(int64_t lanes) {
    L* p = base_ ? reinterpret_cast<L*>(base_ + used_) : nullptr;
    used_ += round_up(lanes, 16);
    return p;
  }
  int64_t used() const { return used_; }

 private:
  float* base_;
  int64_t used_ = 0;
};

// Units of work go to whichever thread is free; f(unit, thread).
template <class F>
void share_out(int64_t units, int threads, F&& f) {
  int64_t next = 0;
  parallel_for(0, threads, 1, [&](int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t) {
      for (;;) {
        const int64_t u = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
        if (u >= units) break;
        f(u, t);
      }
    }
  });
}

template <class T>
struct View {
  T* p;
  int64_t step;  // between rows
  RUTILE_INLINE T* row(int64_t i) const { return p + i * step; }
};
template <class T, class P>
View<T> head_of(P* p, const AttentionStrides& s, const AttentionShape& shape, int64_t head) {
  return {static_cast<T*>(p) + head / shape.heads * s.batch + head % shape.heads * s.head, s.row};
}

// What the mask adds to the scores of one row and n keys.
void mask_line(const AttentionShape& s, const void* mask, int64_t head, int64_t row, int64_t key,
               int64_t n, float* line) {
  const int64_t at = head / s.heads * s.mask.batch + head % s.heads * s.mask.head +
                     row * s.mask.row + key * s.mask_column;
  const int64_t step = s.mask_column;
  if (s.mask_type == DType::kBool) {
    const bool* m = static_cast<const bool*>(mask) + at;
    for (int64_t j = 0; j < n; ++j) line[j] = m[j * step] ? 0.0f : -kInfinity;
  } else if (s.mask_type == DType::kBF16) {
    const BFloat16* m = static_cast<const BFloat16*>(mask) + at;
    for (int64_t j = 0; j < n; ++j) line[j] = m[j * step];
  } else {
    const float* m = static_cast<const float*>(mask) + at;
    for (int64_t j = 0; j < n; ++j) line[j] = m[j * step];
  }
}

// Keys from `key` on, n of them, that row `row` sees.
RUTILE_INLINE int64_t seen(const AttentionShape& s, int64_t row, int64_t key, int64_t n) {
  return s.causal ? max(0, min(n, row + 1 - key)) : n;
}

// ---- Forward ----

template <class C>
struct ForwardParts {
  using Lane = typename C::Lane;
  Lane *keys, *values, *queries, *scratch;
  float *scores, *sums, *line, *largest, *total;

  ForwardParts(const AttentionShape& s, Parts parts) {
    const int64_t d = lanes_of<C>(s.d);
    keys = parts.take<Lane>(round_up(s.keys, kPanel) * d);
    values = parts.take<Lane>(lanes_of<C>(s.keys) * round_up(s.e, kPanel));
    queries = parts.take<Lane>(kRowBlock * d);
    scratch = parts.take<Lane>(kPanel * d);
    scores = parts.take<float>(kRowBlock * kSeen);
    sums = parts.take<float>(kRowBlock * round_up(s.e, kPanel));
    line = parts.take<float>(kSeen);
    largest = parts.take<float>(kRowBlock);
    total = parts.take<float>(kRowBlock);
    size = parts.used();
  }
  int64_t size;
};

RUTILE_INLINE void store_probabilities(float* to, int64_t at, VF p) { store_v(to + at, p); }
#if defined(__AVX512BF16__)
RUTILE_INLINE void store_probabilities(uint32_t* to, int64_t at, VF p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<uint16_t*>(to) + at),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(p))));
}
#endif

// A row of `n` scores becomes probabilities relative to the largest score so far; lanes up to `to`
// follow as zeros. Returns the factor for what was summed before.
template <class C>
float softmax_row(float* scores, int64_t n, int64_t to, const float* line, float* largest,
                  float* total) {
  using Lane = typename C::Lane;
  const int64_t full = round_up(n, kWidth);
  for (int64_t j = n; j < full; ++j) scores[j] = -kInfinity;
  VF best = VF{} - kInfinity;
  for (int64_t j = 0; j < full; j += kWidth) {
    VF v = load_v(scores + j);
    if (line) {
      v += load_v(line + j);
      store_v(scores + j, v);
    }
    best = v > best ? v : best;
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
  const float factor = exp_v(VF{} + (before - shift))[0];
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
    for (int64_t g = 0; g < n; g += kGroup) {
      const int64_t m = min(kGroup, n - g);
      const int64_t columns = min(kPanel, seen(s, row + g + m - 1, key, keys) - p);
      if (columns <= 0) continue;
      multiplier<C>(m, columns)(w.queries + g * d, d, 1, w.keys + (key + p) * d, d,
                                w.scores + g * kSeen + p, kSeen, s.scale, false);
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
      for (int64_t g = 0; g < n; g += kGroup) {
        const int64_t m = min(kGroup, n - g);
        const int64_t k1 = min(k0 + kDepthAtOnce * C::kDepth, seen(s, row + g + m - 1, key, keys));
        if (k1 <= k0) continue;
        multiplier<C>(m, min(kPanel, s.e - c))(
            p + g * kSeen + k0 / C::kDepth, kSeen, 1,
            w.values + c * depth + (key + k0) / C::kDepth * kPanel, lanes_of<C>(k1 - k0),
            w.sums + g * e + c, e, 1.0f, key + k0 > 0);
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
      const int64_t group_end = min(i / kGroup * kGroup + kGroup, n) - 1;
      const int64_t mine = seen(s, row + i, key, keys);
      const int64_t to = seen(s, row + group_end, key, keys);
      if (to == 0) continue;
      if (a.mask) {
        mask_line(s, a.mask, head, row + i, key, mine, w.line);
        for (int64_t j = mine; j < round_up(mine, kWidth); ++j) w.line[j] = 0;
      }
      const float factor = softmax_row<C>(w.scores + i * kSeen, mine, to, a.mask ? w.line : nullptr,
                                          w.largest + i, w.total + i);
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
    const ForwardParts<C> w(s, Parts(a.workspace + t * size));
    const int64_t head = unit / s.splits, step = s.splits * kRowBlock;
    if (packed[t] != head) pack_keys<C, T>(s, a, head, w);
    packed[t] = head;
    for (int64_t row = unit % s.splits * kRowBlock; row < s.rows; row += step) {
      forward_rows<C, T>(s, a, head, w, row, min(kRowBlock, s.rows - row));
    }
  });
}

template <class C>
int64_t forward_workspace(const AttentionShape& s) {
  return ForwardParts<C>(s, Parts(nullptr)).size * s.threads;
}

// ---- Backward ----

template <class C>
struct BackwardParts {
  using Lane = typename C::Lane;
  Lane *q_rows, *dy_rows, *q_panels, *dy_panels;     // of the head
  Lane *k_columns, *v_columns, *k_panels, *scratch;  // of the block of keys
  Lane *p, *ds, *ds_rows;                            // of the rows at a time
  float *scores, *dp, *line, *shift, *lse, *dq, *dk, *dv;

  BackwardParts(const AttentionShape& s, Parts parts) {
    const int64_t d = lanes_of<C>(s.d), e = lanes_of<C>(s.e), rows = lanes_of<C>(s.rows);
    const int64_t wide_d = round_up(s.d, kPanel), wide_e = round_up(s.e, kPanel);
    q_rows = parts.take<Lane>(s.rows * d);
    dy_rows = parts.take<Lane>(s.rows * e);
    q_panels = parts.take<Lane>(rows * wide_d);
    dy_panels = parts.take<Lane>(rows * wide_e);
    k_columns = parts.take<Lane>(kKeyBlock * d);
    v_columns = parts.take<Lane>(kKeyBlock * e);
    k_panels = parts.take<Lane>(lanes_of<C>(kKeyBlock) * wide_d);
    scratch = parts.take<Lane>(kPanel * max(d, e));
    p = parts.take<Lane>(lanes_of<C>(kGradRows) * kKeyBlock);
    ds = parts.take<Lane>(lanes_of<C>(kGradRows) * kKeyBlock);
    ds_rows = parts.take<Lane>(kGroup * kKeyBlock);
    scores = parts.take<float>(kGroup * kKeyBlock);
    dp = parts.take<float>(kGroup * kKeyBlock);
    line = parts.take<float>(kGroup * kKeyBlock);
    shift = parts.take<float>(s.rows);
    lse = parts.take<float>(s.rows);
    dq = parts.take<float>(s.rows * wide_d);
    dk = parts.take<float>(kKeyBlock * wide_d);
    dv = parts.take<float>(kKeyBlock * wide_e);
    size = parts.used();
  }
  int64_t size;
};

template <class C, class T>
void pack_rows_of_head(const AttentionShape& s, const AttentionArgs& a, int64_t head,
                       const BackwardParts<C>& w) {
  const View<const T> q = head_of<const T>(a.q, s.q, s, head);
  const View<const T> dy = head_of<const T>(a.dy, s.dy, s, head);
  const View<const T> y = head_of<const T>(a.y_in, s.y, s, head);
  const int64_t rows = lanes_of<C>(s.rows);
  pack_rows<C>(q.p, q.step, s.rows, s.d, w.q_rows);
  pack_rows<C>(dy.p, dy.step, s.rows, s.e, w.dy_rows);
  pack_panels<C>(q.p, q.step, s.rows, s.d, rows, w.q_panels);
  pack_panels<C>(dy.p, dy.step, s.rows, s.e, rows, w.dy_panels);
  for (int64_t i = 0; i < s.rows; ++i) {
    const T *u = dy.row(i), *v = y.row(i);
    V16 sum{};
    int64_t j = 0;
    for (; j + 16 <= s.e; j += 16) sum += load(u + j) * load(v + j);
    if (j < s.e) sum += load_part(u + j, s.e - j) * load_part(v + j, s.e - j);
    float total = a.dlse ? -a.dlse[head * s.rows + i] : 0.0f;
    for (int l = 0; l < 16; ++l) total += sum[l];
    w.shift[i] = total;
    const float lse = a.lse_in[head * s.rows + i];
    w.lse[i] = lse == -kInfinity ? 0.0f : lse;
  }
}

// Two rows of probabilities (or their gradients) as pairs along the rows.
RUTILE_INLINE void store_row_pair(float* to, int64_t at, VF even, VF odd) {
  store_v(to + at, even);
  store_v(to + kKeyBlock + at, odd);
}
#if defined(__AVX512BF16__)
RUTILE_INLINE void store_row_pair(uint32_t* to, int64_t at, VF even, VF odd) {
  const __m512i low = _mm512_cvtepu16_epi32(
      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(even))));
  const __m512i high = _mm512_cvtepu16_epi32(
      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(odd))));
  _mm512_storeu_si512(to + at, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}
#endif

// Probabilities and scores' gradients of rows [row, row + m), m <= kGroup, and n keys from `key`
// on, the `columns` first of which some of the rows see; `at` is the place of `row` among the rows
// at a time.
template <class C>
void gradient_group(const AttentionShape& s, const AttentionArgs& a, int64_t head,
                    const BackwardParts<C>& w, int64_t row, int64_t m, int64_t at, int64_t key,
                    int64_t n, int64_t columns) {
  using Lane = typename C::Lane;
  const int64_t d = lanes_of<C>(s.d), e = lanes_of<C>(s.e);
  for (int64_t c = 0; c < columns; c += kPanel) {
    const Multiply<C> multiply = multiplier<C>(m, min(kPanel, columns - c));
    multiply(w.q_rows + row * d, d, 1, w.k_columns + c * d, d, w.scores + c, kKeyBlock, s.scale,
             false);
    multiply(w.dy_rows + row * e, e, 1, w.v_columns + c * e, e, w.dp + c, kKeyBlock, 1.0f, false);
  }
  // Pairs along the rows serve dk, pairs along the keys dq; single floats serve both.
  constexpr bool kPairs = C::kDepth == 2;
  const int64_t row_lanes = kKeyBlock / C::kDepth;
  Lane* const ds_rows = kPairs ? w.ds_rows : w.ds + at * kKeyBlock;
  // p and ds of one row at a time, one vector of keys.
  const auto gradients = [&](int64_t i, int64_t j, VF * p, VF * ds) __attribute__((always_inline)) {
    if (i >= m) {
      *p = *ds = VF{};
      return;
    }
    const VI visible =
        iota_v() + static_cast<int32_t>(j) < static_cast<int32_t>(seen(s, row + i, key, n));
    VF v = load_v(w.scores + i * kKeyBlock + j);
    if (a.mask) v += load_v(w.line + i * kKeyBlock + j);
    v = exp_v(v - w.lse[row + i]);
    *p = visible ? v : VF{};
    const VF g = *p * (load_v(w.dp + i * kKeyBlock + j) - w.shift[row + i]) * s.scale;
    *ds = visible ? g : VF{};
  };
  if (a.mask) {
    for (int64_t i = 0; i < m; ++i) {
      mask_line(s, a.mask, head, row + i, key, n, w.line + i * kKeyBlock);
    }
  }
  const int64_t full = round_up(columns, kWidth);
  for (int64_t i = 0; i < m; i += 2) {
    Lane* p_to = w.p + (at + i) / C::kDepth * kKeyBlock;
    Lane* ds_to = w.ds + (at + i) / C::kDepth * kKeyBlock;
    for (int64_t j = 0; j < full; j += kWidth) {
      VF p0, p1, g0, g1;
      gradients(i, j, &p0, &g0);
      gradients(i + 1, j, &p1, &g1);
      store_row_pair(p_to, j, p0, p1);
      store_row_pair(ds_to, j, g0, g1);
      if constexpr (kPairs) {
        store_probabilities(ds_rows + i * row_lanes, j, g0);
        store_probabilities(ds_rows + (i + 1) * row_lanes, j, g1);
      }
    }
    for (int64_t j = full; j < kKeyBlock; j += kWidth) {
      store_row_pair(p_to, j, VF{}, VF{});
      store_row_pair(ds_to, j, VF{}, VF{});
    }
  }
  const int64_t wide_d = round_up(s.d, kPanel);
  for (int64_t c = 0; c < s.d; c += kPanel) {
    multiplier<C>(m, min(kPanel, s.d - c))(
        ds_rows, row_lanes, 1, w.k_panels + c * lanes_of<C>(kKeyBlock), lanes_of<C>(columns),
        w.dq + row * wide_d + c, wide_d, 1.0f, true);
  }
}

// Adds to the block's dk and dv what rows [row, end) give.
template <class C>
void add_key_gradients(const AttentionShape& s, const BackwardParts<C>& w, int64_t row, int64_t end,
                       int64_t key, int64_t n) {
  const int64_t rows = lanes_of<C>(s.rows);
  const int64_t wide_d = round_up(s.d, kPanel), wide_e = round_up(s.e, kPanel);
  const auto add = [&](const typename C::Lane* left, const typename C::Lane* panels, int64_t size,
                       int64_t wide, float* to) {
    for (int64_t c = 0; c < size; c += kPanel) {
      for (int64_t j = 0; j < n; j += kGroup) {
        // The first row that sees any key of the group, at the start of a pair.
        const int64_t from = s.causal ? max(row, (key + j) / 2 * 2) : row;
        if (from >= end) break;
        multiplier<C>(min(kGroup, n - j), min(kPanel, size - c))(
            left + (from - row) / C::kDepth * kKeyBlock + j, 1, kKeyBlock,
            panels + c * rows + from / C::kDepth * kPanel, lanes_of<C>(end - from),
            to + j * wide + c, wide, 1.0f, true);
      }
    }
  };
  add(w.p, w.dy_panels, s.e, wide_e, w.dv);
  add(w.ds, w.q_panels, s.d, wide_d, w.dk);
}

void fill_zero(float* p, int64_t n) {
  __builtin_memset(p, 0, static_cast<size_t>(n) * sizeof(float));
}

template <class C, class T>
void gradient_keys(const AttentionShape& s, const AttentionArgs& a, int64_t head,
                   const BackwardParts<C>& w, int64_t key, int64_t n) {
  const View<const T> k = head_of<const T>(a.k, s.k, s, head),
                      v = head_of<const T>(a.v, s.v, s, head);
  const int64_t wide_d = round_up(s.d, kPanel), wide_e = round_up(s.e, kPanel);
  pack_transposed<C>(k.row(key), k.step, n, s.d, w.k_columns, w.scratch);
  pack_transposed<C>(v.row(key), v.step, n, s.e, w.v_columns, w.scratch);
  pack_panels<C>(k.row(key), k.step, n, s.d, lanes_of<C>(kKeyBlock), w.k_panels);
  fill_zero(w.dk, n * wide_d);
  fill_zero(w.dv, n * wide_e);
  for (int64_t row = s.causal ? key : 0; row < s.rows; row += kGradRows) {
    const int64_t end = min(row + kGradRows, s.rows);
    for (int64_t r = row; r < end; r += kGroup) {
      const int64_t m = min(kGroup, end - r);
      gradient_group<C>(s, a, head, w, r, m, r - row, key, n, seen(s, r + m - 1, key, n));
    }
    add_key_gradients<C>(s, w, row, end, key, n);
  }
  const View<T> dk = head_of<T>(a.dk, s.dk, s, head), dv = head_of<T>(a.dv, s.dv, s, head);
  for (int64_t j = 0; j < n; ++j) {
    unpack_row(w.dk + j * wide_d, s.d, 1.0f, dk.row(key + j));
    unpack_row(w.dv + j * wide_e, s.e, 1.0f, dv.row(key + j));
  }
}

template <class C, class T>
void backward(const AttentionShape& s, const AttentionArgs& a) {
  const int64_t size = BackwardParts<C>(s, Parts(nullptr)).size, wide_d = round_up(s.d, kPanel);
  const int64_t heads = s.batch * s.heads, dq_size = s.rows * wide_d;
  // With several units per head each sums a dq of its own, behind the threads' workspaces.
  float* partial = a.workspace + s.threads * size;
  share_out(heads * s.splits, s.threads, [&](int64_t unit, int64_t t) {
    BackwardParts<C> w(s, Parts(a.workspace + t * size));
    const int64_t head = unit / s.splits, step = s.splits * kKeyBlock;
    if (s.splits > 1) w.dq = partial + unit * dq_size;
    pack_rows_of_head<C, T>(s, a, head, w);
    fill_zero(w.dq, dq_size);
    for (int64_t key = unit % s.splits * kKeyBlock; key < s.keys; key += step) {
      gradient_keys<C, T>(s, a, head, w, key, min(kKeyBlock, s.keys - key));
    }
    if (s.splits > 1) return;
    const View<T> dq = head_of<T>(a.dq, s.dq, s, head);
    for (int64_t i = 0; i < s.rows; ++i) unpack_row(w.dq + i * wide_d, s.d, 1.0f, dq.row(i));
  });
  if (s.splits == 1) return;
  share_out(heads, s.threads, [&](int64_t head, int64_t) {
    float* sum = partial + head * s.splits * dq_size;
    for (int64_t u = 1; u < s.splits; ++u) {
      const float* part = sum + u * dq_size;
      for (int64_t i = 0; i < dq_size; i += kWidth) {
        store_v(sum + i, load_v(sum + i) + load_v(part + i));
      }
    }
    const View<T> dq = head_of<T>(a.dq, s.dq, s, head);
    for (int64_t i = 0; i < s.rows; ++i) unpack_row(sum + i * wide_d, s.d, 1.0f, dq.row(i));
  });
}

template <class C>
int64_t backward_workspace(const AttentionShape& s) {
  const int64_t partial =
      s.splits > 1 ? s.batch * s.heads * s.splits * s.rows * round_up(s.d, kPanel) : 0;
  return BackwardParts<C>(s, Parts(nullptr)).size * s.threads + partial;
}

template <class C, class T>
AttentionKernels kernels() {
  return {kRowBlock,     kKeyBlock,     forward_workspace<C>, backward_workspace<C>,
          forward<C, T>, backward<C, T>};
}

}  // namespace

AttentionKernels attention_f32() { return kernels<Singles, float>(); }
#if defined(__AVX512BF16__)
AttentionKernels attention_bf16() { return kernels<Pairs, BFloat16>(); }
#else
AttentionKernels attention_bf16() { return kernels<Singles, BFloat16>(); }
#endif

}  // namespace rutile::kernels::RUTILE_ISA
