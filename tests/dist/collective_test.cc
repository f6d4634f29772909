// SPDX-License-Identifier: Apache-2.0
// Collectives between processes over Gloo: every op, reduction and dtype, eager, compiled and
// differentiated; groups, messages.
#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/tape.h"
#include "rutile/dist/group.h"
#include "rutile/dist/replicas.h"
#include "rutile/graph/compile.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/sync_norm.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"
#include "rutile/tests/dist/ranks.h"

namespace rutile {
namespace {

using test::require;
using test::require_equal;
using test::run_ranks;

void expect_all_well(const std::vector<test::Outcome>& outcomes) {
  for (size_t r = 0; r < outcomes.size(); ++r) {
    EXPECT_EQ(outcomes[r].error, "") << "rank " << r;
    EXPECT_EQ(outcomes[r].status, 0) << "rank " << r;
  }
}

std::vector<double> values(const Tensor& t) {
  return ops::cast(t, DType::kF64).to_vector<double>();
}

// 1 + rank + i, i below n: exact in every dtype, and so are sums and products of a few.
Tensor ramp(int rank, int64_t n, DType t) {
  std::vector<double> v;
  for (int64_t i = 0; i < n; ++i) v.push_back(1 + rank + static_cast<double>(i % 2));
  return ops::cast(Tensor::from<double>(std::span<const double>(v), {n}), t);
}

double reduced(Reduce how, int ranks, int64_t i) {
  double sum = 0, prod = 1, high = 0, low = 1e9;
  for (int r = 0; r < ranks; ++r) {
    const double v = 1 + r + static_cast<double>(i % 2);
    sum += v, prod *= v, high = std::max(high, v), low = std::min(low, v);
  }
  switch (how) {
    case Reduce::kSum:
      return sum;
    case Reduce::kMean:
      return sum / ranks;
    case Reduce::kMax:
      return high;
    case Reduce::kMin:
      return low;
    case Reduce::kProd:
      return prod;
  }
  return 0;
}

constexpr DType kDTypes[] = {DType::kU8,  DType::kI8,  DType::kI16,  DType::kI32, DType::kI64,
                             DType::kU64, DType::kF16, DType::kBF16, DType::kF32, DType::kF64};

void every_collective(int rank) {
  dist::init();
  const int n = dist::size();
  require(dist::rank() == rank, "rank");
  for (const DType t : kDTypes) {
    for (const int64_t count : {0, 1, 7, 1000}) {
      for (const Reduce how :
           {Reduce::kSum, Reduce::kMean, Reduce::kMax, Reduce::kMin, Reduce::kProd}) {
        if (how == Reduce::kMean && !is_floating(t)) continue;
        std::vector<double> want, part;
        for (int64_t i = 0; i < count; ++i) want.push_back(reduced(how, n, i));
        const std::string what =
            cat(dtype_name(t), " ", EnumNames<Reduce>::value[int(how)], " ", count);
        // The mean of three is rounded once in f16 and bf16.
        const double slack = how == Reduce::kMean ? (is_low_precision(t) ? 0.02 : 1e-6) : 0;
        require_equal(values(ops::all_reduce(ramp(rank, count, t), {.reduce = how})), want,
                      "all_reduce " + what, slack);
        std::vector<double> whole;
        for (int64_t i = 0; i < count * n; ++i) whole.push_back(reduced(how, n, i));
        part.assign(whole.begin() + rank * count, whole.begin() + (rank + 1) * count);
        require_equal(values(ops::reduce_scatter(ramp(rank, count * n, t), {.reduce = how})), part,
                      "reduce_scatter " + what, slack);
      }
      std::vector<double> gathered, exchanged, first;
      for (int r = 0; r < n; ++r) {
        for (const double v : values(ramp(r, count, t))) gathered.push_back(v);
        const std::vector<double> theirs = values(ramp(r, count * n, t));
        exchanged.insert(exchanged.end(), theirs.begin() + rank * count,
                         theirs.begin() + (rank + 1) * count);
      }
      const std::string what = cat(dtype_name(t), " ", count);
      require_equal(values(ops::all_gather(ramp(rank, count, t))), gathered, "all_gather " + what);
      require_equal(values(ops::all_to_all(ramp(rank, count * n, t))), exchanged,
                    "all_to_all " + what);
      require_equal(values(ops::broadcast(ramp(rank, count, t), {.root = n - 1})),
                    values(ramp(n - 1, count, t)), "broadcast " + what);
    }
  }
  const Tensor mine = Tensor::from<bool>({rank == 0, true, false}, {3});
  require(ops::all_reduce(mine, {.reduce = Reduce::kMax}).to_vector<bool>() ==
              std::vector<bool>({true, true, false}),
          "any");
  require(ops::all_reduce(mine, {.reduce = Reduce::kMin}).to_vector<bool>() ==
              std::vector<bool>({false, true, false}),
          "all");
  dist::barrier();
  dist::finalize();
}

// Shared memory where the ranks are on one host, else TCP.
TEST(Collectives, OfTwoThreeAndFourRanks) {
  for (const int n : {2, 3, 4}) {
    expect_all_well(run_ranks(n, every_collective));
    expect_all_well(run_ranks(n, every_collective, {.variables = {{"RUTILE_SHM", "0"}}}));
  }
}

// Many pieces, and a last one that is small.
void large_collectives(int rank) {
  dist::init();
  const int n = dist::size();
  for (const DType t : {DType::kF32, DType::kBF16, DType::kU8}) {
    const int64_t count = 1200007;
    const auto same = [&](const Tensor& got, auto value, const std::string& what) {
      const std::vector<double> v = values(got);
      for (size_t i = 0; i < v.size(); ++i) {
        if (v[i] == value(static_cast<int64_t>(i))) continue;
        require(false, cat(what, " of ", t, ": element ", i, " is ", v[i]));
      }
    };
    for (int again = 0; again < 2; ++again) {
      same(
          ops::all_reduce(ramp(rank, count, t)),
          [&](int64_t i) { return reduced(Reduce::kSum, n, i); }, "all_reduce");
      same(
          ops::reduce_scatter(ramp(rank, count * n, t)),
          [&](int64_t i) { return reduced(Reduce::kSum, n, rank * count + i); }, "reduce_scatter");
      same(
          ops::all_gather(ramp(rank, count, t)),
          [&](int64_t i) { return 1.0 + static_cast<double>(i / count + i % count % 2); },
          "all_gather");
      same(
          ops::all_to_all(ramp(rank, count * n, t)),
          [&](int64_t i) {
            return 1.0 + static_cast<double>(i / count + (rank * count + i % count) % 2);
          },
          "all_to_all");
      same(
          ops::broadcast(ramp(rank, count, t), {.root = n - 1}),
          [&](int64_t i) { return static_cast<double>(n + i % 2); }, "broadcast");
    }
  }
  dist::finalize();
}

TEST(Collectives, OfLargeTensors) {
  for (const char* shm : {"1", "0"}) {
    expect_all_well(run_ranks(3, large_collectives, {.variables = {{"RUTILE_SHM", shm}}}));
  }
}

TEST(Collectives, OfStridedTensors) {
  expect_all_well(run_ranks(2, [](int rank) {
    dist::init();
    const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3}) * Tensor::scalar(rank + 1.0f);
    require_equal(values(ops::all_reduce(ops::transpose(x))), {3, 12, 6, 15, 9, 18}, "all_reduce");
    require_equal(values(ops::all_gather(ops::transpose(x))),
                  {1, 4, 2, 5, 3, 6, 2, 8, 4, 10, 6, 12}, "all_gather");
  }));
}

