// SPDX-License-Identifier: Apache-2.0
// Mean gradients of parameters that not every rank trains.
#include <gtest/gtest.h>

#include "rutile/autograd/tape.h"
#include "rutile/dist/group.h"
#include "rutile/dist/reducer.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/dist/ranks.h"

namespace rutile {
namespace {

using test::require;
using test::require_equal;
using test::run_ranks;

std::vector<double> values(const Tensor& t) {
  return ops::cast(t, DType::kF64).to_vector<double>();
}

// Rank 0 trains w, rank 1 trains v, both x, nobody u.
void branches(const dist::ReducerOptions& options, bool hooks, int rank) {
  std::vector<Tensor> p{Tensor::full({3}, 1.0), Tensor::full({2, 2}, 2.0), Tensor::full({1}, 3.0),
                        Tensor::full({4}, 4.0)};
  std::vector<TensorMeta> metas;
  for (const Tensor& t : p) metas.push_back(t.meta());
  dist::GradientReducer reducer(metas, options);
  for (int step = 0; step < 3; ++step) {
    std::vector<Tensor> grads;
    {
      GradScope scope;
      const size_t index[] = {rank == 0 ? size_t{0} : 1, 2};
      const Tensor watched[] = {p[index[0]], p[2]};
      for (const Tensor& t : watched) scope.watch(t);
      const Tensor own = (ops::sum(p[0]) + ops::sum(p[1])) * Tensor::scalar(4.0f);
      const Tensor loss = own + ops::sum(p[2]) * Tensor::scalar(rank + 1.0f);
      if (hooks) reducer.attach(scope, watched, index);
      const std::vector<Tensor> found = scope.gradient(loss, watched);
      grads.resize(4);
      for (size_t k = 0; k < 2; ++k) grads[index[k]] = found[k];
    }
    reducer.finish(&grads);
    const double n = options.reduce == Reduce::kMean ? 2 : 1;
    require_equal(values(grads[0]), {4 / n, 4 / n, 4 / n}, "w");
    require_equal(values(grads[1]), {4 / n, 4 / n, 4 / n, 4 / n}, "v");
    require_equal(values(grads[2]), {3 / n}, "x");
    require(!grads[3].defined(), "nobody has a gradient of u");
    for (int i = 0; i < 3; ++i) p[i] = p[i] - grads[i] * Tensor::scalar(0.5f);
  }
  for (int i = 0; i < 3; ++i) {
    require_equal(values(ops::all_reduce(p[i], {.reduce = Reduce::kMax})), values(p[i]), "equal");
  }
}

TEST(Reducer, AGradientThatOneRankHasIsGivenToAll) {
  const auto outcomes = run_ranks(2, [](int rank) {
    dist::init();
    for (const bool hooks : {true, false}) {
      branches({}, hooks, rank);
      branches({.reduce = Reduce::kSum}, hooks, rank);
      branches({.bucket_mb = 0, .first_bucket_mb = 0}, hooks, rank);
      branches({.wire = DType::kBF16}, hooks, rank);
      branches({.wire = DType::kF16, .split = {1, 3}}, hooks, rank);
    }
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}

// A reducer that is still there keeps neither the group nor rank 0's port.
TEST(Reducer, OutlivesTheGroup) {
  const auto outcomes = run_ranks(2, [](int rank) {
    std::unique_ptr<dist::GradientReducer> first, second;
    for (auto* reducer : {&first, &second}) {
      dist::init();
      std::vector<Tensor> grads{Tensor::full({3}, 1.0 + rank)};
      *reducer = std::make_unique<dist::GradientReducer>(std::vector<TensorMeta>{grads[0].meta()});
      (*reducer)->finish(&grads);
      require_equal(values(grads[0]), {1.5, 1.5, 1.5}, "mean");
      const auto kept = communicator();
      dist::barrier();
      dist::finalize();
      // Rank 0's new store is another one than its old.
      if (rank == 1) std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  });
  for (const auto& o : outcomes) EXPECT_EQ(o.error, "");
}

}  // namespace
}  // namespace rutile
