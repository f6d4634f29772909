// SPDX-License-Identifier: Apache-2.0
// Elementwise operations that take or give complex numbers.
#pragma once

#include "rutile/core/dtype.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/indexer.h"

namespace rutile::cuda {

enum class ComplexOp : uint8_t {
  kCast,
  kAdd,
  kSub,
  kMul,
  kDiv,
  kNeg,
  kConj,
  kReal,
  kImag,
  kAbs,
  kAngle,
  kComplex,
  kSquare,
  kReciprocal,
  kExp,
  kLog,
  kSqrt,
  kEqual,
  kNotEqual,
  kIsNan,
  kIsInf,
  kIsFinite,
  kWhere,
  kPow,
  kLogicalNot,
  kLogicalAnd,
  kLogicalOr,
  kLogicalXor,
  kExp2,
  kExpm1,
  kLog2,
  kLog10,
  kLog1p,
  kRsqrt,
  kSigmoid,
  kSin,
  kCos,
  kTan,
  kAsin,
  kAcos,
  kAtan,
  kSinh,
  kCosh,
  kTanh,
  kAsinh,
  kAcosh,
  kAtanh
};

struct ComplexArgs {
  ComplexOp op = ComplexOp::kAdd;
  bool wide = false;
  int64_t n = 0;
  int inputs = 1;
  DType in_type[3] = {}, out_type = DType::kC64;
  const void* in[3] = {};
  void* out = nullptr;
  Indexer<4> at;  // out, in
};
int launch_complex(const ComplexArgs& a, Stream stream);

// A part of complex numbers from real ones: a - b for the real part, a + b for the other.
struct CombineArgs {
  int64_t n = 0;
  bool wide = false;
  int part = 0;
  const void *a = nullptr, *b = nullptr;
  void* y = nullptr;
};
int launch_combine(const CombineArgs& a, Stream stream);

}  // namespace rutile::cuda
