// SPDX-License-Identifier: Apache-2.0
// A block of keys against all rows that see it; the keys' and values' gradients of the block and
// the head's dq stay in cache.
#pragma once

#include "rutile/kernels/cpu/isa/attention_parts.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

// The keys' gradients are products of probabilities and rows, summed over the rows. Where lanes
// must lie along the depth on the left, too, they are computed as their transposes: columns of the
// head times probabilities.
template <class C>
constexpr bool kTransposed = C::kStep > 1;

template <class C>
struct BackwardParts {
  using Lane = typename C::Lane;
  // Of the head; the latter two are columns where kTransposed.
  Lane *q_rows, *dy_rows, *q_panels, *dy_panels;
  Lane *k_columns, *v_columns, *k_panels, *scratch;  // of the block of keys
  Lane *p, *ds, *ds_rows;                            // of the rows at a time
  float *scores, *dp, *line, *shift, *lse, *dq, *dk, *dv;

  BackwardParts(const AttentionShape& s, Parts parts) {
    const int64_t d = lanes_of<C>(s.d), e = lanes_of<C>(s.e), rows = lanes_of<C>(s.rows);
    const int64_t wide_d = round_up(s.d, kPanel), wide_e = round_up(s.e, kPanel);
    const int64_t whole = round_up(s.rows, C::kRows);
    q_rows = parts.take<Lane>(whole * d);
    dy_rows = parts.take<Lane>(whole * e);
    q_panels = parts.take<Lane>(rows * wide_d);
    dy_panels = parts.take<Lane>(rows * wide_e);
    k_columns = parts.take<Lane>(kKeyBlock * d);
    v_columns = parts.take<Lane>(kKeyBlock * e);
    k_panels = parts.take<Lane>(lanes_of<C>(kKeyBlock) * wide_d);
    scratch = parts.take<Lane>(kPanel * max(max(d, e), kTransposed<C> ? max(wide_d, wide_e) : 0));
    p = parts.take<Lane>(lanes_of<C>(kGradRows) * kKeyBlock);
    ds = parts.take<Lane>(lanes_of<C>(kGradRows) * kKeyBlock);
    ds_rows = parts.take<Lane>(C::kRows * kKeyBlock);
    scores = parts.take<float>(C::kRows * kKeyBlock);
    dp = parts.take<float>(C::kRows * kKeyBlock);
    line = parts.take<float>(C::kRows * kKeyBlock);
    shift = parts.take<float>(s.rows);
    lse = parts.take<float>(s.rows);
    dq = parts.take<float>(whole * wide_d);
    dk = parts.take<float>(kKeyBlock * wide_d);
    dv = parts.take<float>(kKeyBlock * wide_e);
    size = parts.used();
  }
  int64_t size;
};

// Rows as columns: to[column][lane of rows], `lanes` to a column.
template <class C, class T>
void pack_columns(const T* from, int64_t from_row, int64_t rows, int64_t n, int64_t lanes,
                  typename C::Lane* to, typename C::Lane* scratch) {
  const auto transpose = transpose_kernels().transpose4;
  constexpr int64_t kAtOnce = kPanel * C::kDepth;
  for (int64_t r = 0; r < rows; r += kAtOnce) {
    const int64_t m = lanes_of<C>(min(kAtOnce, rows - r));
    for (int64_t c = 0; c < n; c += kPanel) {
      const int64_t columns = min(kPanel, n - c);
      pack_panels<C>(from + r * from_row + c, from_row, min(kAtOnce, rows - r), columns, m,
                     scratch);
      transpose(reinterpret_cast<const uint32_t*>(scratch), kPanel,
                reinterpret_cast<uint32_t*>(to + c * lanes + r / C::kDepth), lanes, m, columns);
    }
  }
}

