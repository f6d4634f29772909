// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/plateau.h"

#include <algorithm>
#include <limits>

namespace rutile::nn::optim {

namespace {

int64_t count(const Ref<State>& s) { return s->concrete().item<int64_t>(); }
void set_count(const Ref<State>& s, int64_t n) { s->write(Tensor::scalar(n, DType::kI64)); }

}  // namespace

ReduceOnPlateau::ReduceOnPlateau(std::shared_ptr<Optimizer> optimizer, PlateauOptions o)
    : optimizer_(std::move(optimizer)), options_(o) {
  if (!optimizer_) throw_error(ErrorCode::kValue, "ReduceOnPlateau needs an optimizer");
  if (optimizer_->has_schedule()) {
    throw_error(ErrorCode::kValue, "ReduceOnPlateau and a schedule both write the learning rate");
  }
  if (!(o.factor > 0 && o.factor < 1)) {
    throw_error(ErrorCode::kValue,
                cat("ReduceOnPlateau's factor must be in (0, 1), got ", o.factor));
  }
  if (o.patience < 0 || o.cooldown < 0) {
    throw_error(ErrorCode::kValue, "ReduceOnPlateau's patience and cooldown must not be negative");
  }
  const double worst = std::numeric_limits<double>::infinity();
  best_ = make_ref<State>("best", Tensor::scalar(o.larger_is_better ? -worst : worst, DType::kF64));
  waited_ = make_ref<State>("waited", Tensor::scalar(int64_t{0}, DType::kI64));
  cooling_ = make_ref<State>("cooling", Tensor::scalar(int64_t{0}, DType::kI64));
}

bool ReduceOnPlateau::better(double value) const {
  const double b = best(), t = options_.threshold;
  if (options_.larger_is_better) return value > (options_.absolute ? b + t : b * (1 + t));
  return value < (options_.absolute ? b - t : b * (1 - t));
}

bool ReduceOnPlateau::observe(double value) {
  if (better(value)) {
    best_->write(Tensor::scalar(value, DType::kF64));
    set_count(waited_, 0);
  } else {
    set_count(waited_, count(waited_) + 1);
  }
  if (count(cooling_) > 0) {
    set_count(cooling_, count(cooling_) - 1);
    set_count(waited_, 0);
  }
  if (count(waited_) <= options_.patience) return false;
  set_count(cooling_, options_.cooldown);
  set_count(waited_, 0);
  const double old = optimizer_->lr(), lr = std::max(old * options_.factor, options_.min_lr);
  if (old - lr <= options_.eps) return false;
  optimizer_->set_lr(lr);
  return true;
}

std::vector<NamedState> ReduceOnPlateau::named_states() const {
  return {{"best", best_}, {"waited", waited_}, {"cooling", cooling_}};
}

}  // namespace rutile::nn::optim
