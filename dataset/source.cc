// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/source.h"

#include <algorithm>

namespace rutile::dataset {

void Sample::clear() {
  fields_.clear();
  used_ = 0;
}

void* Sample::add_owned(DType dtype, const Shape& shape) {
  View v{nullptr, dtype, shape};
  if (used_ == owned_.size()) owned_.emplace_back();
  std::vector<unsigned char>& memory = owned_[used_++];
  memory.resize(std::max<size_t>(v.bytes(), 1));
  v.data = memory.data();
  fields_.push_back(v);
  return memory.data();
}

std::string Source::describe(int64_t) const { return ""; }

namespace {

class TensorSource final : public Source {
 public:
  TensorSource(const std::vector<Tensor>& fields, int64_t classes, const std::string& name)
      : classes_(classes), name_(name) {
    if (fields.empty()) throw_error(ErrorCode::kValue, "a source needs at least one tensor");
    for (const Tensor& t : fields) {
      if (t.rank() == 0 || t.dim(0) != fields[0].dim(0)) {
        throw_error(ErrorCode::kValue,
                    cat("the tensors of a source need the same first dimension, got ",
                        to_string(fields[0].shape()), " and ", to_string(t.shape())));
      }
      fields_.push_back(contiguous(t));
      Shape row;
      for (int i = 1; i < t.rank(); ++i) row.push_back(t.dim(i));
      rows_.push_back({fields_.back().data(), t.dtype(), row});
    }
  }
  int64_t size() const override { return fields_[0].dim(0); }
  int64_t classes() const override { return classes_; }
  void read(int64_t index, Sample* out) const override {
    for (const View& row : rows_) {
      const auto* p = static_cast<const unsigned char*>(row.data);
      out->add(p + static_cast<size_t>(index) * row.bytes(), row.dtype, row.shape);
    }
  }
  std::string describe(int64_t index) const override {
    return name_.empty() ? "" : cat("record ", index, " of '", name_, "'");
  }

 private:
  static Tensor contiguous(const Tensor& t) {
    const TensorMeta& m = t.meta();
    if (m.device == kCpu && m.layout == kStrided && m.is_contiguous()) return t;
    Tensor copy = Tensor::empty(m.shape, m.dtype);
    t.copy_out(copy.mutable_data(), static_cast<size_t>(copy.numel()) * dtype_size(m.dtype));
    return copy;
  }

  std::vector<Tensor> fields_;
  std::vector<View> rows_;  // of sample 0
  int64_t classes_;
  std::string name_;
};

}  // namespace

SourcePtr from_tensors(const std::vector<Tensor>& fields, int64_t classes,
                       const std::string& name) {
  return std::make_shared<TensorSource>(fields, classes, name);
}

}  // namespace rutile::dataset
