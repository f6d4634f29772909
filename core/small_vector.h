// SPDX-License-Identifier: Apache-2.0
// A vector with N elements inside; it grows to the heap beyond.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace rutile {

template <class T, int N>
class SmallVector {
 public:
  SmallVector() = default;
  SmallVector(std::initializer_list<T> v) {
    for (const T& x : v) push_back(x);
  }
  explicit SmallVector(std::span<const T> v) {
    for (const T& x : v) push_back(x);
  }
  SmallVector(const SmallVector& o) {
    for (const T& x : o) push_back(x);
  }
  SmallVector(SmallVector&& o) noexcept { take(o); }
  SmallVector& operator=(SmallVector o) noexcept {
    clear_and_free();
    take(o);
    return *this;
  }
  ~SmallVector() { clear_and_free(); }

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](int i) { return data_[i]; }
  const T& operator[](int i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }
  void push_back(T x) { emplace_back(std::move(x)); }
  template <class... Args>
  T& emplace_back(Args&&... args) {
    if (size_ == capacity_) {
      T x(std::forward<Args>(args)...);  // the arguments may lie in the memory that moves
      grow();
      return *::new (static_cast<void*>(data_ + size_++)) T(std::move(x));
    }
    return *::new (static_cast<void*>(data_ + size_++)) T(std::forward<Args>(args)...);
  }
  void resize(int n) {
    while (size_ > n) data_[--size_].~T();
    while (size_ < n) emplace_back();
  }
  void clear() {
    while (size_ > 0) data_[--size_].~T();
  }
  operator std::span<const T>() const { return {data_, static_cast<size_t>(size_)}; }
  operator std::span<T>() { return {data_, static_cast<size_t>(size_)}; }

 private:
  T* inline_ptr() { return reinterpret_cast<T*>(inline_); }
  void grow() {
    const int cap = capacity_ * 2;
    T* p = static_cast<T*>(
        ::operator new(sizeof(T) * static_cast<size_t>(cap), std::align_val_t(alignof(T))));
    for (int i = 0; i < size_; ++i) {
      ::new (static_cast<void*>(p + i)) T(std::move(data_[i]));
      data_[i].~T();
    }
    if (data_ != inline_ptr()) ::operator delete(data_, std::align_val_t(alignof(T)));
    data_ = p;
    capacity_ = static_cast<int>(cap);
  }
  void take(SmallVector& o) noexcept {
    if (o.data_ != o.inline_ptr()) {
      data_ = std::exchange(o.data_, o.inline_ptr());
      size_ = std::exchange(o.size_, 0);
      capacity_ = std::exchange(o.capacity_, N);
      return;
    }
    for (T& x : o) emplace_back(std::move(x));
    o.clear();
  }
  void clear_and_free() {
    clear();
    if (data_ != inline_ptr()) ::operator delete(data_, std::align_val_t(alignof(T)));
    data_ = inline_ptr();
    capacity_ = N;
  }
  alignas(T) unsigned char inline_[sizeof(T) * N];
  T* data_ = inline_ptr();
  int size_ = 0;
  int capacity_ = N;
};

}  // namespace rutile
