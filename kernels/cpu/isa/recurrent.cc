// SPDX-License-Identifier: Apache-2.0
// Recurrent layers, f32. The weights are packed once, each thread's share stays in its cache over
// all steps, and the gates are computed from the products while these are in the first cache.
// Threads meet once per step. A row's result does not depend on their number.
#include "rutile/kernels/cpu/recurrent.h"

#include "rutile/kernels/cpu/isa/fast_math.h"
#include "rutile/kernels/cpu/isa/tile_gemm.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace rutile::kernels::RUTILE_ISA {
namespace {

// Units (elements of h) whose gates are computed together. Their columns stand gate by gate.
constexpr int64_t kUnits = 16;
constexpr int64_t units_of(int gates) { return gates == 1 ? kPanel : kUnits; }
constexpr int64_t columns_of(int gates) { return gates * units_of(gates); }
constexpr int64_t panels_of(int gates) { return (columns_of(gates) + kPanel - 1) / kPanel; }
constexpr int64_t padded_of(int gates) { return panels_of(gates) * kPanel; }

int gates_of(const RecurrentShape& s) { return static_cast<int>(ops::gates_of(s.kind)); }
int64_t blocks_of(const RecurrentShape& s) {
  const int64_t units = units_of(gates_of(s));
  return (s.width + units - 1) / units;
}

RUTILE_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

// Rows of nearly equal groups, at most kGroup: fn(first, count).
template <class F>
RUTILE_INLINE void for_groups(int64_t rows, F&& fn) {
  const int64_t groups = (rows + kGroup - 1) / kGroup;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = rows * g / groups, end = rows * (g + 1) / groups;
    fn(begin, end - begin);
  }
}

RUTILE_INLINE void barrier([[maybe_unused]] int threads) {
#if defined(_OPENMP)
  if (threads > 1) {
#pragma omp barrier
  }
#endif
}

