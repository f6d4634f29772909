// SPDX-License-Identifier: Apache-2.0
// CTC: a thread takes a sequence, forward variables of a step from those of the last in one vector
// loop over the places of the target. Backward computes the forward variables again rather than
// keep them, runs the same loop from the other end and adds up each class's share of the
// alignments.
#include "rutile/kernels/cpu/ctc.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rutile/core/thread_cost.h"
#include "rutile/kernels/convert.h"
#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/ctc_shape.h"
#include "rutile/kernels/dispatch.h"
#include "rutile/kernels/register.h"

namespace rutile::kernels {
namespace {

struct CtcPlan : Plan {
  CtcShape s;
  int slots = 1;            // sequences at a time
  int64_t slot_bytes = 0;   // workspace of one
  int64_t start_bytes = 0;  // of all starts, in front
  CtcLoops loops{};
};

template <class R>
constexpr R kNone = -std::numeric_limits<R>::infinity();

template <class R>
void step(const CtcLoops& loops, const R* last, const R* skip, const R* e, R* next, int64_t n) {
  if constexpr (sizeof(R) == 4) {
    if (loops.step) return loops.step(last, skip, e, next, n);
  }
  for (int64_t s = 0; s < n; ++s) {
    const R a = last[s], b = last[s - 1], c = skip[s] == 0 ? last[s - 2] : kNone<R>;
    const R top = std::max(std::max(a, b), c), all = a + b + c;
    if (top == kNone<R> || all != all) {  // a maximum may drop a NaN
      next[s] = all + e[s];
    } else {
      next[s] = top + std::log(std::exp(a - top) + std::exp(b - top) + std::exp(c - top)) + e[s];
    }
  }
}
template <class R>
void shares(const CtcLoops& loops, const R* a, const R* e, R shift, R* b, int64_t n) {
  if constexpr (sizeof(R) == 4) {
    if (loops.shares) return loops.shares(a, e, shift, b, n);
  }
  for (int64_t s = 0; s < n; ++s) {
    const bool none = a[s] == kNone<R> || b[s] == kNone<R>;
    b[s] = none ? R(0) : std::exp(a[s] + b[s] - e[s] + shift);
  }
}

// Room of one sequence: rows of the lattice with two more elements in front of each.
template <class R>
struct Room {
  int64_t* path = nullptr;
  R *skip = nullptr, *e = nullptr, *rows = nullptr, *sums = nullptr;
  int64_t row = 0;
  R* at(int64_t t) const { return rows + t * row + 2; }
};
template <class R>
int64_t room_bytes(const CtcShape& s, int64_t rows) {
  const int64_t n = s.places();
  return n * 8 + static_cast<int64_t>(sizeof(R)) * (2 * n + rows * (n + 2) + s.classes) + 64;
}
template <class R>
Room<R> room_of(const CtcShape& s, char* p, int64_t rows) {
  const int64_t n = s.places();
  Room<R> r;
  r.path = reinterpret_cast<int64_t*>(p);
  r.skip = reinterpret_cast<R*>(r.path + n);
  r.e = r.skip + n;
  r.rows = r.e + n;
  r.row = n + 2;
  r.sums = r.rows + rows * r.row;
  return r;
}

// One sequence, its target read from the front or, for the backward variables, from the end.
template <class T>
struct Walker {
  using R = Acc<T>;
  const CtcPlan& p;
  const T* x;
  const Room<R>& room;
  int64_t places = 1;

