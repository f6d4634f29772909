// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/distributions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/order.h"
#include "rutile/ops/random_infer.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/require.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;
template <class A>
const A& as(const void* attrs) {
  return *static_cast<const A*>(attrs);
}
constexpr const char* kRandom = "random numbers have no gradient";
constexpr double kTiny = 1e-37;  // a normal number in f32

Status check_scale(double loc, double scale) {
  if (scale >= 0 && std::isfinite(scale) && std::isfinite(loc)) return Status();
  return value_error(cat("expects a finite loc and scale >= 0, got ", loc, " and ", scale));
}
Status infer_exponential(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_scale(0, c.as<RandomExponentialAttrs>().scale));
  return infer_drawn_float<RandomExponentialAttrs>(c, out);
}
Status infer_location(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RandomLocationAttrs>();
  RUTILE_RETURN_IF_ERROR(check_scale(a.loc, a.scale));
  return infer_drawn_float<RandomLocationAttrs>(c, out);
}
Status infer_log_normal(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RandomNormalAttrs>();
  RUTILE_RETURN_IF_ERROR(check_scale(a.mean, a.std));
  return infer_drawn_float<RandomNormalAttrs>(c, out);
}
Status infer_geometric(const CallMeta& c, TensorMeta* out) {
  const double p = c.as<RandomGeometricAttrs>().p;
  if (!(p > 0 && p <= 1)) return value_error(cat("expects p in (0, 1], got ", p));
  return infer_drawn_float<RandomGeometricAttrs>(c, out);
}

// ---- Transformations ----------------------------------------------------------------------------

// In [0, 1), in f32 at least.
Tensor uniform(const Tensor& key, const Shape& shape, DType t) {
  return random_uniform(key, {.shape = shape, .dtype = wide(t)});
}
Tensor gumbel(const Tensor& key, const Shape& shape, DType t) {
  return -log(maximum(-log(maximum(uniform(key, shape, t), kTiny)), kTiny));
}

TensorList compose_random_exponential(const void* attrs, In in) {
  const auto& a = as<RandomExponentialAttrs>(attrs);
  return {cast(log1p(-uniform(in[0], a.shape, a.dtype)) * -a.scale, a.dtype)};
}
TensorList compose_random_laplace(const void* attrs, In in) {
  const auto& a = as<RandomLocationAttrs>(attrs);
  const Tensor u = uniform(in[0], a.shape, a.dtype) - 0.5;
  const Tensor size = log(maximum(1 - abs(u) * 2, kTiny));
  return {cast(sign(u) * size * -a.scale + a.loc, a.dtype)};
}
TensorList compose_random_cauchy(const void* attrs, In in) {
  const auto& a = as<RandomLocationAttrs>(attrs);
  const Tensor u = uniform(in[0], a.shape, a.dtype) - 0.5;
  return {cast(tan(u * std::numbers::pi) * a.scale + a.loc, a.dtype)};
}
TensorList compose_random_gumbel(const void* attrs, In in) {
  const auto& a = as<RandomLocationAttrs>(attrs);
  return {cast(gumbel(in[0], a.shape, a.dtype) * a.scale + a.loc, a.dtype)};
}
TensorList compose_random_log_normal(const void* attrs, In in) {
  RandomNormalAttrs a = as<RandomNormalAttrs>(attrs);
  a.dtype = wide(a.dtype);
  return {cast(exp(random_normal(in[0], a)), as<RandomNormalAttrs>(attrs).dtype)};
}
TensorList compose_random_geometric(const void* attrs, In in) {
  const auto& a = as<RandomGeometricAttrs>(attrs);
  if (a.p == 1) return {full(a.shape, 1, a.dtype)};
  const Tensor waits = log1p(-uniform(in[0], a.shape, a.dtype)) * (1 / std::log1p(-a.p));
  return {cast(maximum(ceil(waits), 1.0), a.dtype)};
}