// fn(thread, threads) on each thread.
template <class F>
void on_threads([[maybe_unused]] int threads, F&& fn) {
#if defined(_OPENMP)
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    fn(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  fn(0, 1);
}

// `count` floats to or from a block of kCount.
template <int64_t kCount>
RUTILE_INLINE void take(const float* from, int64_t count, float* to) {
  if (count == kCount) {
    for (int64_t u = 0; u < kCount; ++u) to[u] = from[u];
  } else {
    for (int64_t u = 0; u < kCount; ++u) to[u] = u < count ? from[u] : 0.0f;
  }
}
template <int64_t kCount>
RUTILE_INLINE void give(const float* from, int64_t count, float* to) {
  if (count == kCount) {
    for (int64_t u = 0; u < kCount; ++u) to[u] = from[u];
  } else {
    for (int64_t u = 0; u < count; ++u) to[u] = from[u];
  }
}

// ---- Forward

// The panels of a block of units: to[panel][depth][kPanel].
template <int kGates>
void pack_block(const RecurrentShape& s, const float* weight, int64_t block, float* to) {
  constexpr int64_t kBlock = units_of(kGates);
  const int64_t first = block * kBlock, h = s.width;
  const int64_t count = h - first < kBlock ? h - first : kBlock;
  for (int64_t i = 0; i < panels_of(kGates) * h * kPanel; ++i) to[i] = 0;
  for (int64_t g = 0; g < kGates; ++g) {
    for (int64_t u = 0; u < count; ++u) {
      const float* row = weight + (g * h + first + u) * h;
      const int64_t column = g * kBlock + u;
      float* panel = to + column / kPanel * h * kPanel + column % kPanel;
      for (int64_t k = 0; k < h; ++k) panel[k * kPanel] = row[k];
    }
  }
}

// What the gates of one row and block are made of and give; x and b by gate and unit.
template <int kGates>
struct Cell {
  static constexpr int64_t kBlock = units_of(kGates);
  float x[kGates][kBlock], h[kBlock], c[kBlock];  // operands; then h and c are the new ones
  float gates[kGates][kBlock], cells[kBlock];     // what backward reads
};

template <RecurrentKind kKind, int kGates>
RUTILE_INLINE void step(const float* product, const float (*b)[units_of(kGates)], Cell<kGates>& v) {
  constexpr int64_t kBlock = units_of(kGates);
  if constexpr (kKind == RecurrentKind::kLstm) {
    for (int64_t u = 0; u < kBlock; ++u) {
      const float i = sigmoid(v.x[0][u] + product[u] + b[0][u]);
      const float f = sigmoid(v.x[1][u] + product[kBlock + u] + b[1][u]);
      const float g = tanh_f32(v.x[2][u] + product[2 * kBlock + u] + b[2][u]);
      const float o = sigmoid(v.x[3][u] + product[3 * kBlock + u] + b[3][u]);
      const float c = f * v.c[u] + i * g;
      v.gates[0][u] = i;
      v.gates[1][u] = f;
      v.gates[2][u] = g;
      v.gates[3][u] = o;
      v.c[u] = v.cells[u] = c;
      v.h[u] = o * tanh_f32(c);
    }
  } else if constexpr (kKind == RecurrentKind::kGru) {
    for (int64_t u = 0; u < kBlock; ++u) {
      const float r = sigmoid(v.x[0][u] + product[u] + b[0][u]);
      const float z = sigmoid(v.x[1][u] + product[kBlock + u] + b[1][u]);
      const float m = product[2 * kBlock + u] + b[2][u];
      const float n = tanh_f32(v.x[2][u] + r * m);
      v.gates[0][u] = r;
      v.gates[1][u] = z;
      v.gates[2][u] = n;
      v.cells[u] = m;
      v.h[u] = n + z * (v.h[u] - n);
    }
  } else {
    for (int64_t u = 0; u < kBlock; ++u) {
      const float x = v.x[0][u] + product[u] + b[0][u];
      v.h[u] = kKind == RecurrentKind::kTanh ? tanh_f32(x) : x < 0.0f ? 0.0f : x;
    }
  }
}

template <RecurrentKind kKind, int kGates>
struct Forward {
  static constexpr int64_t kBlock = units_of(kGates), kPadded = padded_of(kGates);
  static constexpr bool kLstm = kKind == RecurrentKind::kLstm, kGated = kGates > 1;
  const RecurrentShape& s;
  const RecurrentArgs& a;

  int64_t block_floats() const { return panels_of(kGates) * s.width * kPanel; }

  // Row r of a block at step t.
  RUTILE_INLINE void row(int64_t t, int64_t r, int64_t first, int64_t count, const float* before,
                         const float* c_before, const float* product,
                         const float (*bias)[kBlock]) const {
    const int64_t h = s.width, at = (t * s.rows + r) * h + first;
    const int64_t gate_at = (t * s.rows + r) * kGates * h + first;
    Cell<kGates> v;
    take<kBlock>(before + r * h + first, count, v.h);
    if (kLstm) take<kBlock>(c_before + r * h + first, count, v.c);
    if (a.lengths && a.lengths[r] <= t) {
      const float zeros[kBlock] = {};
      give<kBlock>(v.h, count, a.y + at);
      if (kGated) give<kBlock>(kLstm ? v.c : zeros, count, a.cells + at);
      for (int64_t g = 0; kGated && g < kGates; ++g) {
        give<kBlock>(zeros, count, a.gates + gate_at + g * h);
      }
      return;
    }
    for (int64_t g = 0; g < kGates; ++g) take<kBlock>(a.gx + gate_at + g * h, count, v.x[g]);
    step<kKind, kGates>(product, bias, v);
    give<kBlock>(v.h, count, a.y + at);
    if (kGated) give<kBlock>(v.cells, count, a.cells + at);
    for (int64_t g = 0; kGated && g < kGates; ++g) {
      give<kBlock>(v.gates[g], count, a.gates + gate_at + g * h);
    }
  }

  void block(int64_t t, int64_t b, const float* before, const float* c_before,
             const float* packed) const {
    const int64_t h = s.width, first = b * kBlock;
    const int64_t count = h - first < kBlock ? h - first : kBlock;
    float bias[kGates][kBlock] = {};
    for (int64_t g = 0; a.bias && g < kGates; ++g)
      take<kBlock>(a.bias + g * h + first, count, bias[g]);
    for_groups(s.rows, [&](int64_t r0, int64_t rows) {
      alignas(64) float product[kGroup][kPadded];
      for (int64_t p = 0; p < panels_of(kGates); ++p) {
        const int64_t columns = columns_of(kGates) - p * kPanel;
        multiply<Singles>(rows, columns < kPanel ? columns : kPanel, before + r0 * h, h, 1,
                          packed + p * h * kPanel, h, &product[0][p * kPanel], kPadded, false);
      }
      for (int64_t r = 0; r < rows; ++r) {
        row(t, r0 + r, first, count, before, c_before, product[r], bias);
      }
    });
  }

  void thread(int id, int threads) const {
    const int64_t blocks = blocks_of(s), size = s.rows * s.width;
    const int64_t begin = blocks * id / threads, end = blocks * (id + 1) / threads;
    for (int64_t b = begin; b < end; ++b) {
      pack_block<kGates>(s, a.weight, b, a.workspace + b * block_floats());
    }
    const float *before = a.h0, *c_before = a.c0;
    for (int64_t k = 0; k < s.steps; ++k) {
      const int64_t t = s.reverse ? s.steps - 1 - k : k;
      for (int64_t b = begin; b < end; ++b) {
        block(t, b, before, c_before, a.workspace + b * block_floats());
      }
      before = a.y + t * size;
      if (kLstm) c_before = a.cells + t * size;
      barrier(threads);
    }
    if (id != 0) return;
    for (int64_t i = 0; i < size; ++i) a.h[i] = before[i];
    for (int64_t i = 0; kLstm && i < size; ++i) a.c[i] = c_before[i];
  }

  void run() const {
    on_threads(s.threads, [this](int id, int n) { thread(id, n); });
  }
};

// ---- Backward

// Elements of h of a row at a time, and what of a step they need.
template <RecurrentKind kKind, int kGates>
struct Backward {
  static constexpr bool kLstm = kKind == RecurrentKind::kLstm, kGru = kKind == RecurrentKind::kGru;
  const RecurrentShape& s;
  const RecurrentArgs& a;
  // Workspace: packed weights, then the running dh and dc with rows of padded().
  int64_t depth() const { return kGates * s.width; }
  int64_t padded() const { return round_up(s.width, kPanel); }
  float* running_h() const { return a.workspace + depth() * padded(); }
  float* running_c() const { return running_h() + s.rows * padded(); }

  // Gradients of the gates' sums for n elements; dh becomes what reaches h without them.
  static RUTILE_INLINE void gradients(int64_t n, int64_t h, const float* dy, const float* y,
                                      const float* before, const float* gates, const float* cells,
                                      const float* c_before, float* dh, float* dc, float* dx,
                                      float* dm) {
#pragma GCC ivdep
    for (int64_t u = 0; u < n; ++u) {
      const float d = dh[u] + (dy ? dy[u] : 0.0f);
      if constexpr (kLstm) {
        const float i = gates[u], f = gates[h + u], g = gates[2 * h + u], o = gates[3 * h + u];
        const float tc = tanh_f32(cells[u]), e = dc[u] + d * o * (1.0f - tc * tc);
        dx[u] = e * g * i * (1.0f - i);
        dx[h + u] = e * c_before[u] * f * (1.0f - f);
        dx[2 * h + u] = e * i * (1.0f - g * g);
        dx[3 * h + u] = d * tc * o * (1.0f - o);
        dc[u] = e * f;
        dh[u] = 0.0f;
      } else if constexpr (kGru) {
        const float r = gates[u], z = gates[h + u], m = gates[2 * h + u];
        const float dn = d * (1.0f - z) * (1.0f - m * m);
        const float dr = dn * cells[u] * r * (1.0f - r);
        const float dz = d * (before[u] - m) * z * (1.0f - z);
        dx[u] = dm[u] = dr;
        dx[h + u] = dm[h + u] = dz;
        dx[2 * h + u] = dn;
        dm[2 * h + u] = dn * r;
        dh[u] = d * z;
      } else {
        dx[u] = kKind == RecurrentKind::kTanh ? d * (1.0f - y[u] * y[u]) : y[u] > 0.0f ? d : 0.0f;
        dh[u] = 0.0f;
      }
    }
  }

  // A sequence that has ended: its state stands still.
  static RUTILE_INLINE void nothing(int64_t n, int64_t h, const float* dy, float* dh, float* dx,
                                    float* dm) {
    for (int64_t u = 0; u < n; ++u) {
      dh[u] += dy ? dy[u] : 0.0f;
      for (int64_t g = 0; g < kGates; ++g) {
        dx[g * h + u] = 0.0f;
        if (kGru) dm[g * h + u] = 0.0f;
      }
    }
  }

  void elements(int64_t t, int64_t first, int64_t n, const float* before,
                const float* c_before) const {
    const int64_t h = s.width, p = padded();
    for (int64_t r = 0; r < s.rows; ++r) {
      const int64_t at = (t * s.rows + r) * h + first,
                    gate_at = (t * s.rows + r) * kGates * h + first;
      const int64_t row = r * h + first;
      const float* dy = a.dy ? a.dy + at : nullptr;
      float *dh = running_h() + r * p + first, *dc = running_c() + r * p + first;
      float *dx = a.dgx + gate_at, *dm = kGru ? a.dgh + gate_at : nullptr;
      if (a.lengths && a.lengths[r] <= t) {
        nothing(n, h, dy, dh, dx, dm);
      } else {
        gradients(n, h, dy, a.y + at, before + row, kGates > 1 ? a.gates + gate_at : nullptr,
                  kGates > 1 ? a.cells + at : nullptr, kLstm ? c_before + row : nullptr, dh, dc, dx,
                  dm);
      }
    }
  }

  // dh += (gradients of the gates' sums) w, for a panel of units.
  void product(int64_t t, int64_t panel) const {
    const int64_t p = padded(), first = panel * kPanel;
    const int64_t count = s.width - first < kPanel ? s.width - first : kPanel;
    const float* d = (kGru ? a.dgh : a.dgx) + t * s.rows * depth();
    for_groups(s.rows, [&](int64_t r0, int64_t rows) {
      multiply<Singles>(rows, count, d + r0 * depth(), depth(), 1,
                        a.workspace + panel * depth() * kPanel, depth(),
                        running_h() + r0 * p + first, p, true);
    });
  }

  void begin_with(const float* from, float* to, int64_t first, int64_t n) const {
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t u = first; u < first + n; ++u) {
        const bool there = from && u < s.width;
        to[r * padded() + u] = there ? from[r * s.width + u] : 0.0f;
      }
    }
  }
  void end_with(const float* from, float* to, int64_t first, int64_t n) const {
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t u = first; u < first + n; ++u) to[r * s.width + u] = from[r * padded() + u];
    }
  }

  void thread(int id, int threads) const {
    const int64_t panels = padded() / kPanel, size = s.rows * s.width;
    const int64_t begin = panels * id / threads, end = panels * (id + 1) / threads;
    const int64_t first = begin * kPanel, stop = end * kPanel < s.width ? end * kPanel : s.width;
    if (begin < end) {
      pack_panels<Singles>(a.weight + first, s.width, depth(), stop - first, depth(),
                           a.workspace + begin * depth() * kPanel);
      begin_with(a.dh, running_h(), first, (end - begin) * kPanel);
      if (kLstm) begin_with(a.dc, running_c(), first, (end - begin) * kPanel);
    }
    for (int64_t k = s.steps - 1; k >= 0; --k) {
      const int64_t t = s.reverse ? s.steps - 1 - k : k, before = s.reverse ? t + 1 : t - 1;
      if (begin < end) {
        elements(t, first, stop - first, k > 0 ? a.y + before * size : a.h0,
                 k > 0 ? a.cells + before * size : a.c0);
      }
      barrier(threads);
      for (int64_t p = begin; p < end; ++p) product(t, p);
    }
    if (begin == end) return;
    end_with(running_h(), a.dh0, first, stop - first);
    if (kLstm) end_with(running_c(), a.dc0, first, stop - first);
  }

  void run() const {
    on_threads(s.threads, [this](int id, int n) { thread(id, n); });
  }
};

