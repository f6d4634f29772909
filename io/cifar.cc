// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/cifar.h"

namespace rutile::io {

Tensor parse_cifar10(const Ref<Blob>& blob) {
  const int64_t bytes = static_cast<int64_t>(blob->size());
  const int64_t records = bytes / kCifarRecordBytes;
  if (bytes == 0 || bytes % kCifarRecordBytes != 0) {
    format_error(
        blob->name(), static_cast<uint64_t>(records * kCifarRecordBytes),
        cat("not a CIFAR-10 batch: ", bytes, " bytes are not a multiple of ", kCifarRecordBytes));
  }
  for (int64_t i = 0; i < records; ++i) {
    const int64_t at = i * kCifarRecordBytes;
    if (blob->data()[at] >= kCifar10Classes) {
      format_error(blob->name(), static_cast<uint64_t>(at),
                   cat("record ", i, " has label ", blob->data()[at], ", labels are 0 to 9"));
    }
  }
  return Tensor::view_of(blob, blob->data(), TensorMeta({records, kCifarRecordBytes}, DType::kU8));
}

Tensor read_cifar10(const std::string& path) { return parse_cifar10(read_file(path)); }

}  // namespace rutile::io