// The gradient of the sum over all ranks of sum(f(x) * weight).
void gradients(int rank) {
  dist::init();
  const int n = dist::size();
  auto grad = [&](const std::function<Tensor(const Tensor&)>& f, const Tensor& x) {
    GradScope scope;
    scope.watch(x);
    const Tensor y = f(x);
    const Tensor w = Tensor::scalar(rank + 1.0, DType::kF64);
    return values(scope.gradient(ops::sum(y * w), {x})[0]);
  };
  const double total = n * (n + 1) / 2.0;
  const Tensor x = ramp(rank, 2 * n, DType::kF64);
  const std::vector<double> ones(static_cast<size_t>(2 * n), 1.0);
  auto times = [&](double v) {
    std::vector<double> r = ones;
    for (double& e : r) e *= v;
    return r;
  };
  require_equal(grad([](const Tensor& v) { return ops::all_reduce(v); }, x), times(total), "sum");
  require_equal(
      grad([](const Tensor& v) { return ops::all_reduce(v, {.reduce = Reduce::kMean}); }, x),
      times(total / n), "mean", 1e-12);
  require_equal(
      grad([](const Tensor& v) { return ops::all_reduce(v, {.reduce = Reduce::kMax}); }, x),
      times(rank == n - 1 ? total : 0), "max");
  require_equal(grad([](const Tensor& v) { return ops::all_gather(v); }, x), times(total),
                "gather");
  require_equal(grad([](const Tensor& v) { return ops::broadcast(v, {.root = 1}); }, x),
                times(rank == 1 ? total : 0), "broadcast");
  std::vector<double> by_rank;
  for (int r = 0; r < n; ++r) by_rank.insert(by_rank.end(), 2, r + 1.0);
  require_equal(grad([](const Tensor& v) { return ops::reduce_scatter(v); }, x), by_rank,
                "scatter");
  auto largest = [](const Tensor& v) { return ops::reduce_scatter(v, {.reduce = Reduce::kMax}); };
  require_equal(grad(largest, x), rank == n - 1 ? by_rank : times(0), "scatter max");
  require_equal(grad([](const Tensor& v) { return ops::all_to_all(v); }, x), by_rank, "to_all");
}

