// SPDX-License-Identifier: Apache-2.0
// Graphs with gradients, for tests of single passes.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "rutile/autograd/tape.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::graph {

using Inputs = std::vector<Tensor>;
using Fn = std::function<Tensor(const Inputs&)>;

inline Tensor normal(uint64_t seed, const Shape& shape, DType t = DType::kF32) {
  return ops::cast(ops::random_normal(Tensor::from<uint64_t>({seed}, {1}), {.shape = shape}), t);
}

// The loss and its gradients by the inputs that have one, as traced: a copy to run passes on.
inline std::shared_ptr<Graph> trace_gradients(const Fn& loss, const Inputs& in) {
  std::vector<TensorMeta> metas;
  for (const Tensor& t : in) metas.push_back(t.meta());
  return std::make_shared<Graph>(*trace(
      [&](const Inputs& xs) {
        const ValueAndGrad r = value_and_grad(loss, xs);
        Inputs all{r.value};
        for (const Tensor& d : r.grads) {
          if (d.defined()) all.push_back(d);
        }
        return all;
      },
      metas));
}

}  // namespace rutile::graph
