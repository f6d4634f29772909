// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/body.h"
#include "rutile/ops/control.h"
#include "rutile/ops/index.h"
#include "rutile/ops/integer_gradients.h"

namespace rutile::ops {

namespace {

Status infer_cond(const CallMeta& call, TensorMeta* out) {
  const auto& a = call.as<CondAttrs>();
  const TensorMeta& pred = call.in(0);
  if (pred.dtype != DType::kBool || pred.numel() != 1) {
    return value_error(cat("the predicate is one bool, got ", pred));
  }
  for (const Ref<Region>& body : {a.then_body, a.else_body}) {
    const size_t given = static_cast<size_t>(call.num_inputs() - 1);
    if (body->operands.size() != given) {
      return value_error(cat("a body takes ", body->operands.size(), " operands, got ", given));
    }
    for (size_t i = 0; i < given; ++i) {
      const TensorMeta &want = body->operands[i], &got = call.in(static_cast<int>(i) + 1);
      if (want.shape == got.shape && want.dtype == got.dtype) continue;
      return value_error(cat("a body takes operand ", i, " as ", want, ", got ", got));
    }
    if (body->results.size() != a.then_body->results.size()) {
      return value_error("its bodies give different numbers of results");
    }
  }
  for (size_t i = 0; i < a.then_body->results.size(); ++i) {
    const TensorMeta &y = a.then_body->results[i], &other = a.else_body->results[i];
    if (!(y.shape == other.shape) || y.dtype != other.dtype) {
      return value_error(cat("result ", i, " is ", y, " where the predicate holds, ", other,
                             " where it does not (RUTILE-E0106)"));
    }
    out[i] = plain_meta(y);
  }
  return Status();
}

int count_cond(const CallMeta& call) {
  const auto& a = call.as<CondAttrs>();
  return a.then_body && a.else_body ? static_cast<int>(a.then_body->results.size()) : -1;
}

TensorList compose_cond(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const CondAttrs*>(attrs);
  const Ref<Region>& body = predicate("cond", in[0]) ? a.then_body : a.else_body;
  return results_of(body->function(std::vector<Tensor>(in.begin() + 1, in.end())), in);
}

// The predicate chooses again, between the bodies' gradients.
GradResult grad_cond(GradCtx& ctx) {
  const CondAttrs a = ctx.attrs<CondAttrs>();
  const VjpFn vjp = ctx.vjp();
  std::vector<Tensor> operands, dys;
  std::vector<size_t> wanted;
  for (int i = 1; i < ctx.num_inputs(); ++i) {
    if (ctx.needs(i) && has_gradient(ctx.in_meta(i).dtype)) wanted.push_back(operands.size());
    operands.push_back(ctx.in(i));
  }
  for (int i = 0; i < ctx.num_outputs(); ++i) dys.push_back(ctx.grad(i));
  auto gradient_of = [&](const Ref<Region>& body) {
    return [&, body](const std::vector<Tensor>& xs) {
      const std::vector<Tensor> g = vjp(body->function, xs, dys);
      std::vector<Tensor> dx;
      for (size_t i : wanted) dx.push_back(g[i].defined() ? g[i] : zeros_like(xs[i]));
      return dx;
    };
  };
  const std::vector<Tensor> dx =
      cond(ctx.in(0), gradient_of(a.then_body), gradient_of(a.else_body), operands);
  GradResult result;
  result.resize(ctx.num_inputs());
  for (size_t k = 0; k < wanted.size(); ++k) result[static_cast<int>(wanted[k]) + 1] = dx[k];
  return result;
}

void check_branches(const TracedBody (&bodies)[2]) {
  size_t n[2];
  for (int b = 0; b < 2; ++b) {
    n[b] = bodies[b].body->results.size();
    for (const TracedBody::StateUse& use : bodies[b].states) n[b] -= use.written;
  }
  if (n[0] != n[1]) {
    throw_error(ErrorCode::kValue,
                cat("[cond] gives ", n[0], " results where the predicate holds, ", n[1],
                    " where it does not (RUTILE-E0106)"));
  }
  for (size_t i = 0; i < n[0]; ++i) {
    const TensorMeta &y = bodies[0].body->results[i], &other = bodies[1].body->results[i];
    if (y.shape == other.shape && y.dtype == other.dtype) continue;
    throw_error(ErrorCode::kValue,
                cat("[cond] result ", i, " is ", y, " where the predicate holds, ", other,
                    " where it does not (RUTILE-E0106)"));
  }
}

std::vector<Tensor> traced_cond(Arg pred, const Body (&fns)[2], const std::vector<Tensor>& given) {
  TraceHook& trace = *call_modes().trace;
  std::vector<Tensor> operands = plain(given);
  std::vector<TensorMeta> metas;
  for (const Tensor& t : operands) metas.push_back(t.meta());
  const TracedBody bodies[2] = {trace.trace_body(fns[0], metas), trace.trace_body(fns[1], metas)};
  check_branches(bodies);
  Outside outside;
  for (const TracedBody& b : bodies) outside.add(b);
  const size_t n = operands.size(), captured = outside.captured.size();
  for (const Tensor& t : outside.captured) operands.push_back(plain(t));
  for (const auto& use : outside.states) operands.push_back(plain(use.state->read()));
  auto whole = [&](const TracedBody& body) {
    return closed_body(
        [&](const std::vector<Tensor>& xs) {
          const auto at = [&](size_t i) { return xs.begin() + static_cast<int64_t>(i); };
          Inside inside{{at(n), at(n + captured)}, {at(n + captured), xs.end()}};
          std::vector<Tensor> results = run_body(body, outside, &inside, std::span(xs).first(n));
          for (size_t i = 0; i < outside.states.size(); ++i) {
            if (outside.states[i].written) results.push_back(inside.states[i]);
          }
          return results;
        },
        operands);
  };
  const CondAttrs attrs{whole(bodies[0]), whole(bodies[1])};
  operands.insert(operands.begin(), pred.tensor);
  const TensorList out = call_n(kCond, &attrs, operands, pred.where);
  std::vector<Tensor> results(out.begin(), out.end());
  size_t next = results.size();
  for (const auto& use : outside.states) next -= use.written;
  const size_t count = next;
  for (const auto& use : outside.states) {
    if (use.written) use.state->write(results[next++]);
  }
  results.resize(count);
  return results;
}

}  // namespace

constinit const OpDef kCond = define({
    .name = "cond",
    .inputs = {"pred", "xs*"},
    .outputs = {"ys*"},
    .attrs = attrs_of<CondAttrs>(),
    .infer = infer_cond,
    .flops = [](const CallMeta&) { return 0.0; },  // graph::cost_of adds the bodies
    .count_outputs = count_cond,
    .grad = grad_cond,
    .saves = {"pred", "xs"},
    .compose = compose_cond,
    .runs_bodies = true,
    .doc = "Runs one of two bodies.",
});

std::vector<Tensor> cond(Arg pred, const Body& then_body, const Body& else_body,
                         const std::vector<Tensor>& operands) {
  check_predicate("cond", pred.tensor.meta());
  if (call_modes().trace) return traced_cond(pred, {then_body, else_body}, operands);
  return predicate("cond", pred.tensor) ? then_body(operands) : else_body(operands);
}

}  // namespace rutile::ops