Status infer_randperm(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RandpermAttrs>();
  RUTILE_RETURN_IF_ERROR(check_key(c.in(0)));
  if (!is_integral(a.dtype)) return type_error(cat("gives integers, dtype is ", a.dtype));
  int64_t n = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({a.n}, &n));
  const int bits = static_cast<int>(dtype_size(a.dtype)) * 8 - (is_signed_int(a.dtype) ? 1 : 0);
  if (bits < 62 && a.n > int64_t{1} << bits) {
    return value_error(cat(a.dtype, " does not hold numbers up to ", a.n - 1));
  }
  *out = TensorMeta({a.n}, a.dtype, c.in(0).device);
  return Status();
}
TensorList compose_randperm(const void* attrs, In in) {
  const auto& a = as<RandpermAttrs>(attrs);
  const Tensor lots = random_randint(in[0], {{a.n}, 0, int64_t{1} << 62, DType::kI64});
  return {cast(argsort(lots, 0), a.dtype)};
}

// ---- A parameter for each element -------------------------------------------------------------

Status check_parameters(const CallMeta& c, int first) {
  RUTILE_RETURN_IF_ERROR(check_key(c.in(0)));
  for (int i = first; i < c.num_inputs(); ++i) {
    const DType t = c.in(i).dtype;
    if (!is_floating(t)) return type_error(cat("expects floats, got ", t));
    if (t != c.in(first).dtype) {
      return type_error(cat("expects one dtype, got ", c.in(first).dtype, " and ", t));
    }
  }
  return Status();
}
Status infer_by_element(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_parameters(c, 1));
  *out = TensorMeta(c.in(1).shape, c.in(1).dtype, c.in(1).device);
  return Status();
}
TensorList compose_bernoulli(const void*, In in) {
  const Tensor& p = in[1];
  return {cast(less(uniform(in[0], p.shape(), p.dtype()), wide(p)), p.dtype())};
}
Status infer_beta(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_parameters(c, 1));
  Shape shape;
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(c.in(1).shape, c.in(2).shape, &shape));
  if (shape.rank() == kMaxRank) return value_error("expects at most rank 7");
  *out = TensorMeta(shape, c.in(1).dtype, c.in(1).device);
  return Status();
}
TensorList compose_random_beta(const void*, In in) {
  Shape shape;
  throw_if_error(broadcast_shapes(in[1].shape(), in[2].shape(), &shape));
  const Tensor a = broadcast_to(wide(in[1]), shape), b = broadcast_to(wide(in[2]), shape);
  const Tensor g = random_gamma(in[0], stack({{a, b}}, 0));
  const Tensor total = sum(g, {.axes = {0}});
  // Both may underflow for small parameters: then one of them is all, which is as likely as it is
  // large.
  const Tensor y = where(greater(total, 0), select(g, 0, 0) / total, a / (a + b));
  return {cast(y, in[1].dtype())};
}
Status infer_dirichlet(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(infer_by_element(c, out));
  return c.in(1).rank() > 0 ? Status() : value_error("expects at least rank 1");
}
TensorList compose_random_dirichlet(const void*, In in) {
  const Tensor g = random_gamma(in[0], wide(in[1]));
  return {cast(g / sum(g, {.axes = {-1}, .keepdims = true}), in[1].dtype())};
}

Status infer_multinomial(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<MultinomialAttrs>();
  const TensorMeta& w = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_parameters(c, 1));
  if (w.rank() < 1 || w.rank() > 2) {
    return value_error(cat("weights expects shape [n] or [m, n], got ", w.shape));
  }
  const int64_t n = w.shape.back();
  if (a.num_samples < 0) return value_error(cat("expects num_samples >= 0, got ", a.num_samples));
  if (!a.replacement && a.num_samples > n) {
    return value_error(cat("cannot draw ", a.num_samples, " of ", n, " without replacement"));
  }
  if (n == 0 && a.num_samples > 0) return value_error("there is no class to draw");
  Shape shape = w.shape;
  shape[w.rank() - 1] = a.num_samples;
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, DType::kI64, w.device);
  return Status();
}
TensorList compose_multinomial(const void* attrs, In in) {
  const auto& a = as<MultinomialAttrs>(attrs);
  Shape shape = in[1].shape();
  const int64_t n = shape.back();
  const int64_t positive = a.replacement ? std::min<int64_t>(a.num_samples, 1) : a.num_samples;
  const Tensor w =
      require_range(wide(in[1]), {.min = 0, .positive = positive, .what = "multinomial's weights"});
  if (!a.replacement) {
    // The order of the weights' logarithms with Gumbel noise is a draw without replacement.
    const Tensor noisy = log(w) + gumbel(in[0], shape, w.dtype());
    return {topk(noisy, a.num_samples, -1).indices};
  }
  const Tensor steps = cumsum(cast(w, DType::kF64));
  shape[shape.rank() - 1] = a.num_samples;
  if (shape.numel() == 0) return {full(shape, 0, DType::kI64)};
  const Tensor u = random_uniform(in[0], {.shape = shape, .dtype = DType::kF64});
  const Tensor at = u * slice_axis(steps, -1, n - 1, n);
  return {minimum(searchsorted(steps, at, {.right = true}), Scalar(n - 1))};
}
double multinomial_flops(const CallMeta& c) {
  return 12 * elements(c.in(1)) + 16 * elements(c.out());
}

// ---- Dropout ----------------------------------------------------------------------------------

Status infer_dropped(const CallMeta& c, double p, bool feature, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_parameters(c, 1));
  const TensorMeta& x = c.in(1);
  if (!(p >= 0 && p <= 1)) return value_error(cat("expects p in [0, 1], got ", p));
  if (feature && x.rank() < 2) return value_error(cat("expects at least rank 2, got ", x.shape));
  *out = x.layout == kStrided && x.is_dense() ? x : TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}
Status infer_feature_dropout(const CallMeta& c, TensorMeta* out) {
  return infer_dropped(c, c.as<DropoutAttrs>().p, true, out);
}
Status infer_alpha_dropout(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<AlphaDropoutAttrs>();
  if (a.p == 1) return value_error("expects p below 1");
  return infer_dropped(c, a.p, a.feature, out);
}
// True where x is kept; one number for each channel with `feature`.
Tensor kept(const Tensor& key, const Tensor& x, double p, bool feature) {
  Shape shape = x.shape();
  for (int i = 2; feature && i < shape.rank(); ++i) shape[i] = 1;
  return random_bernoulli(key, {shape, 1 - p, DType::kBool});
}
TensorList compose_feature_dropout(const void* attrs, In in) {
  const double p = as<DropoutAttrs>(attrs).p;
  return {where(kept(in[0], in[1], p, true), in[1] * (p < 1 ? 1 / (1 - p) : 0.0), 0.0)};
}
TensorList compose_alpha_dropout(const void* attrs, In in) {
  const auto& a = as<AlphaDropoutAttrs>(attrs);
  constexpr double kLowest = -1.7580993408473766;  // of selu
  const double scale = 1 / std::sqrt((kLowest * kLowest * a.p + 1) * (1 - a.p));
  const Tensor x = wide(in[1]);
  const Tensor y = where(kept(in[0], x, a.p, a.feature), x, kLowest);
  return {cast(y * scale - kLowest * scale * a.p, in[1].dtype())};
}

Tensor next_key() { return default_generator().next_key(); }

Tensor channels(const char* name, Arg x, DropoutAttrs attrs, int rank) {
  if (x.tensor.rank() != rank) {
    throw_error(ErrorCode::kValue,
                cat("[", name, "] expects rank ", rank, ", got ", x.tensor.shape()));
  }
  return feature_dropout(x, attrs);
}

}  // namespace

