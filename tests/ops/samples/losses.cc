// SPDX-License-Identifier: Apache-2.0
// Losses that are compositions. Values keep away from their kinks.
#include "rutile/ops/loss.h"

#include <limits>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace ops;

const Reduction kReductions[] = {Reduction::kNone, Reduction::kMean, Reduction::kSum};
const char kNaN[] = "the mean of nothing is NaN";

Input probabilities(const Shape& s) { return in(s).uniform(0.05, 0.95); }
Input signs(const Shape& s) { return in(s).values({1, -1, -1, 1, 1}).constant(); }
Input below(const Shape& s) { return in(s).distinct(-2, -0.5); }
Input above(const Shape& s) { return in(s).distinct(0.5, 2); }

// Placements, sizes and dtypes for a loss of x and a target that two fills describe.
template <class A>
void pairs(SampleList& s, const Fill& x, const Fill& t, A attrs) {
  for (const Reduction r : kReductions) {
    attrs.reduction = r;
    s.add({in({4, 5}).filled(x), in({4, 5}).filled(t)}, attrs).dtypes(kFloats);
    s.add({in({2, 37, 3}).filled(x), in({2, 37, 3}).filled(t).constant()}, attrs);
    s.add({in({2, 6, 3, 4}).filled(x).channels_last(), in({2, 6, 3, 4}).filled(t)}, attrs)
        .dtypes({DType::kF32, DType::kBF16});
    s.add({in({5, 6}).filled(x).gaps(), in({5, 6}).filled(t).transposed()}, attrs)
        .dtypes({DType::kF32, DType::kBF16});
  }
  s.add({in({}).filled(x), in({}).filled(t)}, attrs);
  s.add({in({3}).filled(x).as(DType::kBF16), in({3}).filled(t).as(DType::kF32)}, attrs)
      .name("mixed");
  s.add({in({0, 3}).filled(x), in({0, 3}).filled(t)}, attrs).name("empty");
  attrs.reduction = Reduction::kMean;
  s.add({in({0, 3}).filled(x), in({0, 3}).filled(t)}, attrs).name("empty").no_gradient(kNaN);
  s.error({in({3}), in({4})}, attrs, ErrorCode::kValue, "target expects shape [3]");
  s.error({in({3}).as(DType::kI32), in({3}).as(DType::kI32)}, attrs, ErrorCode::kType, "floating");
}

RUTILE_SAMPLES(mse_loss) { pairs(s, {}, {}, LossAttrs{}); }
RUTILE_SAMPLES(l1_loss) {
  pairs(s, distinct(-2, 0), distinct(0.1, 2), LossAttrs{});
  for (const Reduction r : {Reduction::kMean, Reduction::kSum, Reduction::kNone}) {
    s.add({in({3, 5}), in({3, 5})}, LossAttrs{r}).dtypes(kComplexes);
  }
  s.error({in({3}).as(DType::kC64), in({4}).as(DType::kC64)}, LossAttrs{}, ErrorCode::kValue,
          "target expects shape [3]");
}

RUTILE_SAMPLES(smooth_l1_loss) {
  pairs(s, distinct(-1, 0), distinct(0.1, 0.4), SmoothL1LossAttrs{.beta = 3});
  pairs(s, distinct(-3, -2), distinct(0.1, 0.4), SmoothL1LossAttrs{});
  pairs(s, distinct(-3, -2), distinct(0.1, 0.4), SmoothL1LossAttrs{.beta = 0});
  s.error({in({3}), in({3})}, SmoothL1LossAttrs{.beta = -1}, ErrorCode::kValue, "beta expects");
}

RUTILE_SAMPLES(huber_loss) {
  pairs(s, distinct(-1, 0), distinct(0.1, 0.4), HuberLossAttrs{.delta = 3});
  pairs(s, distinct(-3, -2), distinct(0.1, 0.4), HuberLossAttrs{});
  s.error({in({3}), in({3})}, HuberLossAttrs{.delta = 0}, ErrorCode::kValue, "delta expects");
}

