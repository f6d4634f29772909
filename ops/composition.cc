// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/composition.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <unordered_map>

#include "rutile/core/thread.h"
#include "rutile/ops/op_runtime.h"
#include "rutile/ops/view.h"

namespace rutile {

namespace {

constexpr size_t kMaxEntries = 2048;
std::atomic<CompositionMaker> maker{nullptr};

struct Entry {
  const OpDef* op = nullptr;
  AnyAttrs attrs;
  uint64_t kind = 0;
  int threads = 0;
  std::vector<TensorMeta> metas;
  std::shared_ptr<const Composition> composition;

  bool matches(const CompositionKey& k) const {
    return op == k.op && kind == k.kind && threads == num_threads() &&
           std::equal(metas.begin(), metas.end(), k.metas.begin(), k.metas.end()) &&
           (!op->attrs || op->attrs->equal(attrs.get(), k.attrs));
  }
};

std::unordered_multimap<uint64_t, Entry>& cache() {
  thread_local std::unordered_multimap<uint64_t, Entry> c;
  return c;
}

uint64_t hash_key(const CompositionKey& k) {
  uint64_t h = detail::mix_hash(reinterpret_cast<uint64_t>(k.op), k.kind);
  for (const TensorMeta& m : k.metas) h = detail::mix_hash(h, hash_meta(m));
  return k.op->attrs ? detail::mix_hash(h, k.op->attrs->hash(k.attrs)) : h;
}

bool holds_region(const OpDef& op) {
  if (!op.attrs) return false;
  const AnyAttrs defaults(op.attrs, nullptr);
  for (int i = 0; i < op.attrs->num_fields; ++i) {
    if (std::holds_alternative<Ref<Region>>(op.attrs->get(defaults.get(), i))) return true;
  }
  return false;
}

}  // namespace

void set_composition_maker(CompositionMaker m) { maker.store(m); }

std::shared_ptr<const Composition> make_composition(const Region::Function& fn,
                                                    const std::vector<TensorMeta>& operands) {
  const CompositionMaker make = maker.load();
  return make ? make(fn, operands) : nullptr;
}

Tensor placed_like(const Tensor& t, const TensorMeta& meta) {
  if (!t.defined() || same_placement(t.meta(), meta)) return t;
  if (meta.is_contiguous()) return ops::contiguous(t);
  Tensor moved;
  if (meta.layout != kStrided || meta.is_channels_last()) {
    moved = ops::reorder(t, placement_of(meta));
  } else {  // dense, its dimensions in another order
    std::vector<int> order(static_cast<size_t>(meta.rank()));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return meta.strides[a] > meta.strides[b]; });
    Dims there, back = Dims::filled(meta.rank(), 0);
    for (const int axis : order) {
      back[axis] = there.rank();
      there.push_back(axis);
    }
    moved = ops::transpose(ops::contiguous(ops::transpose(t, there)), back);
  }
  RUTILE_CHECK(meta.numel() == 0 || same_placement(moved.meta(), meta),
               "a composition places its results as infer says");
  return moved;
}

bool may_repeat(const OpDef& op) {
  OpRuntime& r = op_runtime(op);
  int known = r.repeats.load(std::memory_order_relaxed);
  if (known < 0) {
    known = is_library_op(op) && op.effects == kPure && !op.runs_bodies && !op.dynamic &&
            !op.checks_values && op.mutate_mask == 0 && !holds_region(op);
    r.repeats.store(known, std::memory_order_relaxed);
  }
  return known > 0;
}

const Composition* find_composition(const CompositionKey& key, bool* known) {
  auto [begin, end] = cache().equal_range(hash_key(key));
  for (auto it = begin; it != end; ++it) {
    if (!it->second.matches(key)) continue;
    *known = true;
    return it->second.composition.get();
  }
  *known = false;
  return nullptr;
}

const Composition* remember_composition(const CompositionKey& key,
                                        std::shared_ptr<const Composition> composition) {
  if (cache().size() >= kMaxEntries) cache().clear();
  Entry e{key.op,        AnyAttrs(key.op->attrs, key.attrs),   key.kind,
          num_threads(), {key.metas.begin(), key.metas.end()}, std::move(composition)};
  return cache().emplace(hash_key(key), std::move(e))->second.composition.get();
}

}  // namespace rutile
