// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/tensor.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <typeinfo>

#include "rutile/core/device_runtime.h"
#include "rutile/core/element.h"
#include "rutile/core/freelist.h"

namespace rutile {
namespace {

using ImplBlocks = FreeList<sizeof(TensorImpl), alignof(TensorImpl)>;

std::atomic<SymbolicReadHandler> g_symbolic_read{nullptr};

[[noreturn]] void fail_symbolic(const TensorImpl& impl, const char* what) {
  if (SymbolicReadHandler handler = g_symbolic_read.load()) handler(impl, what);
  throw_error(ErrorCode::kRuntime,
              cat(what, " needs the value of a tensor that is being traced and has none yet | ",
                  to_string(impl.meta)));
}

// The impl, if the host can read its elements.
const TensorImpl& readable(const Tensor& t, const char* what) {
  const TensorMeta& m = t.meta();
  if (t.impl()->symbolic()) fail_symbolic(*t.impl(), what);
  if (m.device.type != DeviceType::kCpu) {
    throw_error(ErrorCode::kRuntime, cat(what, " needs a tensor on the cpu, got ", to_string(m),
                                         ": copy it with to(kCpu) first"));
  }
  return *t.impl();
}

// The elements where the host can read them, copied from a device where they lie on one.
class HostElements {
 public:
  HostElements(const Tensor& t, const char* what) {
    const TensorMeta& m = t.meta();
    if (t.impl()->symbolic()) fail_symbolic(*t.impl(), what);
    data_ = static_cast<const char*>(t.impl()->data);
    const size_t bytes = static_cast<size_t>(m.nbytes());
    if (m.device.type == DeviceType::kCpu || bytes == 0) return;
    copy_ = std::make_unique<char[]>(bytes);
    throw_if_error(device_runtime(m.device).to_host(copy_.get(), data_, bytes));
    data_ = copy_.get();
  }
  const char* data() const { return data_; }

 private:
  std::unique_ptr<char[]> copy_;
  const char* data_;
};

void attach_memory(TensorImpl* impl, size_t bytes) {
  if (bytes == 0) return;
  if (bytes <= TensorImpl::kInlineBytes && impl->meta.device.type == DeviceType::kCpu) {
    impl->data = impl->inline_data;
    return;
  }
  Ref<Storage> storage = Storage::allocate(bytes, impl->meta.device);
  impl->data = storage->data();
  impl->owner = std::move(storage);
}

// Copies in row-major order; Offset gives the share of an index of a dimension in the offset.
template <size_t kSize, class Offset>
void gather(const char* src, const Shape& shape, char* out, const Offset& offset) {
  const int last = shape.rank() - 1;
  int64_t index[kMaxRank] = {};
  while (true) {
    int64_t base = 0;
    for (int d = 0; d < last; ++d) base += offset(d, index[d]);
    for (int64_t i = 0; i < shape[last]; ++i, out += kSize) {
      std::memcpy(out, src + (base + offset(last, i)) * static_cast<int64_t>(kSize), kSize);
    }
    int d = last - 1;
    while (d >= 0 && ++index[d] == shape[d]) index[d--] = 0;
    if (d < 0) return;
  }
}

template <class Offset>
void gather_sized(size_t size, const char* src, const Shape& shape, char* out, const Offset& f) {
  switch (size) {
    case 1:
      return gather<1>(src, shape, out, f);
    case 2:
      return gather<2>(src, shape, out, f);
    case 4:
      return gather<4>(src, shape, out, f);
    case 8:
      return gather<8>(src, shape, out, f);
    default:
      return gather<16>(src, shape, out, f);
  }
}

void gather_blocked(const TensorMeta& m, const char* src, char* out) {
  std::vector<int64_t> offsets[kMaxRank];
  for (int d = 0; d < m.rank(); ++d) {
    offsets[d].resize(static_cast<size_t>(m.shape[d]));
    for (int64_t i = 0; i < m.shape[d]; ++i) {
      offsets[d][static_cast<size_t>(i)] = layout_dim_offset(m.layout, m.shape, d, i);
    }
  }
  gather_sized(dtype_size(m.dtype), src, m.shape, out,
               [&](int d, int64_t i) { return offsets[d][static_cast<size_t>(i)]; });
}

Element element_of(Scalar s) {
  switch (s.kind) {
    case Scalar::Kind::kBool:
      return {.kind = Element::Kind::kBool, .i = s.i};
    case Scalar::Kind::kInt:
      return {.kind = Element::Kind::kSigned, .i = s.i};
    case Scalar::Kind::kFloat:
      break;
  }
  return {.kind = Element::Kind::kFloat, .re = s.f};
}

// Repeats the first element over `bytes` bytes, doubling what is filled.
void repeat(char* p, size_t element, size_t bytes) {
  constexpr size_t kCached = 1 << 14;  // fits the first-level cache; a multiple of every element
  for (size_t done = element; done < bytes;) {
    const size_t n = std::min({done, bytes - done, kCached});
    std::memcpy(p + done, p, n);
    done += n;
  }
}

}  // namespace

void* TensorImpl::operator new(size_t) { return ImplBlocks::take(); }
void TensorImpl::operator delete(void* p) noexcept { ImplBlocks::give(p); }

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  int64_t numel = 0;
  throw_if_error(checked_numel(shape, &numel));
  Ref<TensorImpl> impl(new TensorImpl);
  TensorMeta& meta = impl->meta;  // in place: the meta is most of the work for a small tensor
  meta.shape = shape;
  meta.strides = contiguous_strides(shape);
  meta.dtype = dtype;
  meta.device = device;
  attach_memory(impl.get(), static_cast<size_t>(numel) * dtype_size(dtype));
  return Tensor(std::move(impl));
}

