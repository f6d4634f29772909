// SPDX-License-Identifier: Apache-2.0
// Tensor: a counted handle to a value of some shape and dtype.
//
//   Tensor x = Tensor::from<float>({1, 2, 3, 4}, {2, 2});
//   Tensor y = x + x;                       // rutile/ops/tensor_ops.h
//   std::vector<float> v = y.to_vector<float>();
//
// Tensors are values: no call changes the elements of a tensor that somebody else holds. A tensor
// is concrete (has data) or symbolic (a value of a graph being traced). Handles may be copied and
// released on any thread; one handle is not to be assigned by two threads at once.
#pragma once

#include <bit>
#include <span>
#include <type_traits>
#include <vector>

#include "rutile/core/allocator.h"
#include "rutile/core/meta.h"
#include "rutile/core/ref.h"

namespace rutile {

class TensorImpl;

// A scalar argument that remembers whether it was written as bool, integer or float.
struct Scalar {
  enum class Kind : uint8_t { kBool, kInt, kFloat } kind = Kind::kFloat;
  double f = 0;
  int64_t i = 0;
  constexpr Scalar() = default;
  constexpr Scalar(bool v) : kind(Kind::kBool), f(v), i(v) {}
  constexpr Scalar(int v) : kind(Kind::kInt), f(v), i(v) {}
  constexpr Scalar(int64_t v) : kind(Kind::kInt), f(static_cast<double>(v)), i(v) {}
  constexpr Scalar(float v) : Scalar(static_cast<double>(v)) {}
  constexpr Scalar(double v) : f(v), i(whole(v)) {}
  constexpr bool operator==(const Scalar& o) const {
    if (kind != o.kind) return false;
    // By bits: 0 and -0 are two values, NaN is equal to itself.
    return kind == Kind::kFloat ? std::bit_cast<uint64_t>(f) == std::bit_cast<uint64_t>(o.f)
                                : i == o.i;
  }

 private:
  // Cut off, at the ends of the range; NaN gives 0.
  static constexpr int64_t whole(double v) {
    if (v != v) return 0;
    if (v < -0x1p63) return INT64_MIN;
    return v >= 0x1p63 ? INT64_MAX : static_cast<int64_t>(v);
  }
};

class RUTILE_API Tensor {
 public:
  Tensor() = default;  // "no tensor": an absent optional input
  explicit Tensor(Ref<TensorImpl> impl) : impl_(std::move(impl)) {}

  // Fresh memory with undefined contents.
  static Tensor empty(const Shape& shape, DType dtype = DType::kF32, Device device = kCpu);
  static Tensor empty(const TensorMeta& meta);
  static Tensor full(const Shape& shape, Scalar value, DType dtype = DType::kF32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::kF32);
  // 0-d tensor.
  static Tensor scalar(Scalar value, DType dtype = DType::kF32);
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape) {
    return from_bytes(values.data(), values.size_bytes(), shape, dtype_of<T>);
  }
  template <class T>
  static Tensor from(std::initializer_list<T> values, const Shape& shape) {
    return from_bytes(values.begin(), values.size() * sizeof(T), shape, dtype_of<T>);
  }
  // A row-major copy of `bytes` bytes; a wrong size is an error.
  static Tensor from_bytes(const void* data, size_t bytes, const Shape& shape, DType dtype);
  // A view of memory owned by `owner` (no copy). `data` lies inside it.
  static Tensor view_of(Ref<RefCounted> owner, void* data, const TensorMeta& meta);
  // Another handle to the same elements: to a gradient scope a variable of its own.
  Tensor alias() const;

  bool defined() const { return static_cast<bool>(impl_); }
  inline const TensorMeta& meta() const;
  const Shape& shape() const { return meta().shape; }
  DType dtype() const { return meta().dtype; }
  Device device() const { return meta().device; }
  int rank() const { return meta().rank(); }
  int64_t dim(int i) const { return meta().shape[i]; }
  int64_t numel() const { return meta().numel(); }
  inline bool is_symbolic() const;

  // First element. Throws for a symbolic tensor (naming the op that made it) and for memory that
  // the host cannot read. The pointer lives as long as some handle to this tensor.
  const void* data() const;
  template <class T>
  const T* data_as() const {
    check_type(dtype_of<T>);
    return static_cast<const T*>(data());
  }
  // For filling a fresh tensor that nobody else holds yet; throws if it is shared.
  void* mutable_data();
  template <class T>
  T* mutable_data_as() {
    check_type(dtype_of<T>);
    return static_cast<T*>(mutable_data());
  }
  // The single element, converted; an error unless numel() == 1, and for an integer type that
  // cannot hold the value (fractions are cut off).
  template <class T = double>
  T item() const {
    T v;
    item_to(dtype_of<T>, &v);
    return v;
  }
  // Elements in row-major order, whatever the strides and layout.
  template <class T>
  std::vector<T> to_vector() const {
    check_type(dtype_of<T>);
    // std::vector<bool> has no memory to copy to.
    std::vector<std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>> v(
        static_cast<size_t>(numel()));
    copy_out(v.data(), v.size() * sizeof(T));
    if constexpr (std::is_same_v<T, bool>) {
      return std::vector<bool>(v.begin(), v.end());
    } else {
      return v;
    }
  }
  // Writes the elements in row-major order into `out` (`bytes` == numel * dtype size). From a
  // device's memory: behind all work queued on it.
  void copy_out(void* out, size_t bytes) const;
  // The same elements on a device; this tensor itself if it is there. Differentiable: the gradient
  // is copied back. An error that says what is missing where the device cannot be used.
  Tensor to(Device device) const;
  // Values (summarised beyond 1,000 elements), shape and dtype.
  std::string repr() const;

  TensorImpl* impl() const { return impl_.get(); }
  const Ref<TensorImpl>& ref() const { return impl_; }
  // True if this handle is the only owner of the elements.
  bool unique() const;

 private:
  void item_to(DType t, void* out) const;
  void check_type(DType t) const;
  Ref<TensorImpl> impl_;
};

// Throws a clear error for reading a symbolic tensor's value; installed by the tracer, which knows
// the op, the Cell path and the user's line.
using SymbolicReadHandler = void (*)(const TensorImpl&, const char* what);
RUTILE_API void set_symbolic_read_handler(SymbolicReadHandler handler);

// What a Tensor points to. Only core and ops/call look inside.
class RUTILE_API TensorImpl final : public RefCounted {
 public:
  static constexpr size_t kInlineBytes = 64;

  TensorMeta meta;
  void* data = nullptr;   // null for symbolic tensors and empty ones
  Ref<RefCounted> owner;  // Storage, or the TensorImpl whose inline block it views; null: inline
  // The tape's slot: valid while `tape_epoch` is the recording thread's current epoch.
  uint64_t tape_epoch = 0;
  uint32_t tape_var = 0;
  // The tracer's value: the graph value id, and which trace it belongs to (0: concrete).
  int32_t trace_value = -1;
  uint64_t trace_id = 0;
  alignas(64) unsigned char inline_data[kInlineBytes];

  bool symbolic() const { return trace_id != 0; }

  // Blocks come from a per-thread free list: a small add must not pay for malloc.
  static void* operator new(size_t size);
  static void operator delete(void* p) noexcept;
};

inline const TensorMeta& Tensor::meta() const {
  if (!impl_) throw_error(ErrorCode::kValue, "this Tensor is empty (default-constructed)");
  return impl_->meta;
}
inline bool Tensor::is_symbolic() const { return impl_ && impl_->symbolic(); }

}  // namespace rutile
