// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/recurrent.h"

#include <cmath>

#include "rutile/nn/init.h"
#include "rutile/nn/layer_util.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::nn {

namespace {

// Uniform within 1 / sqrt(width), as PyTorch draws all of them.
Tensor first_value(const Shape& shape, int64_t width) {
  const double bound = 1 / std::sqrt(static_cast<double>(width));
  return init::uniform(shape, -bound, bound);
}

struct Weights {
  Tensor w_ih, w_hh, b_ih, b_hh, w_hr;
};

// The inputs of all steps in one product, then the steps. Only gru needs its second bias apart.
ops::RecurrentResult run_sequence(RecurrentKind kind, const Tensor& x, const Weights& w,
                                  const Tensor& h0, const Tensor& c0, const Tensor& lengths,
                                  bool reverse) {
  const bool apart = kind == RecurrentKind::kGru || !w.b_ih.defined();
  const Tensor gx = ops::linear(x, w.w_ih, apart ? w.b_ih : w.b_ih + w.b_hh);
  return ops::recurrent(gx, h0, c0, w.w_hh, apart ? w.b_hh : Tensor(), lengths, {kind, reverse},
                        w.w_hr);
}

}  // namespace

Recurrent::Recurrent(RecurrentKind kind, int64_t in, int64_t width, RecurrentOptions o)
    : kind_(kind), in_(in), width_(width), options_(o) {
  if (in <= 0 || width <= 0 || o.layers <= 0) {
    throw_error(ErrorCode::kValue, cat("a recurrent layer's sizes and layers are positive, got ",
                                       in, ", ", width, ", ", o.layers));
  }
  if (!(o.dropout >= 0 && o.dropout < 1)) {
    throw_error(ErrorCode::kValue, cat("dropout is in [0, 1), got ", o.dropout));
  }
  if (o.proj < 0 || o.proj >= width || (o.proj > 0 && kind != RecurrentKind::kLstm)) {
    throw_error(ErrorCode::kValue,
                cat("proj is for an LSTM, from 1 to below its width ", width, ", got ", o.proj));
  }
  const int64_t ways = o.bidirectional ? 2 : 1, rows = ops::gates_of(kind) * width;
  const int64_t state = state_width();
  for (int64_t k = 0; k < o.layers * ways; ++k) {
    Direction& d = directions_.emplace_back();
    const int64_t layer = k / ways, from = layer == 0 ? in : ways * state;
    const std::string end = cat("_l", layer, k % ways ? "_reverse" : "");
    register_parameter("weight_ih" + end, first_value({rows, from}, width), &d.w_ih);
    register_parameter("weight_hh" + end, first_value({rows, state}, width), &d.w_hh);
    if (o.bias) {
      register_parameter("bias_ih" + end, first_value({rows}, width), &d.b_ih);
      register_parameter("bias_hh" + end, first_value({rows}, width), &d.b_hh);
    }
    if (o.proj > 0) {
      register_parameter("weight_hr" + end, first_value({state, width}, width), &d.w_hr);
    }
  }
}

std::string Recurrent::extra_repr() const {
  std::string text = cat(in_, ", ", width_);
  if (kind_ == RecurrentKind::kRelu) text += ", relu";
  if (options_.layers > 1) text += cat(", layers=", options_.layers);
  if (!options_.bias) text += ", bias=false";
  if (options_.batch_first) text += ", batch_first=true";
  if (options_.dropout > 0) text += cat(", dropout=", options_.dropout);
  if (options_.bidirectional) text += ", bidirectional=true";
  if (options_.proj > 0) text += cat(", proj=", options_.proj);
  return text;
}

RecurrentOutput Recurrent::run(const Tensor& x, const RecurrentStart& start) {
  const std::vector<Tensor> out = call({x, start.h, start.c, start.lengths});
  return {out[0], out[1], out.size() > 2 ? out[2] : Tensor()};
}

Tensor Recurrent::construct(const Tensor& x) { return sequence(x, {}).y; }

std::vector<Tensor> Recurrent::construct_many(const std::vector<Tensor>& in) {
  if (in.size() == 1) return {construct(in[0])};
  if (in.size() > 4)
    refuse(type_name(), cat("takes x, h, c and lengths, got ", in.size(), " inputs"));
  auto given = [&](size_t i) { return i < in.size() ? in[i] : Tensor(); };
  const RecurrentOutput r = sequence(in[0], {given(1), given(2), given(3)});
  std::vector<Tensor> out{r.y, r.h};
  if (r.c.defined()) out.push_back(r.c);
  return out;
}

void Recurrent::check(const Tensor& x, const RecurrentStart& s) const {
  if (x.rank() != 3 || x.dim(2) != in_) {
    refuse(type_name(), cat("expects x [t, n, ", in_, "]",
                            options_.batch_first ? " after the exchange of batch_first" : "",
                            ", got ", x.meta()));
  }
  const auto states = static_cast<int64_t>(directions_.size());
  for (const auto& [name, t] : {std::pair("h", &s.h), std::pair("c", &s.c)}) {
    const Shape state{states, x.dim(1), t == &s.h ? state_width() : width_};
    if (t->defined() && !(t->shape() == state)) {
      refuse(type_name(),
             cat(name, " expects ", state, " (layers and directions, n, width), got ", t->meta()));
    }
  }
  if (s.c.defined() && kind_ != RecurrentKind::kLstm) refuse(type_name(), "has no c");
  if (s.lengths.defined() && !(s.lengths.shape() == Shape{x.dim(1)})) {
    refuse(type_name(), cat("lengths expects [", x.dim(1), "], got ", s.lengths.meta()));
  }
}

