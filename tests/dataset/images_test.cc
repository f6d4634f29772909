// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/images.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "rutile/tests/io/inputs.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::dataset {
namespace {

using ::rutile::testing::cifar_bytes;
using ::rutile::testing::gzip_bytes;
using ::rutile::testing::idx_bytes;
using ::rutile::testing::TempDir;
using ::rutile::testing::write_text;

int32_t label_of(const Source& source, int64_t index) {
  Sample s;
  source.read(index, &s);
  return *static_cast<const int32_t*>(s.fields().at(1).data);
}

std::vector<uint8_t> image_of(const Source& source, int64_t index) {
  Sample s;
  source.read(index, &s);
  const View& v = s.fields().at(0);
  const auto* p = static_cast<const uint8_t*>(v.data);
  return std::vector<uint8_t>(p, p + v.bytes());
}

void write_mnist(const TempDir& dir, const std::string& images, const std::string& labels) {
  write_text(dir / "train-images-idx3-ubyte", images);
  write_text(dir / "train-labels-idx1-ubyte", labels);
}

TEST(FromTensors, RowsAreSamples) {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor y = Tensor::from<int32_t>({7, 8, 9}, {3});
  const SourcePtr s = from_tensors({x, y}, 10, "memory");
  EXPECT_EQ(s->size(), 3);
  EXPECT_EQ(s->classes(), 10);
  EXPECT_EQ(s->describe(2), "record 2 of 'memory'");
  EXPECT_EQ(label_of(*s, 1), 8);
  Sample sample;
  s->read(2, &sample);
  EXPECT_EQ(sample.fields()[0].shape, (Shape{2}));
  EXPECT_EQ(static_cast<const float*>(sample.fields()[0].data)[1], 6.0f);
  EXPECT_RUTILE_ERROR(from_tensors({}), kValue, "at least one tensor");
  EXPECT_RUTILE_ERROR(from_tensors({x, Tensor::zeros({2})}), kValue, "[3,2] and [2]");
  EXPECT_RUTILE_ERROR(from_tensors({Tensor::scalar(1.0)}), kValue, "same first dimension");
}

TEST(Mnist, ReadsPlainAndGzippedFiles) {
  TempDir dir;
  write_text(dir / "train-images-idx3-ubyte", idx_bytes(8, {2, 2, 2}, "abcdefgh"));
  write_text(dir / "train-labels-idx1-ubyte.gz", gzip_bytes(idx_bytes(8, {2}, "\x03\x09")));
  const SourcePtr s = mnist(Split::kTrain, dir.path());
  EXPECT_EQ(s->size(), 2);
  EXPECT_EQ(s->classes(), 10);
  EXPECT_EQ(label_of(*s, 1), 9);
  EXPECT_EQ(image_of(*s, 1), (std::vector<uint8_t>{'e', 'f', 'g', 'h'}));
  Sample sample;
  s->read(0, &sample);
  EXPECT_EQ(sample.fields()[0].shape, (Shape{1, 2, 2}));
  EXPECT_EQ(s->describe(1), "record 1 of '" + (dir / "train-images-idx3-ubyte") + "'");
}

TEST(Mnist, MissingFilesAreNamedWithFolderAndPackage) {
  TempDir dir;
  for (const char* part : {"no Fashion-MNIST test set in '", "t10k-images-idx3-ubyte",
                           "t10k-labels-idx1-ubyte", "dataset-fashion-mnist"}) {
    EXPECT_RUTILE_ERROR(fashion_mnist(Split::kTest, dir.path()), kNotFound, part);
  }
  EXPECT_RUTILE_ERROR(mnist(Split::kTrain, dir / "absent"), kNotFound, dir / "absent");
}

TEST(Mnist, FilesThatDoNotFit) {
  TempDir dir;
  const std::string images = idx_bytes(8, {2, 2, 2}, "abcdefgh");
  const std::string labels = idx_bytes(8, {2}, std::string("\0\1", 2));
  const auto load = [&] { return mnist(Split::kTrain, dir.path()); };
  write_mnist(dir, images, idx_bytes(8, {3}, std::string(3, '\0')));
  EXPECT_RUTILE_ERROR(load(), kValue, "has 2 images, ");
  write_mnist(dir, images, idx_bytes(8, {2}, "\1\x0a"));
  EXPECT_RUTILE_ERROR(
      load(), kValue,
      "record 1 of '" + (dir / "train-labels-idx1-ubyte") + "' is 10, labels are 0 to 9");
  write_mnist(dir, labels, labels);
  EXPECT_RUTILE_ERROR(load(), kValue, "holds u8 [2], expected u8 [N,H,W] images");
  write_mnist(dir, images, images);
  EXPECT_RUTILE_ERROR(load(), kValue, "expected u8 [N] labels");
  write_mnist(dir, idx_bytes(8, {0, 28, 28}, ""), idx_bytes(8, {0}, ""));
  EXPECT_RUTILE_ERROR(load(), kValue, "[0,28,28]");
  write_mnist(dir, images.substr(0, 20), labels);
  EXPECT_RUTILE_ERROR(load(), kValue, "at offset 20: the header promises u8[2,2,2]");
  write_mnist(dir, gzip_bytes(images).substr(0, 25), labels);
  EXPECT_RUTILE_ERROR(load(), kValue, "compressed data end too early");
  write_mnist(dir, "GIF89a", labels);
  EXPECT_RUTILE_ERROR(load(), kValue, "not an IDX file");
}

TEST(FashionMnist, DebiansFiles) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) {
    GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  }
  const SourcePtr test = fashion_mnist(Split::kTest);
  EXPECT_EQ(test->size(), 10'000);
  std::vector<int> count(10);
  for (int64_t i = 0; i < test->size(); ++i) ++count[label_of(*test, i)];
  EXPECT_EQ(count, std::vector<int>(10, 1000));
  EXPECT_EQ(label_of(*test, 0), 9);  // an ankle boot
  EXPECT_EQ(image_of(*test, 0).size(), 784u);
}