RUTILE_SAMPLES(binary_cross_entropy) {
  pairs(s, uniform(0.1, 0.9), uniform(0.1, 0.9), LossAttrs{});
  for (const Reduction r : kReductions) {
    s.add({probabilities({4, 5}), probabilities({4, 5}), in({5}).positive()}, LossAttrs{r});
  }
  s.add({in({5}).values({0, 1, 0, 1, 0.5}), in({5}).values({0, 1, 1, 0, 0.5}).constant()},
        LossAttrs{Reduction::kNone})
      .name("borders")
      .no_gradient("is cut off at the borders");
  s.error({in({3}), in({3}), in({2})}, LossAttrs{}, ErrorCode::kValue,
          "weight expects a shape that broadcasts to [3]");
}

RUTILE_SAMPLES(binary_cross_entropy_with_logits) {
  pairs(s, {}, uniform(0, 1), LossAttrs{});
  for (const Reduction r : kReductions) {
    s.add({in({4, 5}), probabilities({4, 5}), in({4, 1}).positive(), in({5}).positive()},
          LossAttrs{r});
    s.add({in({4, 5}), probabilities({4, 5}), none(), in({5}).positive()}, LossAttrs{r});
  }
  s.add({in({4}).values({-1000, 1000, 80, -80}), in({4}).values({0, 0, 1, 1}).constant()},
        LossAttrs{Reduction::kNone})
      .name("large")
      .no_gradient("differences vanish where the sigmoid is saturated");
  s.error({in({3}), in({3}), none(), in({2})}, LossAttrs{}, ErrorCode::kValue,
          "pos_weight expects a shape");
}

RUTILE_SAMPLES(sigmoid_focal_loss) {
  pairs(s, {}, uniform(0, 1), SigmoidFocalLossAttrs{});
  pairs(s, {}, uniform(0.1, 0.9), SigmoidFocalLossAttrs{.alpha = -1, .gamma = 1.5});
  pairs(s, {}, uniform(0, 1), SigmoidFocalLossAttrs{.alpha = 0.6, .gamma = 0});
}

RUTILE_SAMPLES(dice_loss) {
  s.add({probabilities({4, 5}), probabilities({4, 5})}, DiceLossAttrs{}).dtypes(kFloats);
  s.add({in({2, 6, 3, 4}).channels_last(), probabilities({2, 6, 3, 4}).constant()},
        DiceLossAttrs{1});
  s.add({in({0}), in({0})}, DiceLossAttrs{1}).name("empty");
  s.error({in({3}), in({4})}, DiceLossAttrs{}, ErrorCode::kValue, "target expects shape [3]");
}

RUTILE_SAMPLES(kl_div) {
  using R = BatchReduction;
  for (const R r : {R::kNone, R::kMean, R::kSum, R::kBatchMean}) {
    s.add({below({4, 5}), probabilities({4, 5})}, KlDivAttrs{r}).dtypes(kFloats);
    s.add({below({2, 37, 3}), below({2, 37, 3})}, KlDivAttrs{r, true});
    s.add({below({2, 6, 3, 4}).channels_last(), probabilities({2, 6, 3, 4})}, KlDivAttrs{r});
  }
  s.add({below({4}), in({4}).values({0, 0.5, 0, 1}).constant()}, KlDivAttrs{R::kNone})
      .name("zeros");
  s.add({below({0, 3}), below({0, 3})}, KlDivAttrs{R::kSum}).name("empty");
  s.error({in({3}), in({4})}, KlDivAttrs{}, ErrorCode::kValue, "target expects shape [3]");
  s.error({in({}), in({})}, KlDivAttrs{R::kBatchMean}, ErrorCode::kValue, "first dimension");
}

RUTILE_SAMPLES(poisson_nll_loss) {
  pairs(s, {}, distinct(2, 4), PoissonNllLossAttrs{});
  pairs(s, positive(), distinct(1.1, 4), PoissonNllLossAttrs{.log_input = false, .full = true});
  pairs(s, {}, distinct(0, 0.9), PoissonNllLossAttrs{.full = true});
}

