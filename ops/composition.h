// SPDX-License-Identifier: Apache-2.0
// What eager execution repeats where an op of the library runs as several others: as its
// composition, or in its gradient. The function runs once on symbols; the calls that it made, with
// neighbours joined into single passes over memory, are then repeated for every call on the same
// metas. Results are the bits of the single calls. Private to the library.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "rutile/ops/op_def.h"
#include "rutile/ops/region.h"

namespace rutile {

class Composition {
 public:
  virtual ~Composition() = default;
  // `in` as the function's operands; as many outputs as it has results, undefined where those are.
  virtual void run(std::span<const Tensor> in, std::span<Tensor> out) const = 0;
};

// Null where nothing would be gained, or where the calls may differ from one time to the next.
using CompositionMaker = std::shared_ptr<const Composition> (*)(
    const Region::Function& fn, const std::vector<TensorMeta>& operands);
// Installed by the graph compiler.
RUTILE_API void set_composition_maker(CompositionMaker maker);
std::shared_ptr<const Composition> make_composition(const Region::Function& fn,
                                                    const std::vector<TensorMeta>& operands);

// The result of a composition placed as infer said of the op's output: what follows, views of it
// and the order of sums, is the same eagerly and in a graph.
Tensor placed_like(const Tensor& t, const TensorMeta& meta);

// Whether calls of the op depend on its attributes and on metas alone: an op of the library that
// has no effects, runs no bodies and checks no values.
bool may_repeat(const OpDef& op);

// The calling thread's composition of a gradient: of `op` with these attributes and metas; `kind`
// says what else the calls depend on. `make` is called where there is none yet.
struct CompositionKey {
  const OpDef* op = nullptr;
  const void* attrs = nullptr;
  uint64_t kind = 0;
  std::span<const TensorMeta> metas;
};
const Composition* find_composition(const CompositionKey& key, bool* known);
const Composition* remember_composition(const CompositionKey& key,
                                        std::shared_ptr<const Composition> composition);

}  // namespace rutile
