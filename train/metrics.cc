// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/metrics.h"

#include <cmath>
#include <limits>
#include <vector>

#include "rutile/core/strings.h"
#include "rutile/ops/elementwise.h"

namespace rutile::train {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<double> host_values(const Tensor& t) {
  if (!is_floating(t.dtype())) {
    throw_error(ErrorCode::kType, cat("accuracy takes floating-point outputs, got ", t.meta()));
  }
  return (t.dtype() == DType::kF64 ? t : ops::cast(t, DType::kF64)).to_vector<double>();
}

std::vector<int64_t> host_labels(const Tensor& t) {
  if (t.dtype() == DType::kI64) return t.to_vector<int64_t>();
  if (t.dtype() != DType::kI32) {
    throw_error(ErrorCode::kType, cat("labels are i32 or i64, got ", t.meta()));
  }
  const std::vector<int32_t> v = t.to_vector<int32_t>();
  return {v.begin(), v.end()};
}

// How many classes stand before `label`; `classes` if there is a NaN.
int64_t rank_of(const double* row, int64_t classes, int64_t label) {
  int64_t before = 0;
  const double own = row[label];
  for (int64_t c = 0; c < classes; ++c) {
    if (std::isnan(row[c])) return classes;
    before += row[c] > own || (row[c] == own && c < label);
  }
  return before;
}

}  // namespace

Accuracy::Accuracy(int64_t k) : k_(k) {
  if (k < 1) throw_error(ErrorCode::kValue, cat("top-k accuracy needs k >= 1, got ", k));
}

std::string Accuracy::name() const {
  return k_ == 1 ? std::string("accuracy") : cat("top-", k_, " accuracy");
}

void Accuracy::update(const Tensor& outputs, const Tensor& labels) {
  const Shape& shape = outputs.shape();
  bool fits = shape.rank() == labels.rank() + 1;
  for (int i = 0; fits && i < labels.rank(); ++i) fits = shape[i] == labels.dim(i);
  if (!fits || shape[shape.rank() - 1] == 0) {
    throw_error(ErrorCode::kValue, cat("outputs ", outputs.meta(), " and labels ", labels.meta(),
                                       " do not fit: expected [..., classes] and [...]"));
  }
  const int64_t classes = shape[shape.rank() - 1];
  const std::vector<double> values = host_values(outputs);
  const std::vector<int64_t> wanted = host_labels(labels);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] < 0) continue;
    if (wanted[i] >= classes) {
      throw_error(ErrorCode::kIndex,
                  cat("label ", wanted[i], " is out of range for ", classes, " classes"));
    }
    const double* row = values.data() + i * static_cast<size_t>(classes);
    right_ += rank_of(row, classes, wanted[i]) < k_ && !std::isnan(row[wanted[i]]);
    ++samples_;
  }
}

double Accuracy::value() const {
  return samples_ == 0 ? kNaN : static_cast<double>(right_) / static_cast<double>(samples_);
}

void Mean::add(double mean, int64_t count) {
  sum_ += mean * static_cast<double>(count);
  count_ += count;
}

double Mean::value() const { return count_ == 0 ? kNaN : sum_ / static_cast<double>(count_); }

}  // namespace rutile::train