TEST(Collectives, Differentiated) { expect_all_well(run_ranks(3, gradients)); }

TEST(Collectives, CompiledAsEager) {
  expect_all_well(run_ranks(2, [](int rank) {
    dist::init();
    auto fn = [](const std::vector<Tensor>& in) {
      const Tensor a = ops::all_reduce(in[0] * in[0]);
      const Tensor b = ops::all_gather(a - in[0]);
      const Tensor c = ops::reduce_scatter(b, {.reduce = Reduce::kMax});
      const Tensor d = ops::all_reduce(c, {.wire = DType::kBF16});
      return std::vector<Tensor>{a, b, c, d};
    };
    const Tensor x = ramp(rank, 12, DType::kF32);
    const std::vector<Tensor> want = fn({x});
    for (const char* off : {"", "all"}) {
      graph::Compiled compiled(fn, {.passes_off = off});
      for (int step = 0; step < 3; ++step) {
        const std::vector<Tensor> got = compiled({x});
        for (size_t i = 0; i < want.size(); ++i) {
          require_equal(values(got[i]), values(want[i]), cat("result ", i, " without ", off));
        }
      }
    }
  }));
}

// Fused ones: what is in a bucket, on a wire of its own, and what is not.
TEST(Collectives, BucketsOfCompiledFunctions) {
  expect_all_well(run_ranks(2, [](int rank) {
    dist::init();
    auto fn = [](const std::vector<Tensor>& in) {
      std::vector<Tensor> out;
      for (const OptionalDType wire : {OptionalDType(), OptionalDType(DType::kBF16)}) {
        for (int k = 0; k < 5; ++k) {
          const Tensor g = in[0] * Tensor::scalar(k + 1.0f);
          out.push_back(ops::all_reduce(g, {.reduce = Reduce::kMean,
                                            .wire = wire,
                                            .fusion = k < 3 ? -1 : 7,
                                            .bucket_mb = 1e-4}));
        }
      }
      out.push_back(ops::all_reduce(out[0] + in[0], {.fusion = -1}));
      out.push_back(ops::all_reduce(in[0]));
      return out;
    };
    const Tensor x = ops::reshape(ramp(rank, 12, DType::kF32), {3, 4});
    const std::vector<Tensor> want = fn({x});
    graph::Compiled compiled(fn, {});
    for (int step = 0; step < 2; ++step) {
      const std::vector<Tensor> got = compiled({x});
      for (size_t i = 0; i < want.size(); ++i) {
        require_equal(values(got[i]), values(want[i]), cat("result ", i));
      }
    }
  }));
}

