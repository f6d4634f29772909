// SPDX-License-Identifier: Apache-2.0
// What the rows of matrix products take of cuBLASLt: column-major products of strided batches with
// what is done to the result before it is written. Nothing of CUDA is in this header, so that tests
// run the rows over a stand-in for the library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/dtype.h"
#include "rutile/core/error.h"

namespace rutile::cuda {

// What happens to the result d = first * second. GELU is that by tanh. A vector has an element a
// row of d (kSumsOfSecond: a column), a side matrix is as large as d.
enum class BlasEnd : uint8_t {
  kNone,
  kBias,         // d += vector
  kRelu,         // d = relu(d)
  kReluBias,     // d = relu(d + vector)
  kGelu,         // d = gelu(d)
  kGeluBias,     // d = gelu(d + vector)
  kGeluAux,      // side = d, d = gelu(d)
  kGeluAuxBias,  // side = d + vector, d = gelu(side)
  kGeluGrad,     // d *= gelu'(side)
  kSumsOfSecond  // vector = sums of the columns of second
};

struct BlasMatrix {
  bool transposed = false;  // as it lies; rows and columns are those of the memory
  int64_t rows = 0, columns = 0, ld = 0, batch_stride = 0;
  DType type = DType::kF32;
};
struct BlasProduct {
  BlasMatrix first, second, result;
  int64_t batch = 1;
  BlasEnd end = BlasEnd::kNone;
  DType vector_type = DType::kF32;
  int64_t side_ld = 0;  // of the result's type
  bool tf32 = false;
};

// One of the library's algorithms for a product, and the workspace that it needs.
struct BlasWay {
  std::array<uint64_t, 8> algorithm{};
  size_t bytes = 0;
};
struct BlasPointers {
  const void *first = nullptr, *second = nullptr;
  void *result = nullptr, *vector = nullptr, *side = nullptr, *workspace = nullptr;
};

// Immutable; threads may share it.
class LibraryProduct {
 public:
  virtual ~LibraryProduct() = default;
  // For the device that is the thread's own (make_current).
  static Status make(int device, const BlasProduct& product,
                     std::unique_ptr<const LibraryProduct>* out);
  // What the library expects to be the fastest for matrices that begin at multiples of `alignment`
  // bytes, at most `most`; kUnsupported where it has nothing.
  virtual Status ways(uint32_t alignment, int most, std::vector<BlasWay>* out) const = 0;
  // `stream` is CUDA's.
  virtual Status run(const BlasWay& way, const BlasPointers& p, void* stream) const = 0;
};
inline constexpr size_t kBlasWorkspace = size_t{32} << 20;  // what NVIDIA advises for Hopper

// Whether there is such a type of matrices.
bool blas_type(DType t);
// Why the library cannot be used; empty: it can.
const std::string& blas_failure();

}  // namespace rutile::cuda