template <class C, class T>
void pack_rows_of_head(const AttentionShape& s, const AttentionArgs& a, int64_t head,
                       const BackwardParts<C>& w) {
  const View<const T> q = head_of<const T>(a.q, s.q, s, head);
  const View<const T> dy = head_of<const T>(a.dy, s.dy, s, head);
  const View<const T> y = head_of<const T>(a.y_in, s.y, s, head);
  const int64_t rows = lanes_of<C>(s.rows);
  pack_rows<C>(q.p, q.step, s.rows, s.d, w.q_rows);
  pack_rows<C>(dy.p, dy.step, s.rows, s.e, w.dy_rows);
  if constexpr (kTransposed<C>) {
    pack_columns<C>(q.p, q.step, s.rows, s.d, rows, w.q_panels, w.scratch);
    pack_columns<C>(dy.p, dy.step, s.rows, s.e, rows, w.dy_panels, w.scratch);
  } else {
    pack_panels<C>(q.p, q.step, s.rows, s.d, rows, w.q_panels);
    pack_panels<C>(dy.p, dy.step, s.rows, s.e, rows, w.dy_panels);
  }
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

// Probabilities and scores' gradients of rows [row, row + m), m <= C::kRows, and n keys from `key`
// on, the `columns` first of which some of the rows see; `at` is the place of `row` among the rows
// at a time.
template <class C>
void gradient_group(const AttentionShape& s, const AttentionArgs& a, int64_t head,
                    const BackwardParts<C>& w, int64_t row, int64_t m, int64_t at, int64_t key,
                    int64_t n, int64_t columns) {
  using Lane = typename C::Lane;
  const int64_t d = lanes_of<C>(s.d), e = lanes_of<C>(s.e);
  for (int64_t c = 0; c < columns; c += kPanel) {
    const int64_t count = min(kPanel, columns - c);
    multiply<C>(m, count, w.q_rows + row * d, d, 1, w.k_columns + c * d, d, w.scores + c, kKeyBlock,
                false);
    multiply<C>(m, count, w.dy_rows + row * e, e, 1, w.v_columns + c * e, e, w.dp + c, kKeyBlock,
                false);
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
    VF v = load_v(w.scores + i * kKeyBlock + j) * s.scale;
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
    if constexpr (kPairs) {
      for (int64_t k = full / 2; k < lanes_of<C>(columns); ++k) {
        ds_rows[i * row_lanes + k] = ds_rows[(i + 1) * row_lanes + k] = 0;
      }
    }
  }
  const int64_t wide_d = round_up(s.d, kPanel);
  for (int64_t c = 0; c < s.d; c += kPanel) {
    multiply<C>(m, min(kPanel, s.d - c), ds_rows, row_lanes, 1,
                w.k_panels + c * lanes_of<C>(kKeyBlock), lanes_of<C>(columns),
                w.dq + row * wide_d + c, wide_d, true);
  }
}

// Adds to the block's dk and dv what rows [row, end) give.
template <class C>
void add_key_gradients(const AttentionShape& s, const BackwardParts<C>& w, int64_t row, int64_t end,
                       int64_t key, int64_t n) {
  const int64_t rows = lanes_of<C>(s.rows);
  const auto add = [&](const typename C::Lane* left, const typename C::Lane* panels, int64_t size,
                       float* to) {
    const int64_t wide = round_up(size, kPanel);
    for (int64_t c = 0; c < size; c += kPanel) {
      for (int64_t j = 0; j < n; j += C::kRows) {
        // The first row that sees any key of the group, at the start of a pair.
        const int64_t from = s.causal ? max(row, (key + j) / 2 * 2) : row;
        if (from >= end) break;
        multiply<C>(min(C::kRows, n - j), min(kPanel, size - c),
                    left + (from - row) / C::kDepth * kKeyBlock + j, 1, kKeyBlock,
                    panels + c * rows + from / C::kDepth * kPanel, lanes_of<C>(end - from),
                    to + j * wide + c, wide, true);
      }
    }
  };
  const auto add_transposed = [&](const typename C::Lane* columns, const typename C::Lane* right,
                                  int64_t size, float* to) {
    for (int64_t c = 0; c < size; c += C::kRows) {
      multiply<C>(C::kRows, n, columns + c * rows + row / C::kDepth, rows, 1, right,
                  lanes_of<C>(end - row), to + c * kKeyBlock, kKeyBlock, true);
    }
  };
  if constexpr (kTransposed<C>) {
    add_transposed(w.dy_panels, w.p, s.e, w.dv);
    add_transposed(w.q_panels, w.ds, s.d, w.dk);
  } else {
    add(w.p, w.dy_panels, s.e, w.dv);
    add(w.ds, w.q_panels, s.d, w.dk);
  }
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
  fill_zero(w.dk, kKeyBlock * wide_d);
  fill_zero(w.dv, kKeyBlock * wide_e);
  for (int64_t row = s.causal ? key : 0; row < s.rows; row += kGradRows) {
    const int64_t end = min(row + kGradRows, s.rows);
    for (int64_t r = row; r < end; r += C::kRows) {
      const int64_t m = min(C::kRows, end - r);
      gradient_group<C>(s, a, head, w, r, m, r - row, key, n, seen(s, r + m - 1, key, n));
    }
    const int64_t filled = (end - row + C::kDepth - 1) / C::kDepth * kKeyBlock;
    for (int64_t k = filled; k < lanes_of<C>(end - row) * kKeyBlock; ++k) w.p[k] = w.ds[k] = 0;
    add_key_gradients<C>(s, w, row, end, key, n);
  }
  const View<T> dk = head_of<T>(a.dk, s.dk, s, head), dv = head_of<T>(a.dv, s.dv, s, head);
  const auto unpack = [&](const float* from, int64_t size, const View<T>& to) {
    const int64_t wide = round_up(size, kPanel);
    if constexpr (kTransposed<C>) {
      transpose_kernels().transpose4(reinterpret_cast<const uint32_t*>(from), kKeyBlock, w.scratch,
                                     wide, size, n);
      from = reinterpret_cast<const float*>(w.scratch);
    }
    for (int64_t j = 0; j < n; ++j) unpack_row(from + j * wide, size, 1.0f, to.row(key + j));
  };
  unpack(w.dk, s.d, dk);
  unpack(w.dv, s.e, dv);
}

template <class C, class T>
void backward(const AttentionShape& s, const AttentionArgs& a) {
  const int64_t size = BackwardParts<C>(s, Parts(nullptr)).size, wide_d = round_up(s.d, kPanel);
  const int64_t heads = s.batch * s.heads, dq_size = round_up(s.rows, C::kRows) * wide_d;
  // With several units per head each sums a dq of its own, behind the threads' workspaces.
  float* partial = a.workspace + s.threads * size;
  share_out(heads * s.splits, s.threads, [&](int64_t unit, int64_t t) {
    [[maybe_unused]] const typename C::Scope scope;
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
  const int64_t partial = s.splits > 1 ? s.batch * s.heads * s.splits * round_up(s.rows, C::kRows) *
                                             round_up(s.d, kPanel)
                                       : 0;
  return BackwardParts<C>(s, Parts(nullptr)).size * s.threads + partial;
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA
