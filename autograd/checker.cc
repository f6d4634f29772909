// SPDX-License-Identifier: Apache-2.0
#include "rutile/autograd/checker.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "rutile/autograd/tape.h"
#include "rutile/core/rng.h"
#include "rutile/ops/complex.h"

namespace rutile {

namespace {

using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;
using Values = std::vector<double>;

// Uniform in +-[0.5, 1): no element of a projection is nearly invisible.
double random_weight(PhiloxKey key, uint64_t i) {
  const auto w = philox(key, i);
  const double u = 0.5 + 0.5 * uniform_f64(w[0], w[1]);
  return w[2] & 1u ? u : -u;
}

Values random_values(PhiloxKey key, size_t n) {
  Values v(n);
  for (size_t i = 0; i < n; ++i) v[i] = random_weight(key, i);
  return v;
}

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::string index_text(const Shape& shape, int64_t flat) {
  Dims index = Dims::filled(shape.rank(), 0);
  for (int d = shape.rank() - 1; d >= 0; --d) {
    index[d] = flat % shape[d];
    flat /= shape[d];
  }
  return to_string(index);
}

class Checker {
 public:
  Checker(const Function& fn, const std::vector<Tensor>& inputs, const GradCheckOptions& options)
      : fn_(fn), inputs_(inputs), options_(options), key_{options.seed} {
    for (const Tensor& x : inputs) points_.push_back(x.to_vector<double>());
  }

  Status run() {
    RUTILE_RETURN_IF_ERROR(differentiate());
    if (project(inputs_) != project(inputs_)) {
      return value_error("two calls of the function differ, or give NaN");
    }
    for (size_t i = 0; i < inputs_.size(); ++i) RUTILE_RETURN_IF_ERROR(check_input(i));
    return Status();
  }

 private:
  // The tape's gradients of the projection; also fixes the weights.
  Status differentiate() {
    GradScope scope;
    for (const Tensor& x : inputs_) scope.watch(x);
    const std::vector<Tensor> ys = fn_(inputs_);
    for (const Values& p : points_) grads_.emplace_back(p.size(), 0.0);
    for (size_t k = 0; k < ys.size(); ++k) {
      weights_.emplace_back();
      if (!ys[k].defined() || !is_floating(ys[k].dtype())) continue;
      if (ys[k].dtype() != DType::kF64) {
        return type_error(cat("output ", k, " is ", ys[k].meta(), ", a check needs f64"));
      }
      weights_.back() = random_values(fold_in(key_, k), static_cast<size_t>(ys[k].numel()));
      const Tensor c = Tensor::from<double>(weights_.back(), ys[k].shape());
      const std::vector<Tensor> g = scope.gradient(ys[k], inputs_, c, /*retain=*/true);
      for (size_t i = 0; i < g.size(); ++i) {
        if (!(g[i].shape() == inputs_[i].shape()) || g[i].dtype() != DType::kF64) {
          return value_error(cat("the gradient of input ", i, " is ", g[i].meta(), ", the input ",
                                 inputs_[i].meta()));
        }
        const Values part = g[i].to_vector<double>();
        for (size_t e = 0; e < part.size(); ++e) grads_[i][e] += part[e];
      }
    }
    return Status();
  }

  double project(const std::vector<Tensor>& xs) const {
    const std::vector<Tensor> ys = fn_(xs);
    double sum = 0;
    for (size_t k = 0; k < ys.size(); ++k) {
      if (!weights_[k].empty()) sum += dot(weights_[k], ys[k].to_vector<double>());
    }
    return sum;
  }

  double project_moved(size_t i, const Values& direction, double by) const {
    Values moved = points_[i];
    for (size_t e = 0; e < moved.size(); ++e) moved[e] += by * direction[e];
    std::vector<Tensor> xs = inputs_;
    xs[i] = Tensor::from<double>(moved, inputs_[i].shape());
    return project(xs);
  }

  double difference(size_t i, const Values& direction) const {
    const double h = options_.step;
    const double near = project_moved(i, direction, h) - project_moved(i, direction, -h);
    const double far = project_moved(i, direction, 2 * h) - project_moved(i, direction, -2 * h);
    return (8 * near - far) / (12 * h);
  }

  bool close(double got, double want) const {
    return std::abs(got - want) <= options_.atol + options_.rtol * std::abs(want);
  }