// Parts of a batch are normalised as the whole of it, and so are their gradients.
void sync_norm(int rank) {
  dist::init();
  const Shape shape{6, 3, 4};
  std::vector<double> v;
  for (int64_t i = 0; i < shape.numel(); ++i)
    v.push_back(std::sin(0.7 * static_cast<double>(i)) + 2);
  const Tensor whole = Tensor::from<double>(std::span<const double>(v), shape);
  const Tensor w = Tensor::from<double>({0.5, 1, 2}, {3}),
               b = Tensor::from<double>({0, 1, -1}, {3});
  const Tensor dy = ops::cos(whole * Tensor::scalar(3.0, DType::kF64));
  const int64_t first = rank == 0 ? 0 : 2, last = rank == 0 ? 2 : 6;  // parts differ in size
  auto part = [&](const Tensor& t) { return ops::contiguous(ops::slice_axis(t, 0, first, last)); };
  auto run = [&](bool sync, const Tensor& x, const Tensor& g) {
    GradScope scope;
    for (const Tensor& t : {x, w, b}) scope.watch(t);
    const Tensor y = sync ? ops::sync_batch_norm(x, w, b).y : ops::batch_norm(x, w, b).y;
    std::vector<Tensor> r = scope.gradient(ops::sum(y * g), {x, w, b});
    r.push_back(y);
    return r;
  };
  const std::vector<Tensor> want = run(false, whole, dy);
  auto fn = [&](const std::vector<Tensor>& in) { return run(true, in[0], in[1]); };
  graph::Compiled compiled(fn, {});
  const std::vector<Tensor> in{part(whole), part(dy)};
  for (const std::vector<Tensor>& got : {fn(in), compiled(in)}) {
    require_equal(values(got[0]), values(part(want[0])), "dx", 1e-9);
    require_equal(values(got[3]), values(part(want[3])), "y", 1e-9);
    for (const size_t i : {1, 2}) {
      require_equal(values(ops::all_reduce(got[i])), values(want[i]), "dweight, dbias", 1e-9);
    }
  }
}

TEST(Collectives, NormsOverAllRanks) { expect_all_well(run_ranks(2, sync_norm)); }

TEST(Groups, OfSomeRanks) {
  expect_all_well(run_ranks(4, [](int rank) {
    dist::init();
    dist::create_group("even", {0, 2});
    dist::create_group("odd", {3, 1});
    const std::string mine = rank % 2 ? "odd" : "even", other = rank % 2 ? "even" : "odd";
    const int place = rank % 2 ? (rank == 3 ? 0 : 1) : rank / 2;
    require(dist::rank(mine) == place && dist::rank(other) == -1, "rank");
    require(dist::size(mine) == 2 && dist::size(other) == 2, "size");
    require(dist::world_rank("odd", 0) == 3 && dist::group_rank("odd", 1) == 1, "ranks");
    const Tensor x = ops::all_reduce(Tensor::scalar(static_cast<double>(rank)), {.group = mine});
    require(x.item() == (rank % 2 ? 4 : 2), cat("sum is ", x.item()));
    dist::destroy_group(mine);
    dist::barrier();
  }));
}

TEST(Groups, SendAndReceive) {
  expect_all_well(run_ranks(3, [](int rank) {
    dist::init();
    const int next = (rank + 1) % 3, before = (rank + 2) % 3;
    for (const int64_t n : {0, 1, 100000}) {
      const Tensor x = ramp(rank, n, DType::kF32);
      Tensor y;
      if (rank == 0) {
        dist::send(x, next);
        y = dist::receive({n}, DType::kF32, before);
      } else {
        y = dist::receive({n}, DType::kF32, before);
        dist::send(x, next);
      }
      require_equal(values(y), values(ramp(before, n, DType::kF32)), "what came");
    }
  }));
}