Tensor Tensor::empty(const TensorMeta& meta) {
  int64_t numel = 0;
  throw_if_error(checked_numel(meta.shape, &numel));
  Ref<TensorImpl> impl(new TensorImpl);
  impl->meta = meta;
  attach_memory(impl.get(), static_cast<size_t>(meta.nbytes()));
  return Tensor(std::move(impl));
}

Status store_scalar(const Scalar& s, DType t, void* p) {
  return store_element(element_of(s), t, p);
}

Tensor Tensor::full(const Shape& shape, Scalar value, DType dtype) {
  Tensor t = empty(shape, dtype);
  const size_t size = dtype_size(dtype);
  const size_t bytes = static_cast<size_t>(t.numel()) * size;
  char element[16];
  throw_if_error(store_scalar(value, dtype, element));
  if (bytes == 0) return t;
  char* p = static_cast<char*>(t.impl()->data);
  std::memcpy(p, element, size);
  repeat(p, size, bytes);
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  if (t.numel() > 0) std::memset(t.impl()->data, 0, static_cast<size_t>(t.meta().nbytes()));
  return t;
}

Tensor Tensor::scalar(Scalar value, DType dtype) { return full({}, value, dtype); }

Tensor Tensor::from_bytes(const void* data, size_t bytes, const Shape& shape, DType dtype) {
  int64_t numel = 0;
  throw_if_error(checked_numel(shape, &numel));
  const size_t expected = static_cast<size_t>(numel) * dtype_size(dtype);
  if (bytes != expected) {
    throw_error(ErrorCode::kValue,
                cat("shape ", to_string(shape), " of ", dtype, " needs ", numel, " elements (",
                    expected, " bytes), got ", bytes / dtype_size(dtype), " (", bytes, " bytes)"));
  }
  Tensor t = empty(shape, dtype);
  if (bytes > 0) std::memcpy(t.impl()->data, data, bytes);
  if (dtype == DType::kBool) {  // 255 is true elsewhere; kernels count the bytes
    auto* truth = static_cast<uint8_t*>(t.impl()->data);
    for (size_t i = 0; i < bytes; ++i) truth[i] = truth[i] != 0;
  }
  return t;
}

Tensor Tensor::view_of(Ref<RefCounted> owner, void* data, const TensorMeta& meta) {
  RUTILE_CHECK(owner || meta.numel() == 0, "a view needs an owner");
  Ref<TensorImpl> impl(new TensorImpl);
  impl->meta = meta;
  impl->data = data;
  impl->owner = std::move(owner);
  return Tensor(std::move(impl));
}

Tensor Tensor::alias() const {
  RUTILE_CHECK(defined() && !is_symbolic(), "alias() of a tensor with elements");
  Ref<RefCounted> owner = impl_->owner ? impl_->owner : Ref<RefCounted>(impl_);
  return view_of(std::move(owner), impl_->data, impl_->meta);
}

const void* Tensor::data() const { return readable(*this, "data()").data; }

void* Tensor::mutable_data() {
  readable(*this, "mutable_data()");
  if (!unique()) {
    throw_error(ErrorCode::kRuntime,
                cat("mutable_data() needs a tensor that nobody else holds | ", to_string(meta())));
  }
  return impl_->data;
}

void Tensor::item_to(DType t, void* out) const {
  if (numel() != 1) {
    throw_error(ErrorCode::kValue,
                cat("item() needs exactly one element, got shape ", to_string(shape())));
  }
  const HostElements element(*this, "item()");
  if (t == dtype()) {
    std::memcpy(out, element.data(), dtype_size(t));
    return;
  }
  throw_if_error(store_element(load_element(dtype(), element.data()), t, out));
}

void Tensor::copy_out(void* out, size_t bytes) const {
  const TensorMeta& m = meta();
  const size_t size = dtype_size(m.dtype);
  const size_t expected = static_cast<size_t>(m.numel()) * size;
  if (bytes != expected) {
    throw_error(ErrorCode::kValue, cat("copy_out of ", to_string(m), " writes ", expected,
                                       " bytes, got room for ", bytes));
  }
  const HostElements elements(*this, "copy_out()");
  if (bytes == 0) return;
  const char* const src = elements.data();
  if (m.is_contiguous()) {
    std::memcpy(out, src, bytes);
  } else if (m.layout != kStrided) {
    gather_blocked(m, src, static_cast<char*>(out));
  } else {
    gather_sized(size, src, m.shape, static_cast<char*>(out),
                 [&m](int d, int64_t i) { return m.strides[d] * i; });
  }
}

bool Tensor::unique() const {
  if (!impl_ || !impl_->RefCounted::unique()) return false;
  const RefCounted* owner = impl_->owner.get();
  if (owner == nullptr) return true;  // the elements are inside
  if (!owner->unique()) return false;
  if (typeid(*owner) == typeid(Storage)) return !static_cast<const Storage*>(owner)->foreign();
  // A view of an inline block counts; memory of an unknown owner may be seen by anybody.
  return typeid(*owner) == typeid(TensorImpl) && !static_cast<const TensorImpl*>(owner)->owner;
}

void Tensor::check_type(DType t) const {
  if (dtype() == t) return;
  throw_error(ErrorCode::kType, cat("the tensor holds ", dtype(), ", asked for as ", t));
}

void set_symbolic_read_handler(SymbolicReadHandler handler) { g_symbolic_read.store(handler); }

}  // namespace rutile
