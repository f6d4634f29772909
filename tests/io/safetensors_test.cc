// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/safetensors.h"

#include <gtest/gtest.h>

#include <chrono>
#include <complex>
#include <filesystem>

#include "rutile/tests/io/inputs.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::io {
namespace {

using ::rutile::testing::read_text;
using ::rutile::testing::safetensors_bytes;
using ::rutile::testing::TempDir;

constexpr char kReference[] = "tests/io/data/reference.safetensors";

SafetensorsFile parse(const std::string& header, const std::string& data = "") {
  const std::string bytes = safetensors_bytes(header, data);
  return SafetensorsFile::parse(copy_bytes(bytes.data(), bytes.size(), "net.safetensors"));
}

std::string entry(const std::string& name, const std::string& type, const std::string& shape,
                  const std::string& offsets) {
  return '"' + name + R"(":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" +
         offsets + "}";
}

template <class T>
void expect_counts(const SafetensorsFile& file, const char* name) {
  const Tensor t = file.tensor(name);
  ASSERT_EQ(t.shape(), (Shape{2, 3})) << name;
  EXPECT_EQ(t.to_vector<T>(), (std::vector<T>{T(0), T(1), T(2), T(3), T(4), T(5)})) << name;
}

TEST(Safetensors, ReadsWhatThePythonPackageWrote) {
  const auto file = SafetensorsFile::open(kReference);
  EXPECT_EQ(file.entries().size(), 16u);
  expect_counts<double>(file, "f64");
  expect_counts<float>(file, "f32");
  expect_counts<int64_t>(file, "i64");
  expect_counts<int32_t>(file, "i32");
  expect_counts<int16_t>(file, "i16");
  expect_counts<int8_t>(file, "i8");
  expect_counts<uint64_t>(file, "u64");
  expect_counts<uint32_t>(file, "u32");
  expect_counts<uint16_t>(file, "u16");
  expect_counts<uint8_t>(file, "u8");
  expect_counts<std::complex<float>>(file, "c64");
  EXPECT_EQ(static_cast<float>(file.tensor("f16").to_vector<Half>()[5]), 5.0f);
  EXPECT_EQ(file.tensor("scalar").item(), 2.5);
  EXPECT_EQ(file.tensor("scalar").rank(), 0);
  EXPECT_EQ(file.tensor("empty").shape(), (Shape{0, 4}));
  EXPECT_EQ(file.tensor("bool").data_as<bool>()[1], true);
  EXPECT_EQ(file.tensor("na\"me\n\u00e9").numel(), 1);
  EXPECT_EQ(file.metadata().at("text"), "line\n\"quoted\" \u00e9 \x01");
}

TEST(Safetensors, WritesTheBytesOfThePythonPackage) {
  const auto file = SafetensorsFile::open(kReference);
  std::vector<NamedTensor> tensors;
  for (const auto& e : file.entries()) tensors.emplace_back(e.name, file.tensor(e));
  TempDir dir;
  save_safetensors(dir / "copy", tensors, file.metadata());
  EXPECT_EQ(read_text(dir / "copy"), read_text(kReference));
}

TEST(Safetensors, LowPrecisionTypes) {
  const auto file = SafetensorsFile::open("tests/io/data/low_precision.safetensors");
  const auto v = file.tensor("bf16").to_vector<BFloat16>();
  EXPECT_EQ(static_cast<float>(v[0]), 1.0f);
  EXPECT_EQ(static_cast<float>(v[1]), 2.0f);
  EXPECT_EQ(file.find("f8")->type, "F8_E4M3");
  EXPECT_RUTILE_ERROR(file.tensor("f8"), kUnsupported, "dtype F8_E4M3, which is not supported");
}

TEST(Safetensors, RoundTripKeepsOrderBitsAndStrides) {
  TempDir dir;
  const Tensor a = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  TensorMeta transposed({3, 2}, DType::kF32);
  transposed.strides = {1, 3};
  const Tensor b = Tensor::view_of(a.ref(), const_cast<void*>(a.data()), transposed);
  save_safetensors(dir / "f", {{"z", a}, {"b", b}, {"none", Tensor::zeros({0})}}, {{"k", "v"}});
  const auto file = SafetensorsFile::open(dir / "f");
  EXPECT_EQ(file.entries()[0].name, "z");
  EXPECT_EQ(file.tensor("b").to_vector<float>(), (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"k", "v"}}));
  save_safetensors(dir / "nothing", {});
  EXPECT_TRUE(SafetensorsFile::open(dir / "nothing").entries().empty());
}