// Every rank sends before it receives, and what nobody takes yet holds up nothing else.
TEST(Groups, MessagesOnTheirWay) {
  expect_all_well(run_ranks(3, [](int rank) {
    dist::init();
    const int next = (rank + 1) % 3, before = (rank + 2) % 3;
    for (const int64_t n : {0, 1, 100000}) {
      Tensor first, second;
      std::vector<dist::Message> on_way;
      on_way.push_back(dist::isend(ramp(rank, n, DType::kF32), next));
      on_way.push_back(dist::isend(ramp(rank + 5, n, DType::kF32), next));
      on_way.push_back(dist::ireceive({n}, DType::kF32, before, &first));
      on_way.push_back(dist::ireceive({n}, DType::kF32, before, &second));
      for (const dist::Message& m : on_way) m.wait();
      require(on_way[3].done(), "done");
      require_equal(values(first), values(ramp(before, n, DType::kF32)), "first");
      require_equal(values(second), values(ramp(before + 5, n, DType::kF32)), "second");
    }
    // Rank 0's first message waits for rank 1, which waits for rank 2, which waits for the second.
    const Tensor x = ramp(rank, 1000, DType::kF32);
    if (rank == 0) {
      const dist::Message slow = dist::isend(x, 1), quick = dist::isend(x, 2);
      dist::barrier();
      slow.wait(), quick.wait();
    }
    if (rank == 1) {
      require_equal(values(dist::receive({1000}, DType::kF32, 2)), values(ramp(2, 1000, x.dtype())),
                    "of rank 2");
      Tensor late;
      const dist::Message m = dist::ireceive({1000}, DType::kF32, 0, &late);
      dist::barrier();
      m.wait();
      require_equal(values(late), values(ramp(0, 1000, DType::kF32)), "of rank 0");
    }
    if (rank == 2) {
      dist::receive({1000}, DType::kF32, 0);
      dist::send(x, 1);
      dist::barrier();
    }
    // What is not waited for is sent all the same; what does not come is given up.
    if (rank == 0) dist::isend(x, 1);
    if (rank == 1) require(dist::receive({1000}, DType::kF32, 0).numel() == 1000, "not waited for");
    Tensor never;
    dist::ireceive({3}, DType::kF32, next, &never);
    dist::finalize();
  }));
}

TEST(Groups, ANameMayBeUsedAgain) {
  expect_all_well(run_ranks(3, [](int rank) {
    dist::init();
    for (const std::vector<int>& ranks :
         {std::vector<int>{0, 1}, {0, 1}, {0, 2}, {2, 1, 0}, {0, 1}}) {
      // Only its own ranks know of a group.
      if (std::find(ranks.begin(), ranks.end(), rank) == ranks.end()) continue;
      dist::create_group("some", ranks);
      double sum = 0;
      for (const int r : ranks) sum += r;
      const Tensor x = Tensor::scalar(static_cast<double>(rank));
      require(ops::all_reduce(x, {.group = "some"}).item() == sum, "sum");
      dist::destroy_group("some");
    }
    dist::barrier();
  }));
}

TEST(Groups, OfOneProcessNeedNoPlugin) {
  unsetenv("RANK");
  unsetenv("WORLD_SIZE");
  setenv("RUTILE_PLUGIN_PATH", "/nowhere", 1);
  dist::init();
  EXPECT_EQ(dist::size(), 1);
  EXPECT_EQ(ops::all_gather(Tensor::zeros({2})).dim(0), 2);
  dist::finalize();
  unsetenv("RUTILE_PLUGIN_PATH");
}

TEST(Replicas, BecomeRankZerosAndAreCompared) {
  const auto outcomes = run_ranks(3, [](int rank) {
    dist::init();
    dist::NamedStates states;
    for (int k = 0; k < 4; ++k) {
      const DType t = k == 2 ? DType::kI64 : DType::kF32;
      states.emplace_back(cat("w", k), make_ref<State>(cat("w", k), ramp(rank + k, 5 + k, t)));
    }
    dist::broadcast_states(states);
    for (int k = 0; k < 4; ++k) {
      require_equal(values(states[k].second->concrete()),
                    values(ramp(k, 5 + k, states[k].second->meta().dtype)), cat("w", k));
    }
    dist::check_replicas(states);
    if (rank == 2) states[3].second->write(ramp(9, 8, DType::kF32));
    dist::check_replicas(states);
  });
  for (const auto& o : outcomes) {
    EXPECT_NE(o.error.find("w3 of rank 0 differs from that of rank 2"), std::string::npos)
        << o.error;
  }
}

}  // namespace
}  // namespace rutile