RUTILE_SAMPLES(gaussian_nll_loss) {
  for (const Reduction r : kReductions) {
    s.add({in({4, 5}), in({4, 5}), in({4, 5}).positive()}, GaussianNllLossAttrs{false, 1e-6, r})
        .dtypes(kFloats);
    s.add({in({4, 5}), in({4, 5}), in({4, 1}).positive()}, GaussianNllLossAttrs{true, 1e-6, r});
    s.add({in({2, 6, 3}).swapped(), in({2, 6, 3}), in({}).positive()},
          GaussianNllLossAttrs{true, 1e-6, r});
  }
  s.add({in({4, 4}), in({4}), in({4}).positive()}, GaussianNllLossAttrs{}).name("one a row");
  s.add({in({4, 5}), in({1}), in({4}).positive()}, GaussianNllLossAttrs{}).dtypes(kFloats);
  s.add({in({3}), in({3}), in({3}).values({0.01, 0, 0.05})},
        GaussianNllLossAttrs{.eps = 0.1, .reduction = Reduction::kNone})
      .name("small")
      .no_gradient("the gradient does not see the bound");
  s.error({in({3}), in({3}), in({4})}, GaussianNllLossAttrs{}, ErrorCode::kValue,
          "var expects a shape");
  s.error({in({3}), in({3}), in({3})}, GaussianNllLossAttrs{.eps = 0}, ErrorCode::kValue,
          "eps expects a positive number");
}

RUTILE_SAMPLES(soft_margin_loss) {
  pairs(s, {}, {}, LossAttrs{});
  s.add({in({4, 5}).uniform(-300, 300), signs({4, 5})}, LossAttrs{Reduction::kNone})
      .name("large")
      .no_gradient("differences vanish where the sigmoid is saturated");
}

RUTILE_SAMPLES(hinge_embedding_loss) {
  for (const Reduction r : kReductions) {
    s.add({in({4, 5}).away_from({1}), signs({4, 5})}, HingeEmbeddingLossAttrs{1, r})
        .dtypes(kFloats);
    s.add({in({2, 6, 3, 4}).channels_last().away_from({0.5}), signs({2, 6, 3, 4})},
          HingeEmbeddingLossAttrs{0.5, r});
  }
  s.add({in({3}).away_from({1}), in({3}).values({0, 0.5, 2}).constant()},
        HingeEmbeddingLossAttrs{1})
      .name("other targets");
  s.add({in({0}), signs({0})}, HingeEmbeddingLossAttrs{1, Reduction::kSum}).name("empty");
  s.error({in({3}), in({4})}, HingeEmbeddingLossAttrs{}, ErrorCode::kValue,
          "target expects shape [3]");
}

RUTILE_SAMPLES(margin_ranking_loss) {
  for (const Reduction r : kReductions) {
    s.add({below({4, 5}), above({4, 5}), signs({4, 5})}, MarginLossAttrs{0.2, r}).dtypes(kFloats);
    s.add({above({2, 37}), below({2, 37}), signs({2, 37})}, MarginLossAttrs{0, r});
  }
  s.add({in({0}), in({0}), signs({0})}, MarginLossAttrs{1, Reduction::kSum}).name("empty");
  s.error({in({3}), in({4}), in({3})}, MarginLossAttrs{}, ErrorCode::kValue,
          "x2 expects shape [3]");
  s.error({in({3}), in({3}), in({1})}, MarginLossAttrs{}, ErrorCode::kValue,
          "target expects shape [3]");
}

