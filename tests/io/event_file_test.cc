// SPDX-License-Identifier: Apache-2.0
#include "rutile/io/event_file.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>

#include "rutile/io/png.h"
#include "rutile/io/protobuf.h"
#include "rutile/io/records.h"
#include "rutile/tests/support/expect_error.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::io {
namespace {

using ::rutile::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Crc32c, IsThatOfRfc3720) {
  const std::string zeros(32, '\0'), ones(32, '\xff');
  EXPECT_EQ(crc32c(zeros.data(), 32), 0x8A9136AAu);
  EXPECT_EQ(crc32c(ones.data(), 32), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789", 9), 0xE3069283u);
  EXPECT_EQ(crc32c("6789", 4, crc32c("12345", 5)), 0xE3069283u);
  EXPECT_EQ(crc32c("", 0), 0u);
}

TEST(Records, GoBothWaysAndShowDamage) {
  std::string file;
  for (const char* r : {"one", "", "a longer record than the others"}) append_record(r, &file);
  const auto records = [&](const std::string& bytes, bool whole = true) {
    const Ref<Blob> blob = copy_bytes(bytes.data(), bytes.size(), "x.records");
    std::vector<std::string> out;
    for (const std::string_view r : parse_records(*blob, whole)) out.emplace_back(r);
    return out;
  };
  EXPECT_THAT(records(file), ElementsAre("one", "", "a longer record than the others"));
  for (size_t i = 0; i < file.size(); ++i) {
    std::string bad = file;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    EXPECT_THROW(records(bad), Error) << i;
    EXPECT_LE(records(file.substr(0, i), false).size(), 3u);
  }
  EXPECT_THAT(records(file.substr(0, file.size() - 1), false), ElementsAre("one", ""));
  EXPECT_RUTILE_ERROR(records(file.substr(0, file.size() - 1)), kValue, "cut off");
}

// The chunks' data of a PNG file by their types.
std::map<std::string, std::string> chunks(const std::string& file) {
  std::map<std::string, std::string> out;
  for (size_t at = 8; at < file.size();) {
    uint32_t n = 0;
    for (size_t i = 0; i < 4; ++i) n = n << 8 | static_cast<uint8_t>(file[at + i]);
    out[file.substr(at + 4, 4)] = file.substr(at + 8, n);
    at += n + 12;
  }
  return out;
}

TEST(Png, HoldsThePixels) {
  const std::vector<uint8_t> pixels{1, 2, 3, 4, 5, 6, 7, 8, 90, 100, 200, 255};
  const std::string file = encode_png(pixels.data(), 2, 2, 3);
  EXPECT_EQ(file.substr(0, 8), "\x89PNG\r\n\x1a\n");
  const auto parts = chunks(file);
  const std::string& head = parts.at("IHDR");
  EXPECT_EQ(head, std::string("\0\0\0\2\0\0\0\2\x08\x02\0\0\0", 13));
  std::string raw(14, '\0');
  uLongf size = raw.size();
  const std::string& data = parts.at("IDAT");
  ASSERT_EQ(::uncompress(reinterpret_cast<Bytef*>(raw.data()), &size,
                         reinterpret_cast<const Bytef*>(data.data()), data.size()),
            Z_OK);
  ASSERT_EQ(size, 14u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(static_cast<uint8_t>(raw[1 + i]), pixels[i]);
    EXPECT_EQ(static_cast<uint8_t>(raw[8 + i] + raw[1 + i]), pixels[6 + i]);
  }
  EXPECT_RUTILE_ERROR(encode_png(pixels.data(), 2, 2, 5), kValue, "channels");
  EXPECT_RUTILE_ERROR(encode_png(pixels.data(), 0, 2, 3), kValue, "pixels");
}

// The values of a file: "tag@step" and the message.
std::vector<std::pair<std::string, std::string>> values(const std::string& path) {
  std::vector<std::pair<std::string, std::string>> out;
  const Ref<Blob> blob = read_file(path);
  for (const std::string_view record : parse_records(*blob)) {
    ProtoReader event(reinterpret_cast<const uint8_t*>(record.data()), record.size(), "event");
    uint64_t step = 0;
    while (event.next()) {
      if (event.field() == 2) step = event.varint();
      if (event.field() == 3) out.emplace_back("version", event.text());
      if (event.field() == 4) out.emplace_back("graph", event.text());
      if (event.field() != 5) continue;
      ProtoReader summary = event.message();
      while (summary.next()) {
        const std::string value(summary.text());
        ProtoReader fields = summary.message();
        while (fields.next() && fields.field() != 1) {
        }
        out.emplace_back(cat(fields.text(), "@", step), value);
      }
    }
  }
  return out;
}

// Field `number` of a message, as bytes.
std::string field(const std::string& message, uint32_t number) {
  ProtoReader in(reinterpret_cast<const uint8_t*>(message.data()), message.size(), "value");
  while (in.next()) {
    if (in.field() == number && in.wire() == ProtoReader::Wire::kBytes)
      return std::string(in.text());
  }
  return "";
}

std::vector<double> doubles(const std::string& bytes) {
  std::vector<double> out(bytes.size() / 8);
  std::memcpy(out.data(), bytes.data(), out.size() * 8);
  return out;
}

TEST(EventFile, HoldsWhatWasAdded) {
  TempDir dir;
  EventFile file(dir / "run", {.suffix = "_x"});
  EXPECT_THAT(file.path(), HasSubstr("/events.out.tfevents."));
  EXPECT_THAT(file.path(), ::testing::EndsWith("_x"));
  file.add_scalar("loss", 3, 0.5);
  file.add_histogram("w", 4, Tensor::from<float>({-1, 0, 1, 1, 100, NAN, INFINITY}, {7}));
  file.add_image("pixels", 5, Tensor::from<float>({0, 0.5, 1, 1}, {1, 1, 2, 2}));
  file.add_text("note", 6, "**hello**");
  file.add_tensor("t", 7, Tensor::from<int32_t>({1, 2, 3}, {3, 1}));
  file.add_graph("graph bytes");
  file.flush();
  const auto all = values(file.path());
  std::vector<std::string> names;
  for (const auto& [name, value] : all) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("version", "loss@3", "w@4", "pixels@5", "note@6", "t@7", "graph"));
  EXPECT_EQ(all[0].second, "brain.Event:2");
  EXPECT_THAT(all[1].second, ::testing::EndsWith(std::string("\x15\0\0\0\x3f", 5)));
  const std::string histogram = field(all[2].second, 5);
  const std::vector<double> limits = doubles(field(histogram, 6)),
                            counts = doubles(field(histogram, 7));
  ASSERT_EQ(limits.size(), counts.size());
  std::map<double, double> seen;
  for (const double v : {-1.0, 0.0, 1.0, 1.0, 100.0}) {
    seen[*std::upper_bound(limits.begin(), limits.end(), v)] += 1;
  }
  for (size_t i = 0; i < limits.size(); ++i) EXPECT_EQ(counts[i], seen[limits[i]]) << limits[i];
  EXPECT_THAT(field(field(all[3].second, 4), 4), ::testing::StartsWith("\x89PNG"));
  EXPECT_EQ(field(field(all[4].second, 8), 8), "**hello**");
  EXPECT_EQ(field(field(all[5].second, 8), 4), std::string("\1\0\0\0\2\0\0\0\3\0\0\0", 12));
  EXPECT_EQ(all[6].second, "graph bytes");
}

