// SPDX-License-Identifier: Apache-2.0
// Sources of images: two fields, an image u8 [C,H,W] and its label i32 [].
#pragma once

#include <string>

#include "rutile/dataset/source.h"

namespace rutile::dataset {

enum class Split { kTrain, kTest };
RUTILE_API const char* split_name(Split split);  // "train", "test"

// Fashion-MNIST: 60,000 + 10,000 images [1,28,28] in 10 classes (Xiao et al., arXiv 1708.07747).
// `folder` holds the four IDX files, plain or with .gz; empty: where Debian's package
// dataset-fashion-mnist puts them. Missing files: Error{kNotFound} with the folder, the files and
// the package; files that do not fit together: Error{kValue}.
RUTILE_API SourcePtr fashion_mnist(Split split, const std::string& folder = "");
// The same format and names with digits (LeCun et al., 1998); no package ships them.
RUTILE_API SourcePtr mnist(Split split, const std::string& folder);

// CIFAR-10, binary version: images [3,32,32] in 10 classes. `folder` (or cifar-10-batches-bin in
// it) holds data_batch_1.bin to data_batch_5.bin and test_batch.bin; fewer training files than five
// are used with a warning.
RUTILE_API SourcePtr cifar10(Split split, const std::string& folder);

// Images without files: a coarse pattern for each class, plus noise, so that a network learns to
// tell them apart. Sample i depends on i, the seed and the shape only.
struct SyntheticImages {
  int64_t samples = 1024;
  Shape shape{3, 32, 32};
  int64_t classes = 10;
  uint64_t seed = 0;
  int64_t first =
      0;  // number of the first sample: other samples of the same classes, for a test set
};
RUTILE_API SourcePtr synthetic_images(const SyntheticImages& options);

}  // namespace rutile::dataset