RUTILE_SAMPLES(multi_margin_loss) {
  for (const Reduction r : kReductions) {
    for (const int64_t p : {1, 2}) {
      s.add({in({6, 5}).distinct(), index_in({6}, 0, 5)}, MultiMarginLossAttrs{p, 0.73, r})
          .dtypes(kFloats)
          .no_second_order("it has kinks where two classes lie a margin apart");
      s.add({in({6, 37}).distinct(), index_in({6}, 0, 37), in({37}).positive()},
            MultiMarginLossAttrs{p, 0.733, r})
          .no_second_order("it has kinks where two classes lie a margin apart");
    }
  }
  s.add({in({4}).distinct(), in({}).as(DType::kI32).ints(0, 4)}, MultiMarginLossAttrs{1, 0.73})
      .name("one row");
  s.add({in({0, 4}), index_in({0}, 0, 4)}, MultiMarginLossAttrs{.reduction = Reduction::kSum});
  const MultiMarginLossAttrs a;
  s.error({in({3, 4}), index_in({4}, 0, 4)}, a, ErrorCode::kValue, "labels expects shape [3]");
  s.error({in({3, 4}), in({3})}, a, ErrorCode::kType, "labels expects i32 or i64");
  s.error({in({3, 4}), index_in({3}, 0, 4), in({3})}, a, ErrorCode::kValue,
          "weight expects shape [4]");
  s.error({in({3, 4}), index_in({3}, 0, 4)}, MultiMarginLossAttrs{.p = 3}, ErrorCode::kValue,
          "p expects 1 or 2");
  s.error({in({2, 3, 4}), index_in({2, 3}, 0, 4)}, a, ErrorCode::kValue, "x expects shape");
  s.error({in({3, 4}), in({3}).as(DType::kI64).values({0, 4})}, a, ErrorCode::kIndex, "index 4");
}

RUTILE_SAMPLES(multilabel_margin_loss) {
  const char kKinks[] = "it has kinks where two classes lie 1 apart";
  for (const Reduction r : kReductions) {
    const Input labels = in({4, 5}).as(DType::kI64).values({0,  3, -1, 1, 1, 2, 1, 0, 3,  4,
                                                            -1, 0, 0,  0, 0, 4, 4, 4, -1, 0});
    s.add({in({4, 5}).distinct(-1.7, 2), labels}, LossAttrs{r})
        .dtypes(kFloats)
        .no_second_order(kKinks);
  }
  s.add({in({5}).distinct(-1.7, 2), in({5}).as(DType::kI32).values({3, 0, -1, 7, 8})}, LossAttrs{})
      .name("one row")
      .no_second_order(kKinks);
  s.add({in({0, 4}), index_in({0, 4}, 0, 4)}, LossAttrs{Reduction::kSum}).name("empty");
  s.error({in({3, 4}), index_in({3}, 0, 4)}, LossAttrs{}, ErrorCode::kValue,
          "labels expects shape [3,4]");
  s.error({in({3, 4}), in({3, 4})}, LossAttrs{}, ErrorCode::kType, "labels expects i32 or i64");
}

RUTILE_SAMPLES(multilabel_soft_margin_loss) {
  for (const Reduction r : kReductions) {
    s.add({in({4, 5}), probabilities({4, 5})}, LossAttrs{r}).dtypes(kFloats);
    s.add({in({2, 3, 6}).transposed(), probabilities({2, 3, 6}), in({6}).positive()}, LossAttrs{r});
  }
  s.add({in({0, 4}), in({0, 4})}, LossAttrs{Reduction::kSum}).name("empty");
  s.error({in({}), in({})}, LossAttrs{}, ErrorCode::kValue, "rank 1");
  s.error({in({3, 4}), in({3, 4}), in({3})}, LossAttrs{}, ErrorCode::kValue, "weight expects");
}

RUTILE_SAMPLES(cosine_embedding_loss) {
  for (const Reduction r : kReductions) {
    s.add({above({4, 5}), in({4, 5}).distinct(0.4, 3), signs({4})}, MarginLossAttrs{0.1, r})
        .dtypes(kFloats);
    s.add({above({4, 37}), in({4, 37}).distinct(0.4, 3), signs({4})}, MarginLossAttrs{-0.2, r});
  }
  s.add({above({5}), below({5}), signs({})}, MarginLossAttrs{}).name("one row");
  s.add({in({0, 5}), in({0, 5}), signs({0})}, MarginLossAttrs{0, Reduction::kSum}).name("empty");
  s.error({in({3, 4}), in({3, 5}), in({3})}, MarginLossAttrs{}, ErrorCode::kValue,
          "x2 expects shape");
  s.error({in({3, 4}), in({3, 4}), in({4})}, MarginLossAttrs{}, ErrorCode::kValue,
          "target expects shape [3]");
}

