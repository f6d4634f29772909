// SPDX-License-Identifier: Apache-2.0
// Where samples come from: a numbered collection that any thread may read in any order.
//
//   class Squares final : public dataset::Source {
//    public:
//     int64_t size() const override { return 100; }
//     void read(int64_t i, dataset::Sample* out) const override {
//       out->add_scalar(float(i));
//       out->add_scalar(float(i) * float(i));
//     }
//   };
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/tensor.h"

namespace rutile::dataset {

// One field of one sample: row-major elements that belong to the source or to the Sample.
struct View {
  const void* data = nullptr;
  DType dtype = DType::kU8;
  Shape shape;
  size_t bytes() const { return static_cast<size_t>(shape.numel()) * dtype_size(dtype); }
};

// What a source hands out: the input first (for images u8 or f32 [C,H,W]), then labels and what
// else there is. Reused from sample to sample, so that reading allocates nothing.
class RUTILE_API Sample {
 public:
  const std::vector<View>& fields() const { return fields_; }
  void clear();
  // A field in memory of the source, which outlives the source's users.
  void add(const void* data, DType dtype, const Shape& shape) {
    fields_.push_back({data, dtype, shape});
  }
  // A field in memory of the sample; the caller fills it. Its elements stay until clear().
  void* add_owned(DType dtype, const Shape& shape);
  template <class T>
  void add_scalar(T value) {
    std::memcpy(add_owned(dtype_of<T>, {}), &value, sizeof(T));
  }

 private:
  std::vector<View> fields_;
  std::vector<std::vector<unsigned char>> owned_;
  size_t used_ = 0;
};

class RUTILE_API Source {
 public:
  virtual ~Source() = default;
  virtual int64_t size() const = 0;
  // Puts sample `index`, 0 <= index < size(), into a cleared Sample. Called by several threads at
  // once; throws what is wrong with the sample.
  virtual void read(int64_t index, Sample* out) const = 0;
  // Where the sample stands, for errors: "record 7 of 'train-images.gz'". Empty: nothing to add.
  virtual std::string describe(int64_t index) const;
  // Number of classes or symbols that labels are drawn from; 0: not that kind.
  virtual int64_t classes() const { return 0; }
};
using SourcePtr = std::shared_ptr<const Source>;

// Row i of each tensor is sample i. The tensors have the same first dimension, lie on the host and
// are made contiguous. `name` goes into errors.
RUTILE_API SourcePtr from_tensors(const std::vector<Tensor>& fields, int64_t classes = 0,
                                  const std::string& name = "");

}  // namespace rutile::dataset