TEST(EventFile, TakesEveryDtypeAndEmptyTensors) {
  TempDir dir;
  EventFile file(dir / "run");
  for (int i = 0; i < kNumDTypes; ++i) {
    const auto t = static_cast<DType>(i);
    const Tensor x = Tensor::empty({0, 3}, t);
    file.add_tensor("t", i, x);
    if (t == DType::kC64 || t == DType::kC128) {
      EXPECT_THROW(file.add_histogram("h", i, x), Error);
    } else {
      file.add_histogram("h", i, x);
    }
  }
  EXPECT_RUTILE_ERROR(file.add_image("i", 0, Tensor::empty({2, 2})), kValue, "[n,c,h,w]");
  EXPECT_RUTILE_ERROR(file.add_image("i", 0, Tensor::empty({2, 3, 0, 4})), kValue, "");
  file.close();
  file.close();
  EXPECT_RUTILE_ERROR(file.add_scalar("x", 0, 1), kRuntime, "closed");
  EXPECT_EQ(values(file.path()).size(), 1u + kNumDTypes + kNumDTypes - 2);
}

TEST(EventFile, StopsAtItsFullSize) {
  TempDir dir;
  EventFile file(dir / "run", {.max_bytes = 200});
  for (int i = 0; i < 100; ++i) file.add_scalar("loss", i, i);
  file.close();
  EXPECT_LE(std::filesystem::file_size(file.path()), 200u);
  EXPECT_GE(values(file.path()).size(), 3u);
}

TEST(EventFile, SaysWhyItCannotWrite) {
  EXPECT_RUTILE_ERROR(EventFile("/proc/nothing/here"), kNotFound, "");
  EXPECT_RUTILE_ERROR(EventFile("/tmp", {.prefix = "a/b"}), kValue, "a/b");
}

}  // namespace
}  // namespace rutile::io