RecurrentOutput Recurrent::direction(const Tensor& x, const Direction& d, const Tensor& h0,
                                     const Tensor& c0, const Tensor& lengths, bool reverse) const {
  const Weights w{d.w_ih->read(), d.w_hh->read(), value_or_none(d.b_ih), value_or_none(d.b_hh),
                  value_or_none(d.w_hr)};
  const ops::RecurrentResult r = run_sequence(kind_, x, w, h0, c0, lengths, reverse);
  return {r.y, r.h, r.c};
}

RecurrentOutput Recurrent::sequence(Tensor x, const RecurrentStart& given) {
  RecurrentStart start = given;
  const bool single = x.rank() == 2;
  if (single) {
    x = ops::expand_dims(x, 1);
    for (Tensor* t : {&start.h, &start.c}) {
      if (t->defined() && t->rank() == 2) *t = ops::expand_dims(*t, 1);
    }
  } else if (options_.batch_first && x.rank() == 3) {
    x = ops::contiguous(ops::permute(x, {1, 0, 2}));
  }
  check(x, start);
  const int64_t ways = options_.bidirectional ? 2 : 1, steps = x.dim(0);
  const DType dtype = directions_[0].w_hh->meta().dtype;
  const bool lstm = kind_ == RecurrentKind::kLstm;
  const int64_t n = x.dim(1);
  Tensor zero_h, zero_c, alive;
  if (!start.h.defined()) zero_h = ops::zeros({n, state_width()}, dtype);
  if (lstm && !start.c.defined()) zero_c = ops::zeros({n, width_}, dtype);
  if (start.lengths.defined()) {
    start.lengths = ops::cast(start.lengths, DType::kI64);
    const Tensor t = ops::reshape(ops::arange(0, steps, 1, DType::kI64), {steps, 1, 1});
    alive = ops::less(t, ops::reshape(start.lengths, {1, n, 1}));
  }
  auto first = [&](const Tensor& all, const Tensor& zero, size_t k) {
    return all.defined() ? ops::select(all, 0, static_cast<int64_t>(k)) : zero;
  };
  std::vector<Tensor> hs, cs;
  for (size_t k = 0; k < directions_.size();) {
    if (k > 0 && training() && options_.dropout > 0) x = ops::dropout(x, {.p = options_.dropout});
    std::vector<Tensor> ys;
    for (int64_t way = 0; way < ways; ++way, ++k) {
      const RecurrentOutput r =
          direction(x, directions_[k], first(start.h, zero_h, k),
                    lstm ? first(start.c, zero_c, k) : Tensor(), start.lengths, way > 0);
      ys.push_back(alive.defined() ? ops::where(alive, r.y, ops::zeros_like(r.y)) : r.y);
      hs.push_back(r.h);
      cs.push_back(r.c);
    }
    x = ways == 1 ? ys[0] : ops::concat(ys, 2);
  }
  RecurrentOutput out{x, ops::stack(hs), lstm ? ops::stack(cs) : Tensor()};
  if (single) {
    for (Tensor* t : {&out.y, &out.h, &out.c}) {
      if (t->defined()) *t = ops::squeeze(*t, {1});
    }
  } else if (options_.batch_first) {
    out.y = ops::permute(out.y, {1, 0, 2});
  }
  return out;
}

// ---- One step

RecurrentCell::RecurrentCell(RecurrentKind kind, int64_t in, int64_t width, bool bias)
    : kind_(kind), in_(in), width_(width) {
  if (in <= 0 || width <= 0) {
    throw_error(ErrorCode::kValue,
                cat("a recurrent cell's sizes are positive, got ", in, ", ", width));
  }
  const int64_t rows = ops::gates_of(kind) * width;
  register_parameter("weight_ih", first_value({rows, in}, width), &weight_ih);
  register_parameter("weight_hh", first_value({rows, width}, width), &weight_hh);
  if (!bias) return;
  register_parameter("bias_ih", first_value({rows}, width), &bias_ih);
  register_parameter("bias_hh", first_value({rows}, width), &bias_hh);
}

std::string RecurrentCell::extra_repr() const {
  return cat(in_, ", ", width_, kind_ == RecurrentKind::kRelu ? ", relu" : "",
             bias_ih ? "" : ", bias=false");
}

Tensor RecurrentCell::construct(const Tensor& x) { return construct_many({x, Tensor()})[0]; }
Tensor RecurrentCell::construct_pair(const Tensor& x, const Tensor& h) {
  return construct_many({x, h})[0];
}

std::vector<Tensor> RecurrentCell::construct_many(const std::vector<Tensor>& in) {
  if (in.size() == 1) return {construct(in[0])};
  const Tensor& x = in[0];
  if (x.rank() != 2 || x.dim(1) != in_) {
    refuse(type_name(), cat("expects x [n, ", in_, "], got ", x.meta()));
  }
  const Shape state{x.dim(0), width_};
  auto start = [&](size_t i) {
    if (i >= in.size() || !in[i].defined()) return ops::zeros(state, weight_hh->meta().dtype);
    if (!(in[i].shape() == state)) {
      refuse(type_name(), cat(i == 1 ? "h" : "c", " expects ", state, ", got ", in[i].meta()));
    }
    return in[i];
  };
  const bool lstm = kind_ == RecurrentKind::kLstm;
  const Weights w{weight_ih->read(), weight_hh->read(), value_or_none(bias_ih),
                  value_or_none(bias_hh), Tensor()};
  const ops::RecurrentResult r = run_sequence(kind_, ops::expand_dims(x, 0), w, start(1),
                                              lstm ? start(2) : Tensor(), {}, false);
  if (lstm && in.size() > 2) return {r.h, r.c};
  return {r.h};
}

}  // namespace rutile::nn
