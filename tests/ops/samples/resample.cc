// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/resample.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

const ResampleKernel kKernels[] = {ResampleKernel::kLanczos1,  ResampleKernel::kLanczos3,
                                   ResampleKernel::kLanczos5,  ResampleKernel::kGaussian,
                                   ResampleKernel::kBox,       ResampleKernel::kTriangle,
                                   ResampleKernel::kKeysCubic, ResampleKernel::kMitchellCubic};

// Larger and smaller, moved to both sides; constant: the kernels have kinks.
Input scale_in() { return in({2}).values({1.37, 0.61}).constant(); }
Input translation_in() { return in({2}).values({-1.21, 0.83}).constant(); }

}  // namespace

RUTILE_SAMPLES(scale_and_translate) {
  for (const auto kernel : kKernels) {
    for (const bool antialias : {false, true}) {
      s.add({in({2, 3, 5, 7}), scale_in(), translation_in()},
            ScaleAndTranslateAttrs{{6, 4}, kernel, antialias})
          .dtypes({DType::kF32, DType::kF64});
    }
  }
  s.add({in({1, 6, 4, 3}).channels_last(), scale_in(), translation_in()},
        ScaleAndTranslateAttrs{{9, 2}})
      .dtypes(kFloats);
  s.add({in({0, 3, 5, 7}), scale_in(), translation_in()}, ScaleAndTranslateAttrs{{6, 4}});
  s.add({in({1, 1, 1, 1}), scale_in(), translation_in()}, ScaleAndTranslateAttrs{{3, 3}});
  s.error({in({3, 5, 7}), in({2}), in({2})}, ScaleAndTranslateAttrs{{6, 4}}, ErrorCode::kValue,
          "x must have shape [n,c,h,w]");
  s.error({in({2, 3, 5, 7}), in({3}), in({2})}, ScaleAndTranslateAttrs{{6, 4}}, ErrorCode::kValue,
          "scale expects shape [2]");
  s.error({in({2, 3, 5, 7}), in({2}), in({2})}, ScaleAndTranslateAttrs{{6}}, ErrorCode::kValue,
          "size expects [rows,columns]");
  s.error({in({2, 3, 5, 7}), in({2}), in({2})}, ScaleAndTranslateAttrs{{6, 0}}, ErrorCode::kValue,
          "positive sizes");
  s.error({in({2, 3, 5, 7}).as(DType::kI32), in({2}), in({2})}, ScaleAndTranslateAttrs{{6, 4}},
          ErrorCode::kType, "floating point");
}

RUTILE_SAMPLES(scale_and_translate_grad) {
  for (const auto kernel : kKernels) {
    s.add({in({2, 3, 6, 4}), scale_in(), translation_in()},
          ScaleAndTranslateGradAttrs{{5, 7}, kernel})
        .dtypes({DType::kF32, DType::kF64});
  }
  s.add({in({1, 6, 9, 2}).channels_last(), scale_in(), translation_in()},
        ScaleAndTranslateGradAttrs{{4, 3}, ResampleKernel::kTriangle, false})
      .dtypes(kFloats);
  s.error({in({2, 6, 4}), in({2}), in({2})}, ScaleAndTranslateGradAttrs{{5, 7}}, ErrorCode::kValue,
          "dy must have shape [n,c,h,w]");
  s.error({in({2, 3, 6, 4}), in({2}), in({1})}, ScaleAndTranslateGradAttrs{{5, 7}},
          ErrorCode::kValue, "translation expects shape [2]");
}

RUTILE_SAMPLES(extract_glimpse) {
  const Input offsets = in({2, 2}).values({0.3, -0.4, -0.9, 1.3}).constant();
  for (const bool centered : {false, true}) {
    for (const bool normalized : {false, true}) {
      s.add({in({2, 3, 5, 7}), offsets}, ExtractGlimpseAttrs{{4, 3}, centered, normalized})
          .dtypes(kFloats);
      s.add({in({2, 3, 5, 7}), offsets, in({2, 3, 4, 3})},
            ExtractGlimpseAttrs{{4, 3}, centered, normalized});
    }
  }
  // All of it, none of it, more than it.
  s.add({in({2, 1, 4, 4}), in({2, 2}).values({0, 0, 50, -50}).constant()},
        ExtractGlimpseAttrs{{6, 5}});
  s.add({in({2, 6, 4, 4}).channels_last(), offsets}, ExtractGlimpseAttrs{{2, 2}});
  s.add({in({0, 3, 5, 7}), in({0, 2}).constant()}, ExtractGlimpseAttrs{{4, 3}});
  s.error({in({2, 3, 5, 7}), in({3, 2})}, ExtractGlimpseAttrs{{4, 3}}, ErrorCode::kValue,
          "offsets expects shape [2,2]");
  s.error({in({2, 3, 5, 7}), in({2, 2}), in({2, 3, 4, 4})}, ExtractGlimpseAttrs{{4, 3}},
          ErrorCode::kValue, "fill expects shape [2,3,4,3]");
  s.error({in({2, 3, 5, 7}), in({2, 2})}, ExtractGlimpseAttrs{{4}}, ErrorCode::kValue,
          "size expects [rows,columns]");
}

}  // namespace rutile::samples