TEST(Cifar10, FilesFollowEachOther) {
  TempDir dir;
  std::filesystem::create_directory(dir / "cifar-10-batches-bin");
  const std::string inner = dir / "cifar-10-batches-bin/";
  write_text(inner + "data_batch_1.bin", cifar_bytes({1, 2}));
  write_text(inner + "data_batch_3.bin", cifar_bytes({5, 6, 7}));
  write_text(inner + "test_batch.bin", cifar_bytes({9}));
  ::testing::internal::CaptureStderr();
  const SourcePtr train = cifar10(Split::kTrain, dir.path());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::HasSubstr("only 2 of the 5"));
  EXPECT_EQ(train->size(), 5);
  EXPECT_EQ(label_of(*train, 1), 2);
  EXPECT_EQ(label_of(*train, 2), 5);
  EXPECT_EQ(image_of(*train, 4)[0], 2);
  EXPECT_EQ(train->describe(4), "record 2 of '" + inner + "data_batch_3.bin'");
  EXPECT_EQ(cifar10(Split::kTest, inner)->size(), 1);
  EXPECT_RUTILE_ERROR(cifar10(Split::kTrain, dir / "none"), kNotFound,
                      "wanted data_batch_1.bin to data_batch_5.bin");
  write_text(inner + "data_batch_3.bin", cifar_bytes({5}).substr(1));
  EXPECT_RUTILE_ERROR(cifar10(Split::kTrain, dir.path()), kValue, "data_batch_3.bin' at offset 0");
}

TEST(SyntheticImages, DependOnSeedAndIndexOnly) {
  const SyntheticImages options{.samples = 100, .shape = {3, 9, 7}, .classes = 5, .seed = 4};
  const SourcePtr a = synthetic_images(options), b = synthetic_images(options);
  EXPECT_EQ(image_of(*a, 17), image_of(*b, 17));
  EXPECT_NE(image_of(*a, 17), image_of(*a, 18));
  SyntheticImages other = options;
  other.seed = 5;
  EXPECT_NE(image_of(*synthetic_images(other), 17), image_of(*a, 17));
  other = options;
  other.first = 10;
  EXPECT_EQ(image_of(*synthetic_images(other), 7), image_of(*a, 17));
  std::set<int32_t> labels;
  for (int i = 0; i < 100; ++i) labels.insert(label_of(*a, i));
  EXPECT_EQ(labels, (std::set<int32_t>{0, 1, 2, 3, 4}));
}