  Status check_input(size_t i) const {
    const int64_t n = inputs_[i].numel();
    const PhiloxKey key = fold_in(key_, 1000 + i);
    const bool all = n <= options_.max_elements;
    const int64_t singles = all ? n : options_.max_elements;
    Values direction(static_cast<size_t>(n), 0.0);
    for (int64_t s = 0; s < singles; ++s) {
      const int64_t e = all ? s : philox(key, static_cast<uint64_t>(s))[0] % n;
      direction[static_cast<size_t>(e)] = 1;
      const double want = difference(i, direction);
      direction[static_cast<size_t>(e)] = 0;
      const double got = grads_[i][static_cast<size_t>(e)];
      if (!close(got, want)) {
        return value_error(cat("input ", i, ", element ", index_text(inputs_[i].shape(), e),
                               ": the gradient is ", got, ", central differences give ", want));
      }
    }
    for (int d = 0; !all && d < options_.directions; ++d) {
      direction = random_values(fold_in(key, static_cast<uint64_t>(d)), direction.size());
      const double want = difference(i, direction), got = dot(grads_[i], direction);
      const double size = std::sqrt(dot(grads_[i], grads_[i]));
      if (std::abs(got - want) > options_.atol + options_.rtol * std::max(std::abs(want), size)) {
        return value_error(cat("input ", i, ", random direction ", d, ": the gradient gives ", got,
                               ", central differences ", want));
      }
    }
    return Status();
  }

  const Function& fn_;
  const std::vector<Tensor>& inputs_;
  const GradCheckOptions& options_;
  PhiloxKey key_;
  std::vector<Values> points_, grads_, weights_;
};

// The gradient as a function of the inputs and the outputs' gradients.
Function gradient_of(const Function& fn, size_t num_inputs) {
  return [fn, num_inputs](const std::vector<Tensor>& args) {
    const std::vector<Tensor> xs(args.begin(), args.begin() + static_cast<ptrdiff_t>(num_inputs));
    GradScope scope;
    for (const Tensor& x : xs) scope.watch(x);
    const std::vector<Tensor> ys = fn(xs);
    std::vector<Tensor> result;
    size_t next = num_inputs;
    for (const Tensor& y : ys) {
      if (!y.defined() || !is_floating(y.dtype())) continue;
      for (const Tensor& g : scope.gradient(y, xs, args[next], /*retain=*/true)) {
        result.push_back(g);
      }
      ++next;
    }
    return result;
  };
}

Status check_second_order(const Function& fn, const std::vector<Tensor>& inputs,
                          GradCheckOptions options) {
  options.second_order = false;
  std::vector<Tensor> args = inputs;
  uint64_t k = 0;
  for (const Tensor& y : fn(inputs)) {
    if (!y.defined() || !is_floating(y.dtype())) continue;
    const PhiloxKey key = fold_in(PhiloxKey{options.seed}, 2000 + k++);
    args.push_back(
        Tensor::from<double>(random_values(key, static_cast<size_t>(y.numel())), y.shape()));
  }
  Status s = check_gradients(gradient_of(fn, inputs.size()), args, options);
  if (s.ok()) return s;
  return Status(s.code(), cat("gradient of the gradient (inputs, then the outputs' gradients): ",
                              s.message()));
}

// A function of complex numbers as one of pairs of real ones, which tells the same: the gradient of
// a pair is that of the number.
Function on_pairs(const Function& fn, std::vector<Tensor>* inputs) {
  std::vector<bool> complex;
  for (Tensor& x : *inputs) {
    complex.push_back(x.dtype() == DType::kC128);
    if (complex.back()) x = ops::view_as_real(x);
  }
  return [fn, complex](const std::vector<Tensor>& xs) {
    std::vector<Tensor> given = xs;
    for (size_t i = 0; i < complex.size(); ++i) {
      if (complex[i]) given[i] = ops::view_as_complex(given[i]);
    }
    std::vector<Tensor> ys = fn(given);
    for (Tensor& y : ys) {
      if (y.defined() && is_complex(y.dtype())) y = ops::view_as_real(y);
    }
    return ys;
  };
}

}  // namespace

Status check_gradients(const Function& fn, const std::vector<Tensor>& inputs,
                       const GradCheckOptions& options) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype() != DType::kF64 && inputs[i].dtype() != DType::kC128) {
      return type_error(cat("input ", i, " is ", inputs[i].meta(), ", a check needs f64 or c128"));
    }
  }
  try {
    std::vector<Tensor> points = inputs;
    const Function real_fn = on_pairs(fn, &points);
    RUTILE_RETURN_IF_ERROR(Checker(real_fn, points, options).run());
    return options.second_order ? check_second_order(real_fn, points, options) : Status();
  } catch (const Error& e) {
    return Status(e.code(), e.message());
  }
}

}  // namespace rutile
