// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/recurrent.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

constexpr RecurrentKind kKinds[] = {RecurrentKind::kTanh, RecurrentKind::kRelu,
                                    RecurrentKind::kLstm, RecurrentKind::kGru};

// Widths around the kernel's blocks, rows around its groups.
struct Size {
  int64_t t, n, h;
};
constexpr Size kSizes[] = {{3, 2, 5}, {4, 7, 16}, {2, 13, 37}, {1, 1, 1}, {2, 3, 80}};

RUTILE_SAMPLES(recurrent) {
  for (const RecurrentKind kind : kKinds) {
    const int64_t gates = ops::gates_of(kind);
    const bool lstm = kind == RecurrentKind::kLstm;
    for (const auto& [t, n, h] : kSizes) {
      const int64_t all = gates * h;
      const Input c0 = lstm ? in({n, h}) : none();
      const double scale = 1.5 / static_cast<double>(h);
      const Input weight = in({all, h}).uniform(-scale, scale);
      // Away from the kink of relu.
      const bool relu = kind == RecurrentKind::kRelu;
      const Input gx = relu ? in({t, n, all}).values({6, -6, 5, -5.5, 7}) : in({t, n, all});
      s.add({gx, in({n, h}), weight, c0, in({all})}, ops::RecurrentAttrs{kind, false})
          .dtypes({DType::kF32, DType::kF64});
      s.add({gx, in({n, h}), weight, c0, none(), index_in({n}, 0, t + 2)},
            ops::RecurrentAttrs{kind, h != 5})
          .dtypes({DType::kF32, DType::kF64});
    }
    s.add({in({0, 2, gates * 3}), in({2, 3}), in({gates * 3, 3}), lstm ? in({2, 3}) : none()},
          ops::RecurrentAttrs{kind, false});
    s.add({in({2, 0, gates * 3}), in({0, 3}), in({gates * 3, 3}), lstm ? in({0, 3}) : none()},
          ops::RecurrentAttrs{kind, true});
  }
  const ops::RecurrentAttrs lstm{RecurrentKind::kLstm, false}, gru{RecurrentKind::kGru, false};
  for (const bool reverse : {false, true}) {  // with a projection
    const ops::RecurrentAttrs a{RecurrentKind::kLstm, reverse};
    const Input gx = in({4, 3, 20}), h0 = in({3, 2}), c0 = in({3, 5}), w_p = in({2, 5});
    const Input weight = in({20, 2}).uniform(-0.5, 0.5);
    s.add({gx, h0, weight, c0, in({20}), none(), w_p}, a).dtypes({DType::kF32, DType::kF64});
    s.add({gx, h0, weight, c0, none(), index_in({3}, 0, 5), w_p}, a);
    s.add({in({0, 3, 20}), h0, weight, c0, none(), none(), w_p}, a).name("no steps");
  }
  s.error({in({2, 3, 20}), in({3, 5}), in({20, 5}), in({3, 5}), none(), none(), in({2, 5})}, lstm,
          ErrorCode::kValue, "projection expects f32[5,5]");
  s.error({in({2, 3, 6}), in({3, 2}), in({6, 2}), none(), none(), none(), in({2, 2})}, gru,
          ErrorCode::kValue, "only lstm takes a projection");
  s.error({in({2, 3, 8}), in({3, 2}), in({8, 2})}, lstm, ErrorCode::kValue, "lstm needs c0");
  s.error({in({2, 3, 6}), in({3, 2}), in({6, 2}), in({3, 2})}, gru, ErrorCode::kValue,
          "only lstm takes c0");
  s.error({in({2, 3, 8}), in({3, 2}), in({6, 2})}, gru, ErrorCode::kValue, "gx expects [t, 3, 6]");
  s.error({in({2, 3, 6}), in({3, 2}), in({6, 3})}, gru, ErrorCode::kValue,
          "weight expects f32[6,2]");
  s.error({in({2, 3}), in({3, 2}), in({6, 3})}, gru, ErrorCode::kValue, "expects gx [t, n, gates");
}

RUTILE_SAMPLES(recurrent_grad) {
  for (const RecurrentKind kind : kKinds) {
    const int64_t gates = ops::gates_of(kind);
    const bool lstm = kind == RecurrentKind::kLstm, gated = gates > 1;
    for (const auto& [t, n, h] : kSizes) {
      const int64_t all = gates * h;
      const Input state = in({n, h});
      const double scale = 1.5 / static_cast<double>(h);
      const Input weight = in({all, h}).uniform(-scale, scale);
      const Input y = in({t, n, h}).away_from({0}), some = in(gated ? Shape{t, n, all} : Shape{0});
      const Input cells = in(gated ? Shape{t, n, h} : Shape{0});
      s.add({y, some.uniform(0.1, 0.9), cells, state, weight, lstm ? state : none(),
             index_in({n}, 0, t + 2), in({t, n, h}), state, lstm ? state : none()},
            ops::RecurrentAttrs{kind, h == 5})
          .dtypes({DType::kF32, DType::kF64});
      s.add({y, some.uniform(0.1, 0.9), cells, state, weight, lstm ? state : none(), none(),
             h == 16 ? none() : in({t, n, h}), h == 16 ? state : none()},
            ops::RecurrentAttrs{kind, h == 37})
          .dtypes({DType::kF32, DType::kF64});
    }
  }
  s.error({in({2, 3, 2}), in({0}), in({0}), in({3, 2}), in({2, 3})},
          ops::RecurrentAttrs{RecurrentKind::kTanh, false}, ErrorCode::kValue,
          "weight expects f32[2,2]");
}

}  // namespace
}  // namespace rutile::samples