RUTILE_SAMPLES(triplet_margin_loss) {
  const Input a = above({4, 5}), near = in({4, 5}).distinct(0.1, 0.4),
              far = in({4, 5}).distinct(-3, -2);
  for (const Reduction r : kReductions) {
    for (const double p : {1.0, 2.0, 3.0, std::numeric_limits<double>::infinity()}) {
      s.add({a, far, near}, TripletMarginLossAttrs{.p = p, .reduction = r})
          .dtypes(p == 2 ? kFloats : DTypes{DType::kF32});
      s.add({a, near, far}, TripletMarginLossAttrs{.margin = 30, .p = p, .reduction = r});
    }
    s.add({a, near, far}, TripletMarginLossAttrs{.margin = 30, .swap = true, .reduction = r});
    s.add({above({2, 3, 37}), below({2, 3, 37}), in({2, 3, 37}).distinct(-4, -3)},
          TripletMarginLossAttrs{.margin = 9, .reduction = r});
  }
  s.add({in({0, 5}), in({0, 5}), in({0, 5})}, TripletMarginLossAttrs{.reduction = Reduction::kSum});
  s.error({in({3, 4}), in({3, 5}), in({3, 4})}, TripletMarginLossAttrs{}, ErrorCode::kValue,
          "positive expects shape [3,4]");
  s.error({in({3, 4}), in({3, 4}), in({3, 4})}, TripletMarginLossAttrs{.p = 0}, ErrorCode::kValue,
          "p expects a positive number");
}

RUTILE_SAMPLES(focal_loss) {
  for (const Reduction r : kReductions) {
    s.add({in({6, 5}), index_in({6}, 0, 5)}, FocalLossAttrs{2, r}).dtypes(kFloats);
    s.add({in({2, 37, 3}), index_in({2, 3}, 0, 37), in({37}).positive()}, FocalLossAttrs{1.5, r});
    s.add({in({2, 6, 3, 4}).channels_last(), index_in({2, 3, 4}, 0, 6)}, FocalLossAttrs{0, r});
  }
  s.add({in({4}), index_in({}, 0, 4)}, FocalLossAttrs{}).name("one row");
  const FocalLossAttrs a;
  s.error({in({3, 4}), index_in({4}, 0, 4)}, a, ErrorCode::kValue, "labels expects shape [3]");
  s.error({in({3, 4}), in({3})}, a, ErrorCode::kType, "labels expects i32 or i64");
  s.error({in({3, 4}), in({3}).as(DType::kI64).values({0, 4})}, a, ErrorCode::kIndex, "index 4");
}

RUTILE_SAMPLES(nll_loss) {
  for (const Reduction r : kReductions) {
    s.add({below({6, 5}), index_in({6}, 0, 5)}, NllLossAttrs{-100, r}).dtypes(kFloats);
    s.add({below({6, 5}), index_in({6}, -1, 5), in({5}).positive()}, NllLossAttrs{-1, r});
    s.add({below({2, 37, 3}), index_in({2, 3}, 0, 37)}, NllLossAttrs{2, r});
    s.add({below({2, 6, 3, 4}).channels_last(), index_in({2, 3, 4}, 0, 6), in({6}).positive()},
          NllLossAttrs{2, r});
  }
  s.add({below({4}), in({}).as(DType::kI32).ints(0, 4)}, NllLossAttrs{}).name("one row");
  s.add({below({0, 4}), index_in({0}, 0, 4)}, NllLossAttrs{.reduction = Reduction::kSum});
  s.add({below({6, 5}), in({6}).as(DType::kI64).values({-100})}, NllLossAttrs{})
      .name("all ignored")
      .no_gradient(kNaN);
  const NllLossAttrs a;
  s.error({in({3, 4}), index_in({4}, 0, 4)}, a, ErrorCode::kValue, "labels expects shape [3]");
  s.error({in({3, 4}), in({3})}, a, ErrorCode::kType, "labels expects i32 or i64");
  s.error({in({3, 0}), index_in({3}, 0, 4)}, a, ErrorCode::kValue, "no classes");
  s.error({in({3, 4}), index_in({3}, 0, 4), in({3})}, a, ErrorCode::kValue,
          "weight expects shape [4]");
  s.error({in({3, 4}), in({3}).as(DType::kI64).values({0, 4})}, a, ErrorCode::kIndex, "index 4");
}

}  // namespace
}  // namespace rutile::samples