#define RUTILE_DRAWN(constant, function, Attrs, infer_fn, text)           \
  constinit const OpDef constant = define({.name = #function,             \
                                           .inputs = {"key"},             \
                                           .attrs = attrs_of<Attrs>(),    \
                                           .infer = infer_fn,             \
                                           .flops = flops_per_output<12>, \
                                           .compose = compose_##function, \
                                           .no_grad = kRandom,            \
                                           .doc = text});                 \
  Tensor function(Arg key, Attrs attrs) {                                 \
    return call1(constant, &attrs, {key.tensor}, key.where);              \
  }                                                                       \
  Tensor function(Attrs attrs) { return function(next_key(), attrs); }
RUTILE_DRAWN(kRandomExponential, random_exponential, RandomExponentialAttrs, infer_exponential,
             "Exponentially distributed numbers with mean scale.")
RUTILE_DRAWN(kRandomLaplace, random_laplace, RandomLocationAttrs, infer_location,
             "Numbers of Laplace's distribution.")
RUTILE_DRAWN(kRandomCauchy, random_cauchy, RandomLocationAttrs, infer_location,
             "Numbers of Cauchy's distribution.")
RUTILE_DRAWN(kRandomGumbel, random_gumbel, RandomLocationAttrs, infer_location,
             "Numbers of Gumbel's distribution.")
RUTILE_DRAWN(kRandomLogNormal, random_log_normal, RandomNormalAttrs, infer_log_normal,
             "exp of normally distributed numbers.")
RUTILE_DRAWN(kRandomGeometric, random_geometric, RandomGeometricAttrs, infer_geometric,
             "Numbers of trials up to the first success.")

constinit const OpDef kRandperm = define({.name = "randperm",
                                          .inputs = {"key"},
                                          .attrs = attrs_of<RandpermAttrs>(),
                                          .infer = infer_randperm,
                                          .flops = flops_per_output<20>,
                                          .compose = compose_randperm,
                                          .no_grad = kRandom,
                                          .doc = "0 .. n - 1 in random order."});
Tensor randperm(Arg key, int64_t n, DType dtype) {
  const RandpermAttrs a{n, dtype};
  return call1(kRandperm, &a, {key.tensor}, key.where);
}
Tensor randperm(int64_t n, DType dtype) { return randperm(next_key(), n, dtype); }
Tensor shuffle(Arg x) {
  if (x.tensor.rank() == 0) return x.tensor;
  return gather(x, randperm(x.tensor.dim(0)), 0);
}

constinit const OpDef kBernoulli =
    define({.name = "bernoulli",
            .inputs = {"key", "p"},
            .infer = infer_by_element,
            .flops = flops_per_output<11>,
            .compose = compose_bernoulli,
            .no_grad = kRandom,
            .doc = "1 with probability p for each element, else 0."});
Tensor bernoulli(Arg key, Arg p) {
  return call1(kBernoulli, nullptr, {key.tensor, p.tensor}, p.where);
}
Tensor bernoulli(Arg p) { return bernoulli(next_key(), p); }

constinit const OpDef kRandomGamma = define({.name = "random_gamma",
                                             .inputs = {"key", "alpha"},
                                             .infer = infer_by_element,
                                             .flops = flops_per_output<40>,
                                             .no_grad = kRandom,
                                             .doc = "Numbers of the gamma distribution, scale 1."});
Tensor random_gamma(Arg key, Arg alpha) {
  return call1(kRandomGamma, nullptr, {key.tensor, alpha.tensor}, alpha.where);
}
Tensor random_gamma(Arg alpha) { return random_gamma(next_key(), alpha); }

constinit const OpDef kRandomPoisson =
    define({.name = "random_poisson",
            .inputs = {"key", "rate"},
            .infer = infer_by_element,
            .flops = flops_per_output<40>,
            .no_grad = kRandom,
            .doc = "Whole numbers of Poisson's distribution with a rate for each element."});
Tensor random_poisson(Arg key, Arg rate) {
  return call1(kRandomPoisson, nullptr, {key.tensor, rate.tensor}, rate.where);
}
Tensor random_poisson(Arg rate) { return random_poisson(next_key(), rate); }

