// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/body.h"

#include <algorithm>

#include "rutile/ops/view.h"

namespace rutile::ops {

namespace {

size_t index_of(const std::vector<Tensor>& all, const Tensor& t) {
  size_t i = 0;
  while (i < all.size() && all[i].impl() != t.impl()) ++i;
  return i;
}

size_t index_of(const std::vector<TracedBody::StateUse>& all, const Ref<State>& s) {
  size_t i = 0;
  while (i < all.size() && !(all[i].state == s)) ++i;
  return i;
}

}  // namespace

void Outside::add(const TracedBody& body) {
  for (const Tensor& t : body.captured) {
    if (index_of(captured, t) == captured.size()) captured.push_back(t);
  }
  for (const TracedBody::StateUse& use : body.states) {
    const size_t i = index_of(states, use.state);
    if (i == states.size()) {
      states.push_back(use);
    } else {
      states[i].written = states[i].written || use.written;
    }
  }
}

std::vector<Tensor> run_body(const TracedBody& body, const Outside& outside, Inside* inside,
                             std::span<const Tensor> operands) {
  std::vector<Tensor> all(operands.begin(), operands.end());
  for (const Tensor& t : body.captured) {
    all.push_back(inside->captured[index_of(outside.captured, t)]);
  }
  for (const TracedBody::StateUse& use : body.states) {
    all.push_back(inside->states[index_of(outside.states, use.state)]);
  }
  std::vector<Tensor> results = body.body->function(all);
  const auto written = std::count_if(body.states.begin(), body.states.end(),
                                     [](const auto& use) { return use.written; });
  size_t next = results.size() - static_cast<size_t>(written);
  for (const TracedBody::StateUse& use : body.states) {
    if (use.written) inside->states[index_of(outside.states, use.state)] = results[next++];
  }
  results.resize(results.size() - static_cast<size_t>(written));
  return results;
}

Ref<Region> closed_body(const Region::Function& fn, std::span<const TensorMeta> operands) {
  TracedBody traced = call_modes().trace->trace_body(fn, operands);
  RUTILE_CHECK(traced.captured.empty() && traced.states.empty(),
               "a body's operands are all that it reads");
  return traced.body;
}

Ref<Region> closed_body(const Region::Function& fn, std::span<const Tensor> operands) {
  std::vector<TensorMeta> metas;
  for (const Tensor& t : operands) metas.push_back(t.meta());
  return closed_body(fn, metas);
}

TensorList results_of(std::vector<Tensor> results, std::span<const Tensor> operands) {
  TensorList all;
  for (Tensor& r : results) {
    const auto same = [&](const Tensor& t) { return t.impl() == r.impl(); };
    const bool shared = std::any_of(operands.begin(), operands.end(), same) ||
                        std::any_of(all.begin(), all.end(), same);
    all.push_back(shared ? reshape(r, r.shape()) : std::move(r));
  }
  return all;
}

Tensor plain(const Tensor& t) { return t.meta().is_contiguous() ? t : contiguous(t); }

std::vector<Tensor> plain(const std::vector<Tensor>& ts) {
  std::vector<Tensor> all;
  for (const Tensor& t : ts) all.push_back(plain(t));
  return all;
}

TensorMeta plain_meta(const TensorMeta& m) { return TensorMeta(m.shape, m.dtype, m.device); }

void check_predicate(const char* op, const TensorMeta& pred) {
  if (pred.dtype == DType::kBool && pred.numel() == 1) return;
  throw_error(ErrorCode::kValue, cat("[", op, "] the predicate is one bool, got ", pred));
}

bool predicate(const char* op, const Tensor& pred) {
  check_predicate(op, pred.meta());
  return pred.item<bool>();
}

void check_carries(const char* op, std::span<const Tensor> carries,
                   std::span<const Tensor> results) {
  if (carries.size() != results.size()) {
    throw_error(ErrorCode::kValue, cat("[", op, "] the body gets ", carries.size(),
                                       " carries and returns ", results.size()));
  }
  for (size_t i = 0; i < carries.size(); ++i) {
    const TensorMeta &in = carries[i].meta(), &out = results[i].meta();
    if (in.shape == out.shape && in.dtype == out.dtype) continue;
    throw_error(ErrorCode::kValue, cat("[", op, "] carry ", i, " enters the body as ", in,
                                       " and leaves it as ", out, " (RUTILE-E0105)"));
  }
}

}  // namespace rutile::ops