  void set_path(const CtcData& d, int64_t start, int64_t length, bool reverse) {
    places = 2 * length + 1;
    for (int64_t s = 0; s < places; ++s) {
      const int64_t k = reverse ? length - 1 - s / 2 : s / 2;
      room.path[s] = s % 2 ? d.label(p.s, start + k) : p.s.blank;
      const bool may_skip = s % 2 && s > 1 && room.path[s] != room.path[s - 2];
      room.skip[s] = may_skip ? R(0) : kNone<R>;
    }
  }
  // What comes before the first step.
  void begin(R* row) const {
    std::fill_n(row - 2, places + 2, kNone<R>);
    row[0] = 0;
  }
  void advance(int64_t t, const R* last, R* next) const {
    const T* at = x + t * p.s.step_stride;
    for (int64_t s = 0; s < places; ++s) {
      room.e[s] = convert<R>(at[room.path[s] * p.s.class_stride]);
    }
    next[-2] = next[-1] = kNone<R>;
    step(p.loops, last, room.skip, room.e, next, places);
  }
  R ending(const R* row) const {
    if (places == 1) return row[0];
    const R a = row[places - 1], b = row[places - 2], top = std::max(a, b);
    if (top == kNone<R> || a + b != a + b) return a + b;
    return top + std::log1p(std::exp(std::min(a, b) - top));
  }
};

char* slot_memory(const CtcPlan& p, const KernelArgs& args, int64_t slot) {
  return static_cast<char*>(args.workspace) + p.start_bytes + slot * p.slot_bytes;
}

// Calls one(sequence, start, memory) for all sequences, some at a time.
template <class F>
Status for_sequences(const CtcPlan& p, const KernelArgs& args, const CtcData& d, F&& one) {
  auto* starts = static_cast<int64_t*>(args.workspace);
  RUTILE_RETURN_IF_ERROR(ctc_starts(p.s, d, starts));
  parallel_for(0, p.slots, p.slots > 1 ? 0 : 1, [&](int64_t begin, int64_t end) {
    for (int64_t slot = begin; slot < end; ++slot) {
      for (int64_t i = slot; i < p.s.n; i += p.slots) {
        one(i, starts[i], slot_memory(p, args, slot));
      }
    }
  });
  return Status();
}

template <class T>
Status run_nll(const Plan& plan, const KernelArgs& args) {
  using R = Acc<T>;
  const auto& p = static_cast<const CtcPlan&>(plan);
  const CtcData d{args.in[1], args.in[2], args.in[3]};
  return for_sequences(p, args, d, [&](int64_t i, int64_t start, char* memory) {
    const Room<R> room = room_of<R>(p.s, memory, 2);
    Walker<T> w{p, static_cast<const T*>(args.in[0]) + i * p.s.n_stride, room};
    w.set_path(d, start, d.length(p.s, i), false);
    const int64_t steps = d.input_length(p.s, i);
    w.begin(room.at(0));
    for (int64_t t = 0; t < steps; ++t) w.advance(t, room.at(t % 2), room.at((t + 1) % 2));
    const R empty = w.places == 1 ? R(0) : kNone<R>;
    static_cast<R*>(args.out[0])[i] = -(steps > 0 ? w.ending(room.at(steps % 2)) : empty);
  });
}

// dx of one sequence; R(0) - share * g where a class has a share.
template <class T>
void sequence_grad(const CtcPlan& p, const CtcData& d, Walker<T>& w, int64_t i, int64_t start,
                   Acc<T> g, Acc<T> nll, T* dx) {
  using R = Acc<T>;
  const Room<R>& room = w.room;
  const CtcShape& s = p.s;
  const int64_t steps = g == 0 ? 0 : d.input_length(s, i), length = d.length(s, i);
  const int64_t dx_step = s.n * s.classes;
  for (int64_t t = steps; t < s.steps; ++t) std::fill_n(dx + t * dx_step, s.classes, T());
  if (steps == 0) return;
  w.set_path(d, start, length, false);
  R* last = room.at(steps);
  w.begin(last);  // the forward variables stay in rows 0 .. steps - 1
  for (int64_t t = 0; t < steps; ++t) w.advance(t, t ? room.at(t - 1) : last, room.at(t));
  w.set_path(d, start, length, true);
  const int64_t n = w.places;
  R *from = room.at(steps), *to = room.at(steps + 1);
  w.begin(from);
  for (int64_t t = steps - 1; t >= 0; --t) {
    R* a = room.at(t);
    w.advance(t, from, to);
    // The row is read from the other end; `a` is of no use later and takes the shares.
    std::reverse(a, a + n);
    std::copy(to, to + n, from);
    shares(p.loops, a, room.e, nll, from, n);
    std::fill_n(room.sums, s.classes, R(0));
    for (int64_t k = 0; k < n; ++k) {
      const R share = nll == std::numeric_limits<R>::infinity() ? nll - nll : from[k];
      room.sums[room.path[k]] -= g * share;
    }
    for (int64_t k = 0; k < s.classes; ++k) dx[t * dx_step + k] = convert<T>(room.sums[k]);
    std::swap(from, to);
  }
}

template <class T>
Status run_nll_grad(const Plan& plan, const KernelArgs& args) {
  using R = Acc<T>;
  const auto& p = static_cast<const CtcPlan&>(plan);
  const CtcData d{args.in[2], args.in[3], args.in[4]};
  return for_sequences(p, args, d, [&](int64_t i, int64_t start, char* memory) {
    const Room<R> room = room_of<R>(p.s, memory, p.s.steps + 2);
    Walker<T> w{p, static_cast<const T*>(args.in[1]) + i * p.s.n_stride, room};
    sequence_grad<T>(p, d, w, i, start, static_cast<const R*>(args.in[0])[i],
                     static_cast<const R*>(args.in[5])[i],
                     static_cast<T*>(args.out[0]) + i * p.s.classes);
  });
}

// ---- The gradient of the gradient ----

// means[s] = the mean of the sum of u over the steps so far, over the beginnings that end at a
// place; `next` is what advance() made of `last`, two zeros lie in front of `last_means`.
template <class T>
void advance_means(const Walker<T>& w, const T* u, const Acc<T>* last, const Acc<T>* last_means,
                   const Acc<T>* next, Acc<T>* means) {
  using R = Acc<T>;
  means[-2] = means[-1] = 0;
  for (int64_t s = 0; s < w.places; ++s) {
    R mean = 0;
    if (next[s] != kNone<R>) {
      const R all = next[s] - w.room.e[s];
      mean = std::exp(last[s] - all) * last_means[s] +
             std::exp(last[s - 1] - all) * last_means[s - 1] +
             std::exp(last[s - 2] + w.room.skip[s] - all) * last_means[s - 2] +
             convert<R>(u[w.room.path[s]]);
    }
    means[s] = mean;
  }
}

// What dx, dense, of a sequence is made of: sums over the alignments of their probability times
// their sum of u. The same for `ddy` without that sum, u of a step instead.
template <class T>
void sequence_grad_grad(const CtcData& d, Walker<T>& w, int64_t i, int64_t start, const T* u,
                        Acc<T> g, Acc<T> nll, T* dx, Acc<T>* ddy) {
  using R = Acc<T>;
  const Room<R>& room = w.room;
  const CtcShape& s = w.p.s;
  const int64_t steps = d.input_length(s, i), length = d.length(s, i), rows = s.steps + 2;
  const int64_t stride = s.n * s.classes;
  const auto means_at = [&](int64_t t) { return room.at(rows + t); };
  w.set_path(d, start, length, false);
  R* first = room.at(steps);
  w.begin(first);
  std::fill_n(means_at(steps) - 2, w.places + 2, R(0));
  for (int64_t t = 0; t < steps; ++t) {
    const int64_t before = t ? t - 1 : steps;
    w.advance(t, room.at(before), room.at(t));
    advance_means(w, u + t * stride, room.at(before), means_at(before), room.at(t), means_at(t));
  }
  w.set_path(d, start, length, true);
  const int64_t n = w.places;
  int64_t from = steps, to = steps + 1;
  w.begin(room.at(from));
  std::fill_n(means_at(from) - 2, n + 2, R(0));
  const bool infinite = nll == std::numeric_limits<R>::infinity();
  R sum = 0;
  for (int64_t t = steps - 1; t >= 0; --t) {
    const T* ut = u + t * stride;
    w.advance(t, room.at(from), room.at(to));
    advance_means(w, ut, room.at(from), means_at(from), room.at(to), means_at(to));
    std::fill_n(room.sums, s.classes, R(0));
    for (int64_t k = 0; k < n; ++k) {
      const R a = room.at(t)[n - 1 - k], b = room.at(to)[k], value = convert<R>(ut[room.path[k]]);
      R share = a == kNone<R> || b == kNone<R> ? R(0) : std::exp(a + b - room.e[k] + nll);
      if (infinite) share = nll - nll;
      sum -= share * value;
      room.sums[room.path[k]] -= g * share * (means_at(t)[n - 1 - k] + means_at(to)[k] - value);
    }
    for (int64_t k = 0; k < s.classes; ++k) {
      dx[t * stride + k] = g == 0 ? T() : convert<T>(room.sums[k]);
    }
    std::swap(from, to);
  }
  for (int64_t t = steps; t < s.steps; ++t) std::fill_n(dx + t * stride, s.classes, T());
  *ddy = infinite ? R(0) : sum;
}

template <class T>
Status run_nll_grad_grad(const Plan& plan, const KernelArgs& args) {
  using R = Acc<T>;
  const auto& p = static_cast<const CtcPlan&>(plan);
  const CtcData d{args.in[3], args.in[4], args.in[5]};
  return for_sequences(p, args, d, [&](int64_t i, int64_t start, char* memory) {
    const Room<R> room = room_of<R>(p.s, memory, 2 * (p.s.steps + 2));
    Walker<T> w{p, static_cast<const T*>(args.in[2]) + i * p.s.n_stride, room};
    sequence_grad_grad<T>(
        d, w, i, start, static_cast<const T*>(args.in[0]) + i * p.s.classes,
        static_cast<const R*>(args.in[1])[i], static_cast<const R*>(args.in[6])[i],
        static_cast<T*>(args.out[0]) + i * p.s.classes, static_cast<R*>(args.out[1]) + i);
  });
}

bool dense(const CallMeta& c, int i, Reason* r) {
  if (c.in(i).is_contiguous()) return true;
  if (r) r->text = cat(c.op->input_name(i), " is not row-major");
  return false;
}
// kOrder: 0 for the losses, 1 for their gradient, 2 for that one's.
template <int kOrder>
bool supports(const CallMeta& c, Reason* r) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    if (i != kOrder && !dense(c, i, r)) return false;  // log_probs may lie anyhow
  }
  return true;
}

