// SPDX-License-Identifier: Apache-2.0
// Recurrent layers. Names of parameters, their order of gates and initial values are PyTorch's
// (ops/recurrent.h has the formulas).
//
//   auto lstm = nn::make<nn::LSTM>(32, 64, nn::RecurrentOptions{.layers = 2});
//   Tensor steps = ops::zeros({5, 8, 32});             // [t, n, in]
//   nn::RecurrentOutput r = lstm->run(steps);          // r.y [5, 8, 64], r.h and r.c [2, 8, 64]
//   Tensor y = lstm(steps);                            // r.y alone
#pragma once

#include <deque>

#include "rutile/nn/cell.h"
#include "rutile/ops/recurrent.h"

namespace rutile::nn {

struct RecurrentOptions {
  int64_t layers = 1;
  bool bias = true;
  bool batch_first = false;    // x and y are [n, t, ...]
  double dropout = 0;          // of each layer's output but the last one's, in training
  bool bidirectional = false;  // y has both directions side by side
  int64_t proj = 0;            // of an LSTM: h is projected to so many numbers, below width
};

// What a sequence begins with; what is left out is zero. h and c: [layers * directions, n, h]; with
// a projection h [.., proj].
struct RecurrentStart {
  Tensor h = {}, c = {};
  Tensor lengths = {};  // i64 [n]: sequence i has that many steps; y is 0 behind them
};
struct RecurrentOutput {
  Tensor y;     // h of the last layer at each step
  Tensor h, c;  // of each layer and direction where its sequences end; c of an LSTM alone
};

// Base of the three. x [t, n, in] (batch_first: [n, t, in]); one sequence may come without n.
class RUTILE_API Recurrent : public Cell {
 public:
  using Cell::operator();
  RecurrentOutput run(const Tensor& x, const RecurrentStart& start = {});
  std::string extra_repr() const override;
  int64_t width() const { return width_; }

 protected:
  Recurrent(RecurrentKind kind, int64_t in, int64_t width, RecurrentOptions options);
  // y of zeros as start.
  Tensor construct(const Tensor& x) override;
  // (x, h, c?, lengths?) with empty tensors for what is left out: y, h, and c of an LSTM.
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;

 private:
  struct Direction {
    ParameterPtr w_ih, w_hh, b_ih, b_hh, w_hr;
  };
  RecurrentOutput sequence(Tensor x, const RecurrentStart& start);
  RecurrentOutput direction(const Tensor& x, const Direction& d, const Tensor& h0, const Tensor& c0,
                            const Tensor& lengths, bool reverse) const;
  void check(const Tensor& x, const RecurrentStart& start) const;
  int64_t state_width() const { return options_.proj > 0 ? options_.proj : width_; }

  RecurrentKind kind_;
  int64_t in_, width_;
  RecurrentOptions options_;
  std::deque<Direction> directions_;  // by layer, forwards first
};

enum class RnnNonlinearity : uint8_t { kTanh, kRelu };
class RUTILE_API RNN : public Recurrent {
 public:
  RNN(int64_t in, int64_t width, RecurrentOptions options = {},
      RnnNonlinearity f = RnnNonlinearity::kTanh)
      : Recurrent(f == RnnNonlinearity::kTanh ? RecurrentKind::kTanh : RecurrentKind::kRelu, in,
                  width, options) {}
  std::string type_name() const override { return "RNN"; }
};
class RUTILE_API LSTM : public Recurrent {
 public:
  LSTM(int64_t in, int64_t width, RecurrentOptions options = {})
      : Recurrent(RecurrentKind::kLstm, in, width, options) {}
  std::string type_name() const override { return "LSTM"; }
};
class RUTILE_API GRU : public Recurrent {
 public:
  GRU(int64_t in, int64_t width, RecurrentOptions options = {})
      : Recurrent(RecurrentKind::kGru, in, width, options) {}
  std::string type_name() const override { return "GRU"; }
};

// One step: x [n, in], h and c [n, width] (zero where left out).
class RUTILE_API RecurrentCell : public Cell {
 public:
  std::string extra_repr() const override;
  ParameterPtr weight_ih, weight_hh, bias_ih, bias_hh;  // biases null without

 protected:
  RecurrentCell(RecurrentKind kind, int64_t in, int64_t width, bool bias);
  // The new h; of an LSTMCell call({x, h, c}) gives h and c.
  Tensor construct(const Tensor& x) override;
  Tensor construct_pair(const Tensor& x, const Tensor& h) override;
  std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs) override;

 private:
  RecurrentKind kind_;
  int64_t in_, width_;
};
class RUTILE_API RNNCell : public RecurrentCell {
 public:
  RNNCell(int64_t in, int64_t width, bool bias = true, RnnNonlinearity f = RnnNonlinearity::kTanh)
      : RecurrentCell(f == RnnNonlinearity::kTanh ? RecurrentKind::kTanh : RecurrentKind::kRelu, in,
                      width, bias) {}
  std::string type_name() const override { return "RNNCell"; }
};
class RUTILE_API LSTMCell : public RecurrentCell {
 public:
  LSTMCell(int64_t in, int64_t width, bool bias = true)
      : RecurrentCell(RecurrentKind::kLstm, in, width, bias) {}
  std::string type_name() const override { return "LSTMCell"; }
};
class RUTILE_API GRUCell : public RecurrentCell {
 public:
  GRUCell(int64_t in, int64_t width, bool bias = true)
      : RecurrentCell(RecurrentKind::kGru, in, width, bias) {}
  std::string type_name() const override { return "GRUCell"; }
};

}  // namespace rutile::nn