// The nearest class mean, learnt on some samples, names the class of others.
TEST(SyntheticImages, ClassesCanBeLearned) {
  const SourcePtr s = synthetic_images({.samples = 600, .shape = {1, 16, 16}});
  std::vector<std::vector<double>> mean(10, std::vector<double>(256));
  std::vector<int> count(10);
  for (int i = 0; i < 400; ++i) {
    const auto image = image_of(*s, i);
    const int label = label_of(*s, i);
    ++count[label];
    for (int p = 0; p < 256; ++p) mean[label][p] += image[p];
  }
  int right = 0;
  for (int i = 400; i < 600; ++i) {
    const auto image = image_of(*s, i);
    int best = 0;
    double best_distance = 1e30;
    for (int c = 0; c < 10; ++c) {
      double d = 0;
      for (int p = 0; p < 256; ++p) d += std::pow(image[p] - mean[c][p] / count[c], 2);
      if (d < best_distance) best_distance = d, best = c;
    }
    right += best == label_of(*s, i);
  }
  EXPECT_GT(right, 190);
}

TEST(SyntheticImages, Errors) {
  EXPECT_RUTILE_ERROR(synthetic_images({.samples = 0}), kValue, "samples, got 0");
  EXPECT_RUTILE_ERROR(synthetic_images({.shape = {3, 32}}), kValue, "a shape [C,H,W], got [3,32]");
  EXPECT_RUTILE_ERROR(synthetic_images({.shape = {3, -1, 2}}), kValue, "got -1");
  EXPECT_RUTILE_ERROR(synthetic_images({.classes = 0}), kValue, "classes, got 0");
}

// The set as its archive unpacks: five files of 10,000 records and one for testing, 30,730,000
// bytes each, beside two that are no data.
TEST(Cifar10, TheWholeSetInItsOwnFiles) {
  constexpr int64_t kRecords = 10'000, kBytes = kRecords * 3073;
  TempDir dir;
  const std::string inner = dir / "cifar-10-batches-bin/";
  std::filesystem::create_directory(inner);
  write_text(inner + "batches.meta.txt",
             "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  write_text(inner + "readme.html", "<meta HTTP-EQUIV=\"REFRESH\">");
  const std::string record = cifar_bytes({7});
  for (int f = 0; f < 6; ++f) {
    const std::string path =
        inner + (f < 5 ? "data_batch_" + std::to_string(f + 1) + ".bin" : "test_batch.bin");
    write_text(path, "");
    std::filesystem::resize_file(path, kBytes);  // airplanes, all black
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp((kRecords - 1 - f) * 3073);
    file.write(record.data(), static_cast<std::streamsize>(record.size()));
    ASSERT_TRUE(file.good());
  }
  const SourcePtr train = cifar10(Split::kTrain, dir.path()), test = cifar10(Split::kTest, inner);
  EXPECT_EQ(train->size(), 5 * kRecords);
  EXPECT_EQ(test->size(), kRecords);
  EXPECT_EQ(train->classes(), 10);
  for (int64_t f = 0; f < 5; ++f) {
    const int64_t planted = (f + 1) * kRecords - 1 - f;
    EXPECT_EQ(label_of(*train, planted), 7);
    const std::vector<uint8_t> image = image_of(*train, planted);
    ASSERT_EQ(image.size(), 3072u);
    EXPECT_EQ(image[0], 0);           // red
    EXPECT_EQ(image[1025], 1);        // green, one to the right
    EXPECT_EQ(image[2048 + 33], 33);  // blue, one down and one to the right
    EXPECT_EQ(label_of(*train, planted - 1), 0);
    EXPECT_EQ(image_of(*train, planted - 1), std::vector<uint8_t>(3072, 0));
  }
  EXPECT_EQ(label_of(*test, kRecords - 6), 7);
  std::filesystem::resize_file(inner + "data_batch_5.bin", kBytes - 1);
  EXPECT_RUTILE_ERROR(cifar10(Split::kTrain, dir.path()), kValue, "data_batch_5.bin'");
}

}  // namespace
}  // namespace rutile::dataset
