// SPDX-License-Identifier: Apache-2.0
// Rows of the random ops; the constants are the CPU's.
#include "rutile/kernels/cuda/random.h"

#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/random_params.h"
#include "rutile/ops/random.h"

namespace rutile::cuda {
namespace {

std::unique_ptr<KernelPlan<RandomArgs>> random_plan(const CallMeta& c, RandomKind kind) {
  auto p = kernel_plan<RandomArgs>(launch_random, [](RandomArgs* a, const KernelArgs& k) {
    a->key = static_cast<const uint64_t*>(k.in[0]);
    a->out = k.out[0];
  });
  p->args.kind = kind;
  p->args.type = c.out().dtype;
  p->args.n = c.out().numel();
  p->args.bits = kernels::unit_bits(c.out().dtype);
  return p;
}

Status prepare_uniform(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::RandomUniformAttrs>();
  auto p = random_plan(c, RandomKind::kUniform);
  p->args.a = attrs.low;
  p->args.b = attrs.high - attrs.low;
  p->args.hi = kernels::largest_below(attrs.high, attrs.dtype);
  *plan = std::move(p);
  return Status();
}

Status prepare_normal(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::RandomNormalAttrs>();
  auto p = random_plan(c, RandomKind::kNormal);
  p->args.a = attrs.mean;
  p->args.b = attrs.std;
  *plan = std::move(p);
  return Status();
}

Status prepare_truncated(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::TruncatedNormalAttrs>();
  auto p = random_plan(c, RandomKind::kTruncated);
  p->args.a = attrs.mean;
  p->args.b = attrs.std;
  p->args.lo = 2 * kernels::normal_cdf(attrs.lower) - 1;
  p->args.hi = 2 * kernels::normal_cdf(attrs.upper) - 1;
  p->args.from = attrs.lower;
  p->args.to = attrs.upper;
  *plan = std::move(p);
  return Status();
}

Status prepare_randint(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  const auto& attrs = c.as<ops::RandomRandintAttrs>();
  auto p = random_plan(c, RandomKind::kInteger);
  p->args.low = attrs.low;
  p->args.range = static_cast<uint64_t>(attrs.high) - static_cast<uint64_t>(attrs.low);
  *plan = std::move(p);
  return Status();
}

Status prepare_bernoulli(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = random_plan(c, RandomKind::kBernoulli);
  p->args.threshold = kernels::hit_threshold(c.as<ops::RandomBernoulliAttrs>().p);
  *plan = std::move(p);
  return Status();
}

Status prepare_dropout(const CallMeta& c, std::unique_ptr<Plan>* plan) {
  auto p = kernel_plan<DropoutArgs>(launch_dropout, [](DropoutArgs* a, const KernelArgs& k) {
    a->key = static_cast<const uint64_t*>(k.in[0]);
    a->x = k.in[1];
    a->y = k.out[0];
    a->mask = k.out[1];
  });
  const double drop = c.as<ops::DropoutAttrs>().p;
  const TensorMeta &x = c.in(1), &y = c.out();
  DropoutArgs& a = p->args;
  a.type = x.dtype;
  a.n = x.numel();
  const Strides strides[2] = {y.strides, x.strides};
  a.index = make_indexer<2>(x.shape, strides);
  a.linear = x.is_contiguous() && y.is_contiguous();
  a.threshold = kernels::hit_threshold(drop);
  a.scale = drop < 1 ? 1 / (1 - drop) : 0;
  *plan = std::move(p);
  return Status();
}

bool supports_dropout(const CallMeta& c, Reason* reason) {
  if (!only_real(c, reason)) return false;
  if (same_placement(c.out(0), c.out(1))) return true;
  reason->text = "y and mask lie differently";
  return false;
}

Status prepare_next_key(const CallMeta&, std::unique_ptr<Plan>* plan) {
  *plan = kernel_plan<NextKeyArgs>(launch_next_key, [](NextKeyArgs* a, const KernelArgs& k) {
    a->in = static_cast<const uint64_t*>(k.in[0]);
    a->out = static_cast<uint64_t*>(k.out[0]);
    a->key = static_cast<uint64_t*>(k.out[1]);
  });
  return Status();
}

}  // namespace

void register_random() {
  add_row(ops::kNextKey, "philox", prepare_next_key);
  add_row(ops::kRandomUniform, "philox", prepare_uniform);
  add_row(ops::kRandomNormal, "philox", prepare_normal);
  add_row(ops::kTruncatedNormal, "philox", prepare_truncated);
  add_row(ops::kRandomRandint, "philox", prepare_randint);
  add_row(ops::kRandomBernoulli, "philox", prepare_bernoulli);
  add_row(ops::kDropout, "philox", prepare_dropout, supports_dropout);
}

}  // namespace rutile::cuda
