// SPDX-License-Identifier: Apache-2.0
// Complex numbers: their parts, and how they are made. Arithmetic, functions and comparisons for
// equality are those of elementwise.h, sums and products those of reduce.h and matmul.h; ops that
// compare by size, round or count take no complex numbers (kType).
//
//   Tensor z = ops::complex(re, im);                  // f32[8], f32[8] -> c64[8]
//   Tensor power = ops::square(ops::abs(z));          // f32[8]
//
// Mixed operands promote: f32 with c64 gives c64, f64 or c128 with a complex number c128. A cast to
// a real type drops the imaginary part.
//
// Gradients follow PyTorch: of a real value L by z = x + iy the gradient is dL/dx + i dL/dy, along
// which L grows fastest, and a step z - lr * grad descends. So w = f(z) with a complex derivative
// turns the gradient g of w into g * conj(f'(z)), and the gradient of a real operand is real.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

// The parts, as f32 of c64 and f64 of c128. The functions take real tensors too, of which real() is
// x itself and imag() is 0; the ops want complex ones.
extern RUTILE_API const OpDef kReal, kImag;
RUTILE_API Tensor real(Arg x);
RUTILE_API Tensor imag(Arg x);

// x - iy of x + iy; a real tensor itself.
extern RUTILE_API const OpDef kConj;
RUTILE_API Tensor conj(Arg x);

// The angle atan2(y, x) of x + iy in (-pi, pi]; of real numbers 0, pi for negative ones, NaN of
// NaN. The gradient at 0 is 0.
extern RUTILE_API const OpDef kAngle;
RUTILE_API Tensor angle(Arg x);

// z / |z|, 0 of 0; of real numbers their sign.
extern RUTILE_API const OpDef kSgn;
RUTILE_API Tensor sgn(Arg x);

// re + i im; shapes broadcast, f32 gives c64, f64 c128, other real types are cast to f32 first.
extern RUTILE_API const OpDef kComplex;
RUTILE_API Tensor complex(Arg re, Arg im);

// length (cos(angle) + i sin(angle)), as complex() of the two.
extern RUTILE_API const OpDef kPolar;
RUTILE_API Tensor polar(Arg length, Arg angle);

// c64[...] as f32[..., 2], real part first, and back; a copy. kValue for a last dimension that is
// not 2, or a ninth one.
extern RUTILE_API const OpDef kViewAsReal, kViewAsComplex;
RUTILE_API Tensor view_as_real(Arg x);
RUTILE_API Tensor view_as_complex(Arg x);

}  // namespace rutile::ops