TEST(Safetensors, TensorsAreViewsThatOutliveTheFileObject) {
  TempDir dir;
  save_safetensors(dir / "f", {{"x", Tensor::full({1000}, 3.0)}});
  Tensor x, y;
  {
    const auto file = SafetensorsFile::open(dir / "f");
    x = file.tensor("x");
    y = file.tensor("x");
  }
  EXPECT_EQ(x.data(), y.data());
  save_safetensors(dir / "f", {{"x", Tensor::full({1000}, 4.0)}});
  EXPECT_EQ(x.data_as<float>()[999], 3.0f) << "a save replaces the file, not its pages";
}

TEST(Safetensors, MisalignedElementsAreCopied) {
  const auto file =
      parse("{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "F32", "[1]", "[1,5]") + "}",
            std::string("\x01\x00\x00\x80\x3f", 5));
  const Tensor b = file.tensor("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 4, 0u);
  EXPECT_EQ(b.item(), 1.0);
}

TEST(Safetensors, OpeningALargeFileReadsOnlyItsHeader) {
  TempDir dir;
  const uint64_t bytes = uint64_t{2} << 30;
  const std::string size = std::to_string(bytes);
  ::rutile::testing::write_text(
      dir / "big",
      safetensors_bytes("{" + entry("x", "U8", "[" + size + "]", "[0," + size + "]") + "}", ""));
  std::filesystem::resize_file(dir / "big", std::filesystem::file_size(dir / "big") + bytes);
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto file = SafetensorsFile::open(dir / "big");
    EXPECT_EQ(file.tensor("x").numel(), static_cast<int64_t>(bytes));
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  EXPECT_LT(best, 0.05);
  RecordProperty("open_2gb_us", static_cast<int>(best * 1e6));
}

TEST(Safetensors, UnknownNamesGetASuggestion) {
  const auto file = SafetensorsFile::open(kReference);
  EXPECT_EQ(file.find("f63"), nullptr);
  EXPECT_RUTILE_ERROR(file.tensor("scaler"), kNotFound,
                      "has no tensor 'scaler' among its 16; did you mean 'scalar'?");
  EXPECT_RUTILE_ERROR(file.tensor("something.else"), kNotFound, "among its 16");
}

TEST(Safetensors, BrokenFrames) {
  const auto parse_bytes = [](const std::string& s) {
    return SafetensorsFile::parse(copy_bytes(s.data(), s.size(), "f"));
  };
  EXPECT_RUTILE_ERROR(parse_bytes(""), kValue, "'f' at offset 0: the file ends inside the length");
  EXPECT_RUTILE_ERROR(parse_bytes("1234567"), kValue, "at offset 7");
  EXPECT_RUTILE_ERROR(parse_bytes(std::string(8, '\xff')), kValue, "at most 100000000");
  EXPECT_RUTILE_ERROR(parse_bytes(std::string(16, '\0')), kValue, "does not start with '{'");
  EXPECT_RUTILE_ERROR(parse_bytes(safetensors_bytes("{}", "").substr(0, 9)), kValue,
                      "the file ends inside its header of 2 bytes");
  EXPECT_RUTILE_ERROR(parse(" {}"), kValue, "does not start with '{'");
  EXPECT_RUTILE_ERROR(parse("{}", "x"), kValue, "the tensors need 0 bytes, the file has 1");
  EXPECT_RUTILE_ERROR(SafetensorsFile::open("/nowhere"), kNotFound, "'/nowhere'");
}

