// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/images.h"

#include <algorithm>
#include <filesystem>

#include "rutile/core/log.h"
#include "rutile/io/cifar.h"
#include "rutile/io/idx.h"

namespace rutile::dataset {
namespace {

constexpr char kDebianFashionMnist[] = "/usr/share/datasets/fashion-mnist";
constexpr int64_t kMnistClasses = 10;

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// The plain or the compressed file, or "" if there is neither.
std::string find_idx(const std::string& folder, const std::string& name) {
  for (const char* suffix : {"", ".gz"}) {
    const std::string path = cat(folder, "/", name, suffix);
    if (exists(path)) return path;
  }
  return "";
}

SourcePtr idx_pair(const std::string& what, Split split, const std::string& folder,
                   const std::string& advice) {
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  const std::string image_name = prefix + "-images-idx3-ubyte";
  const std::string label_name = prefix + "-labels-idx1-ubyte";
  const std::string image_path = find_idx(folder, image_name);
  const std::string label_path = find_idx(folder, label_name);
  if (image_path.empty() || label_path.empty()) {
    throw_error(ErrorCode::kNotFound,
                cat("no ", what, " ", split_name(split), " set in '", folder, "': wanted ",
                    image_name, " and ", label_name, ", plain or with .gz; ", advice));
  }
  const Tensor images = io::read_idx(image_path), bytes = io::read_idx(label_path);
  if (images.dtype() != DType::kU8 || images.rank() != 3 || images.numel() == 0) {
    throw_error(ErrorCode::kValue, cat("'", image_path, "' holds ", images.dtype(), " ",
                                       to_string(images.shape()), ", expected u8 [N,H,W] images"));
  }
  if (bytes.dtype() != DType::kU8 || bytes.rank() != 1) {
    throw_error(ErrorCode::kValue, cat("'", label_path, "' holds ", bytes.dtype(), " ",
                                       to_string(bytes.shape()), ", expected u8 [N] labels"));
  }
  const int64_t n = images.dim(0);
  if (bytes.dim(0) != n) {
    throw_error(ErrorCode::kValue, cat("'", image_path, "' has ", n, " images, '", label_path,
                                       "' has ", bytes.dim(0), " labels"));
  }
  Tensor labels = Tensor::empty({n}, DType::kI32);
  const uint8_t* from = bytes.data_as<uint8_t>();
  int32_t* to = labels.mutable_data_as<int32_t>();
  for (int64_t i = 0; i < n; ++i) {
    if (from[i] >= kMnistClasses) {
      throw_error(ErrorCode::kValue, cat("record ", i, " of '", label_path, "' is ", from[i],
                                         ", labels are 0 to ", kMnistClasses - 1));
    }
    to[i] = from[i];
  }
  TensorMeta meta({n, 1, images.dim(1), images.dim(2)}, DType::kU8);
  const Tensor with_channel = Tensor::view_of(images.ref(), const_cast<void*>(images.data()), meta);
  return from_tensors({with_channel, labels}, kMnistClasses, image_path);
}

class CifarSource final : public Source {
 public:
  void add(const std::string& path) {
    Tensor records = io::read_cifar10(path);
    size_ += records.dim(0);
    parts_.push_back({std::move(records), path, size_});
  }
  int64_t size() const override { return size_; }
  int64_t classes() const override { return io::kCifar10Classes; }
  void read(int64_t index, Sample* out) const override {
    const Part& part = part_of(index);
    const uint8_t* record =
        part.records.data_as<uint8_t>() + row(part, index) * io::kCifarRecordBytes;
    out->add(record + 1, DType::kU8, {3, 32, 32});
    out->add_scalar(static_cast<int32_t>(record[0]));
  }
  std::string describe(int64_t index) const override {
    const Part& part = part_of(index);
    return cat("record ", row(part, index), " of '", part.path, "'");
  }

 private:
  struct Part {
    Tensor records;
    std::string path;
    int64_t end;
  };
  const Part& part_of(int64_t index) const {
    return *std::upper_bound(parts_.begin(), parts_.end(), index,
                             [](int64_t i, const Part& p) { return i < p.end; });
  }
  static int64_t row(const Part& part, int64_t index) {
    return index - (part.end - part.records.dim(0));
  }
  std::vector<Part> parts_;
  int64_t size_ = 0;
};

}  // namespace

const char* split_name(Split split) { return split == Split::kTrain ? "train" : "test"; }

SourcePtr fashion_mnist(Split split, const std::string& folder) {
  return idx_pair(
      "Fashion-MNIST", split, folder.empty() ? kDebianFashionMnist : folder,
      "install the Debian package dataset-fashion-mnist, or name the folder that has them");
}

SourcePtr mnist(Split split, const std::string& folder) {
  return idx_pair("MNIST", split, folder, "name the folder that has them");
}

SourcePtr cifar10(Split split, const std::string& folder) {
  std::vector<std::string> names = {"test_batch.bin"};
  if (split == Split::kTrain) {
    names.clear();
    for (int i = 1; i <= 5; ++i) names.push_back(cat("data_batch_", i, ".bin"));
  }
  for (const std::string& place : {folder, folder + "/cifar-10-batches-bin"}) {
    auto source = std::make_shared<CifarSource>();
    size_t found = 0;
    for (const std::string& name : names) {
      const std::string path = cat(place, "/", name);
      if (!exists(path)) continue;
      source->add(path);
      ++found;
    }
    if (found == 0) continue;
    if (found < names.size()) {
      log_warning(cat("'", place, "' has only ", found, " of the ", names.size(),
                      " CIFAR-10 training files: ", source->size(), " samples"));
    }
    return source;
  }
  throw_error(ErrorCode::kNotFound,
              cat("no CIFAR-10 ", split_name(split), " set in '", folder,
                  "' or in its cifar-10-batches-bin: wanted ", names.front(),
                  names.size() > 1 ? cat(" to ", names.back()) : "",
                  "; they are in cifar-10-binary.tar.gz (cs.toronto.edu/~kriz/cifar.html)"));
}

}  // namespace rutile::dataset