template <template <RecurrentKind, int> class Direction>
void run(const RecurrentShape& s, const RecurrentArgs& a) {
  switch (s.kind) {
    case RecurrentKind::kTanh:
      return Direction<RecurrentKind::kTanh, 1>{s, a}.run();
    case RecurrentKind::kRelu:
      return Direction<RecurrentKind::kRelu, 1>{s, a}.run();
    case RecurrentKind::kLstm:
      return Direction<RecurrentKind::kLstm, 4>{s, a}.run();
    case RecurrentKind::kGru:
      return Direction<RecurrentKind::kGru, 3>{s, a}.run();
  }
}

int64_t forward_workspace(const RecurrentShape& s) {
  return blocks_of(s) * panels_of(gates_of(s)) * s.width * kPanel;
}
int64_t backward_workspace(const RecurrentShape& s) {
  const int64_t padded = round_up(s.width, kPanel);
  return padded * (gates_of(s) * s.width + 2 * s.rows);
}
int64_t backward_parts(const RecurrentShape& s) { return round_up(s.width, kPanel) / kPanel; }

}  // namespace

RecurrentKernels recurrent_kernels() {
  return {forward_workspace, backward_workspace, blocks_of,
          backward_parts,    run<Forward>,       run<Backward>};
}

}  // namespace rutile::kernels::RUTILE_ISA