TEST(Safetensors, HostileHeaders) {
  const std::string x = entry("x", "U8", "[4]", "[0,4]");
  EXPECT_RUTILE_ERROR(parse("{" + x + "," + x + "}", "1234"), kValue, "tensor 'x' stands twice");
  EXPECT_RUTILE_ERROR(parse("{" + x), kValue, "not valid JSON");
  EXPECT_RUTILE_ERROR(parse("{" + x + "}}", "1234"), kValue, "not valid JSON");
  EXPECT_RUTILE_ERROR(parse("{\"\xff\":1}"), kValue, "not valid JSON");
  EXPECT_RUTILE_ERROR(parse("{\"a\":" + std::string(100'000, '[')), kValue, "none belongs");
  EXPECT_RUTILE_ERROR(parse(std::string(1, '{') + R"("a":{"dtype":{)"), kValue, "none belongs");
  std::string deep;
  for (int i = 0; i < 50'000; ++i) deep += "{\"a\":";
  EXPECT_RUTILE_ERROR(parse(deep), kValue, "unknown field 'a'");
  EXPECT_RUTILE_ERROR(parse(R"({"x":1})"), kValue, "none belongs");
  EXPECT_RUTILE_ERROR(parse(R"({"x":null})"), kValue, "none belongs");
  EXPECT_RUTILE_ERROR(parse(R"({"x":{"dtype":"U8","shape":[1]}})", "1"), kValue, "has not all of");
  EXPECT_RUTILE_ERROR(parse(R"({"x":{"dtype":"U8","dtype":"U8"}})"), kValue, "'dtype' twice");
  EXPECT_RUTILE_ERROR(parse(R"({"x":{"dtype":3}})"), kValue, "'x' has a number where none");
  EXPECT_RUTILE_ERROR(parse(R"({"x":{"more":3}})"), kValue, "unknown field 'more'");
  EXPECT_RUTILE_ERROR(parse(R"({"__metadata__":{"a":"1","a":"2"}})"), kValue, "'a' stands twice");
  EXPECT_RUTILE_ERROR(parse(R"({"__metadata__":{},"__metadata__":{}})"), kValue, "stands twice");
  EXPECT_RUTILE_ERROR(parse(R"({"__metadata__":{"a":1}})"), kValue, "a number where none belongs");
  EXPECT_RUTILE_ERROR(parse("{" + entry("x", "Q8", "[4]", "[0,4]") + "}", "1234"), kValue,
                      "unknown dtype 'Q8'");
}

TEST(Safetensors, HostileSizes) {
  const auto one = [](const char* type, const char* shape, const char* offsets) {
    return parse("{" + entry("x", type, shape, offsets) + "}", "1234");
  };
  one("U8", "[2,2]", "[0,4]");
  EXPECT_RUTILE_ERROR(one("U8", "[5]", "[0,4]"), kValue, "'x': U8[5] needs 5 bytes");
  EXPECT_RUTILE_ERROR(one("U8", "[4]", "[4,0]"), kValue, "data_offsets are [4,0]");
  EXPECT_RUTILE_ERROR(one("U8", "[4]", "[0]"), kValue, "are not two numbers");
  EXPECT_RUTILE_ERROR(one("U8", "[4]", "[0,4,4]"), kValue, "none belongs");
  EXPECT_RUTILE_ERROR(one("U8", "[-4]", "[0,4]"), kValue, "a negative number");
  EXPECT_RUTILE_ERROR(one("U8", "[4.0]", "[0,4]"), kValue, "a fraction");
  EXPECT_RUTILE_ERROR(one("U8", "[18446744073709551616]", "[0,4]"), kValue, "a fraction");
  EXPECT_RUTILE_ERROR(one("U8", "[18446744073709551615]", "[0,4]"), kValue, "a size of");
  EXPECT_RUTILE_ERROR(one("U8", "[4294967296,4294967296]", "[0,4]"), kValue, "tensor 'x': ");
  EXPECT_RUTILE_ERROR(one("U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]"), kValue, "more than 8 dimensions");
  EXPECT_RUTILE_ERROR(one("F4", "[7]", "[0,4]"), kValue, "needs 4 bytes");
  EXPECT_RUTILE_ERROR(one("U8", "[3]", "[1,4]"), kValue, "begin at 1, a hole");
  EXPECT_RUTILE_ERROR(one("U8", "[3]", "[0,3]"), kValue, "need 3 bytes, the file has 4");
  EXPECT_RUTILE_ERROR(one("U8", "[8]", "[0,8]"), kValue, "need 8 bytes, the file has 4");
  EXPECT_RUTILE_ERROR(
      parse("{" + entry("a", "U8", "[3]", "[0,3]") + "," + entry("b", "U8", "[2]", "[2,4]") + "}",
            "1234"),
      kValue, "tensor 'b': its data begin at 2, an overlap");
  const auto truth = one("BOOL", "[4]", "[0,4]");
  EXPECT_RUTILE_ERROR(truth.tensor("x"), kValue, "holds the byte 49 as a truth value");
}

TEST(Safetensors, SaveErrors) {
  TempDir dir;
  const Tensor x = Tensor::zeros({2});
  EXPECT_RUTILE_ERROR(save_safetensors(dir / "f", {{"x", x}, {"x", x}}), kValue, "given twice");
  EXPECT_RUTILE_ERROR(save_safetensors(dir / "f", {{"__metadata__", x}}), kValue, "reserved");
  EXPECT_RUTILE_ERROR(save_safetensors(dir / "f", {{"x", Tensor()}}), kValue, "'x' is empty");
  EXPECT_RUTILE_ERROR(save_safetensors(dir / "f", {{"\xff", x}}), kValue, "not valid UTF-8");
  EXPECT_RUTILE_ERROR(save_safetensors(dir / "f", {{"x", x}}, {{"k", "\xff"}}), kValue, "UTF-8");
  EXPECT_RUTILE_ERROR(save_safetensors(dir / "f", {{"x", Tensor::zeros({2}, DType::kC128)}}),
                      kUnsupported, "'x' is c128");
  EXPECT_RUTILE_ERROR(save_safetensors(dir / "none/f", {{"x", x}}), kNotFound, "cannot save");
  EXPECT_TRUE(dir.list().empty());
}

}  // namespace
}  // namespace rutile::io
