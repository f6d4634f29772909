// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/ckpt.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "rutile/io/protobuf.h"
#include "rutile/tests/io/inputs.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::io {
namespace {

using ::rutile::testing::read_text;
using ::rutile::testing::TempDir;

constexpr char kReference[] = "tests/io/data/mindspore.ckpt";

std::map<std::string, CkptEntry> by_name(const std::vector<CkptEntry>& entries) {
  std::map<std::string, CkptEntry> out;
  for (const CkptEntry& e : entries) out.emplace(e.name, e);
  return out;
}

std::vector<CkptEntry> parse(const std::string& bytes) {
  return parse_ckpt(copy_bytes(bytes.data(), bytes.size(), "net.ckpt"));
}

std::string value(const std::string& name, const std::vector<uint64_t>& dims,
                  const std::string& type, const std::string& content) {
  std::string tensor, v, out;
  ProtoWriter t(&tensor);
  for (const uint64_t d : dims) t.varint(1, d);
  t.bytes(2, type);
  t.bytes(3, content);
  ProtoWriter w(&v);
  w.bytes(1, name);
  w.bytes(2, tensor);
  ProtoWriter(&out).bytes(1, v);
  return out;
}

TEST(Ckpt, ReadsWhatMindSporeWrote) {
  const auto entries = by_name(load_ckpt(kReference));
  ASSERT_EQ(entries.size(), 18u);
  const std::vector<int64_t> counts = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(entries.at("int64").tensor.to_vector<int64_t>(), counts);
  EXPECT_EQ(entries.at("uint16").tensor.to_vector<uint16_t>(),
            (std::vector<uint16_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(entries.at("float64").tensor.shape(), (Shape{2, 3}));
  EXPECT_EQ(static_cast<float>(entries.at("float16").tensor.to_vector<Half>()[5]), 5.0f);
  EXPECT_EQ(static_cast<float>(entries.at("bfloat16").tensor.to_vector<BFloat16>()[1]), -2.25f);
  EXPECT_EQ(entries.at("bool").tensor.to_vector<bool>(), (std::vector<bool>{true, false, true}));
  EXPECT_EQ(entries.at("scalar").tensor.rank(), 0);
  EXPECT_EQ(entries.at("scalar").tensor.item(), 2.5);
  EXPECT_EQ(entries.at("epoch").tensor.dtype(), DType::kI64);
  EXPECT_TRUE(entries.at("note").is_text);
  EXPECT_EQ(entries.at("note").text, "h\u00e9\u20ac\U0001d11e");
}

TEST(Ckpt, WritesWhatItReads) {
  const TempDir dir;
  const std::string path = dir / "a.ckpt";
  const std::vector<CkptEntry> entries = load_ckpt(kReference);
  for (const bool crc : {false, true}) {
    for (const uint64_t chunk : {uint64_t{1}, uint64_t{13}, CkptOptions().chunk_bytes}) {
      save_ckpt(path, entries, {.crc = crc, .chunk_bytes = chunk});
      const std::vector<CkptEntry> again = load_ckpt(path);
      ASSERT_EQ(again.size(), entries.size());
      for (size_t i = 0; i < entries.size(); ++i) {
        EXPECT_EQ(again[i].name, entries[i].name);
        EXPECT_EQ(again[i].text, entries[i].text);
        if (entries[i].is_text) continue;
        EXPECT_EQ(again[i].tensor.meta(), entries[i].tensor.meta());
        EXPECT_EQ(0,
                  std::memcmp(again[i].tensor.data(), entries[i].tensor.data(),
                              entries[i].tensor.numel() * dtype_size(entries[i].tensor.dtype())));
      }
    }
  }
  // The same bytes, checksum included.
  EXPECT_EQ(read_text(path), read_text(kReference));
}

TEST(Ckpt, EmptyTensorsAndScalars) {
  const TempDir dir;
  const std::string path = dir / "a.ckpt";
  save_ckpt(path, {{"zero", Tensor::zeros({0, 3})}, {"one", Tensor::zeros({0})}, {"empty", ""}});
  const auto entries = by_name(load_ckpt(path));
  EXPECT_EQ(entries.at("zero").tensor.shape(), (Shape{0, 3}));
  EXPECT_EQ(entries.at("one").tensor.shape(), (Shape{0}));
  EXPECT_EQ(entries.at("empty").text, "");
  // Old files give scalars the dimensions [0].
  EXPECT_EQ(parse(value("s", {0}, "Float32", std::string(4, '\0')))[0].tensor.rank(), 0);
}

TEST(Ckpt, RefusesWhatIsWrong) {
  const auto refused = [](const std::string& bytes, const std::string& why) {
    try {
      parse(bytes);
      ADD_FAILURE() << "accepted: " << why;
    } catch (const Error& e) {
      EXPECT_NE(e.message().find(why), std::string::npos) << e.message();
    }
  };
  const std::string four(4, 'x');
  refused(value("w", {2}, "Float32", four), "'w' is Float32[2], but has 4 bytes");
  refused(value("w", {uint64_t{1} << 61, 1 << 20}, "Float32", four), "'net.ckpt' at offset");
  refused(value("w", {~uint64_t{0}}, "Float32", four), "a dimension of -1");
  refused(value("w", std::vector<uint64_t>(99, 1), "Float32", four), "dimensions");
  refused(value("w", {1}, "Float31", four), "the element type 'Float31', which is not supported");
  refused(value("w", {4}, "Bool", four), "truth values");
  refused(value("w\xff", {1}, "Float32", four), "'net.ckpt' at offset");
  refused(value("w\xff", {1}, "Float32", four), "a name that is not valid UTF-8");
  refused(value("w", {1}, "\xc0\x80", four), "a name that is not valid UTF-8");
  refused(value("s", {0}, "str", "abc"), "not UTF-32");
  refused(value("s", {0}, "str", std::string(4, '\xff')), "not UTF-32");
  refused(value("w", {1}, "Float32", four) + value("v", {1}, "Float32", four) +
              value("w", {1}, "Float32", four),
          "'w' stands twice");
  refused(value("w", {2}, "Float32", four) + value("w", {3}, "Float32", four), "differ in type");
  const std::string good = value("w", {1}, "Float32", four);
  refused(good.substr(0, good.size() - 1), "beyond the end");
  refused(std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11), "more than 64 bits");
  refused("not a checkpoint", "offset");
  std::string damaged = read_text(kReference);
  damaged[40] ^= 1;
  refused(damaged, "the file is damaged: its CRC-32 is");
}

TEST(Ckpt, RefusesToWrite) {
  const TempDir dir;
  const Tensor t = Tensor::zeros({2});
  EXPECT_THROW(save_ckpt(dir / "a.ckpt", {{"w", t}, {"w", t}}), Error);
  EXPECT_THROW(save_ckpt(dir / "a.ckpt", {{"w", "\xff"}}), Error);
  EXPECT_THROW(save_ckpt(dir / "a.ckpt", {{"w", "\xed\xa0\x80"}}), Error);
  EXPECT_THROW(save_ckpt(dir / "a.ckpt", {{"w", Tensor()}}), Error);
  EXPECT_THROW(save_ckpt(dir / "a.ckpt", {{"w", t}}, {.chunk_bytes = 0}), Error);
  EXPECT_THROW(load_ckpt(dir / "a.ckpt"), Error);
}

}  // namespace
}  // namespace rutile::io