constinit const OpDef kRandomBeta = define({.name = "random_beta",
                                            .inputs = {"key", "alpha", "beta"},
                                            .infer = infer_beta,
                                            .flops = flops_per_output<80>,
                                            .compose = compose_random_beta,
                                            .no_grad = kRandom,
                                            .doc = "Numbers of the beta distribution."});
Tensor random_beta(Arg key, Arg alpha, Arg beta) {
  return call1(kRandomBeta, nullptr, {key.tensor, alpha.tensor, beta.tensor}, alpha.where);
}
Tensor random_beta(Arg alpha, Arg beta) { return random_beta(next_key(), alpha, beta); }

constinit const OpDef kRandomDirichlet =
    define({.name = "random_dirichlet",
            .inputs = {"key", "alpha"},
            .infer = infer_dirichlet,
            .flops = flops_per_output<42>,
            .compose = compose_random_dirichlet,
            .no_grad = kRandom,
            .doc = "Numbers of Dirichlet's distribution over the last dimension."});
Tensor random_dirichlet(Arg key, Arg alpha) {
  return call1(kRandomDirichlet, nullptr, {key.tensor, alpha.tensor}, alpha.where);
}
Tensor random_dirichlet(Arg alpha) { return random_dirichlet(next_key(), alpha); }

constinit const OpDef kMultinomial = define({.name = "multinomial",
                                             .inputs = {"key", "weights"},
                                             .attrs = attrs_of<MultinomialAttrs>(),
                                             .infer = infer_multinomial,
                                             .flops = multinomial_flops,
                                             .compose = compose_multinomial,
                                             .checks_values = true,
                                             .no_grad = kRandom,
                                             .doc = "Classes drawn by the weights of each row."});
Tensor multinomial(Arg key, Arg weights, MultinomialAttrs attrs) {
  return call1(kMultinomial, &attrs, {key.tensor, weights.tensor}, weights.where);
}
Tensor multinomial(Arg weights, MultinomialAttrs attrs) {
  return multinomial(next_key(), weights, attrs);
}
Tensor random_categorical(Arg logits, MultinomialAttrs attrs) {
  return multinomial(Arg(softmax(logits, -1), logits.where), attrs);
}

constinit const OpDef kFeatureDropout =
    define({.name = "feature_dropout",
            .inputs = {"key", "x"},
            .attrs = attrs_of<DropoutAttrs>(),
            .infer = infer_feature_dropout,
            .flops = flops_per_output<2>,
            .compose = compose_feature_dropout,
            .doc = "x / (1 - p) or 0, by channel of each sample."});
Tensor feature_dropout(Arg key, Arg x, DropoutAttrs attrs) {
  return call1(kFeatureDropout, &attrs, {key.tensor, x.tensor}, x.where);
}
Tensor feature_dropout(Arg x, DropoutAttrs attrs) { return feature_dropout(next_key(), x, attrs); }
Tensor dropout1d(Arg x, DropoutAttrs attrs) { return channels("dropout1d", x, attrs, 3); }
Tensor dropout2d(Arg x, DropoutAttrs attrs) { return channels("dropout2d", x, attrs, 4); }
Tensor dropout3d(Arg x, DropoutAttrs attrs) { return channels("dropout3d", x, attrs, 5); }

constinit const OpDef kAlphaDropout = define({.name = "alpha_dropout",
                                              .inputs = {"key", "x"},
                                              .attrs = attrs_of<AlphaDropoutAttrs>(),
                                              .infer = infer_alpha_dropout,
                                              .flops = flops_per_output<14>,
                                              .compose = compose_alpha_dropout,
                                              .doc = "Dropout that keeps mean and deviation."});
Tensor alpha_dropout(Arg key, Arg x, AlphaDropoutAttrs attrs) {
  return call1(kAlphaDropout, &attrs, {key.tensor, x.tensor}, x.where);
}
Tensor alpha_dropout(Arg x, AlphaDropoutAttrs attrs) { return alpha_dropout(next_key(), x, attrs); }

}  // namespace rutile::ops