template <int kOrder>
Status prepare(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = std::make_unique<CtcPlan>();
  p->s = ctc_shape(c, kOrder);
  const int64_t rows = kOrder == 0 ? 2 : kOrder * (p->s.steps + 2);
  // Half the places on average; a place costs two or three exponentials and a logarithm.
  const double places =
      p->s.padded ? static_cast<double>(p->s.n * p->s.room) : static_cast<double>(p->s.labels);
  constexpr double kPlaceNs[] = {3, 10, 120};
  const double ns = kPlaceNs[kOrder] * static_cast<double>(p->s.steps) * (2 * places + 1);
  p->slots = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(p->s.n, threads_for(ns))));
  p->start_bytes = (p->s.n * 8 + 63) / 64 * 64;
  if (isa() != Isa::kBaseline) p->loops = RUTILE_CHOOSE_ISA(ctc_loops);
  dispatch_float(c.in(kOrder).dtype, [&](auto t) {
    using T = typename decltype(t)::type;
    p->slot_bytes = (room_bytes<Acc<T>>(p->s, rows) + 63) / 64 * 64;
    p->run = kOrder == 0 ? run_nll<T> : kOrder == 1 ? run_nll_grad<T> : run_nll_grad_grad<T>;
  });
  p->workspace_bytes = static_cast<size_t>(p->start_bytes + p->slots * p->slot_bytes);
  *plan = std::move(p);
  return Status();
}

KernelRow row(const OpDef& op, bool (*supported)(const CallMeta&, Reason*),
              Status (*prepared)(const CallMeta&, std::unique_ptr<Plan>*)) {
  KernelRow r;
  r.op = &op;
  r.name = "cpu";
  r.supports = supported;
  r.prepare = prepared;
  return r;
}

}  // namespace

void register_ctc_cpu() {
  register_kernel(row(ops::kCtcNll, supports<0>, prepare<0>));
  register_kernel(row(ops::kCtcNllGrad, supports<1>, prepare<1>));
  register_kernel(row(ops::kCtcNllGradGrad, supports<2>, prepare<2>));
}

}  // namespace rutile::kernels
