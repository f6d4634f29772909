// SPDX-License-Identifier: Apache-2.0
// Every reader against mutated files: the same ones in each run. A reader may refuse with an Error
// of the format, or accept and then serve all elements; anything else (another exception, a crash,
// a sanitizer's report) fails.
#include <gtest/gtest.h>

#include <functional>

#include "rutile/core/rng.h"
#include "rutile/io/cifar.h"
#include "rutile/io/ckpt.h"
#include "rutile/io/idx.h"
#include "rutile/io/safetensors.h"
#include "rutile/tests/io/inputs.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::io {
namespace {

using ::rutile::testing::cifar_bytes;
using ::rutile::testing::gzip_bytes;
using ::rutile::testing::idx_bytes;
using ::rutile::testing::safetensors_bytes;

class Random {
 public:
  explicit Random(uint64_t seed) : key_{seed} {}
  uint32_t below(size_t n) { return static_cast<uint32_t>(philox(key_, counter_++)[0] % n); }

 private:
  PhiloxKey key_;
  uint64_t counter_ = 0;
};

// Numbers and text that tend to hurt.
const std::vector<std::string>& tokens() {
  static const std::vector<std::string> list = {std::string(4, '\0'),
                                                "\xff\xff\xff\xff",
                                                std::string("\0\0\0\x80", 4),
                                                "\x1f\x8b",
                                                std::string(8, '\xff'),
                                                "-1",
                                                "0",
                                                "18446744073709551615",
                                                "1e99",
                                                "9223372036854775807",
                                                "[",
                                                "]",
                                                "{",
                                                "}",
                                                "\"",
                                                ",",
                                                ":",
                                                "\\u0000",
                                                "__metadata__",
                                                "dtype",
                                                "F64",
                                                "F4",
                                                "BOOL",
                                                "data_offsets",
                                                "[0,0]",
                                                "null"};
  return list;
}

std::string mutate(std::string s, const std::vector<std::string>& seeds, Random* random) {
  const int edits = 1 + static_cast<int>(random->below(4));
  for (int e = 0; e < edits; ++e) {
    const size_t at = random->below(s.size() + 1);
    const size_t n = random->below(17);
    switch (random->below(8)) {
      case 0:
        if (at < s.size()) s[at] = static_cast<char>(s[at] ^ (1 << random->below(8)));
        break;
      case 1:
        if (at < s.size()) s[at] = static_cast<char>(random->below(256));
        break;
      case 2:
        s.resize(at);
        break;
      case 3:
        s.erase(at, n);
        break;
      case 4:
        s.insert(at, tokens()[random->below(tokens().size())]);
        break;
      case 5: {
        const std::string& t = tokens()[random->below(tokens().size())];
        s.replace(at, std::min(t.size(), s.size() - at), t);
        break;
      }
      case 6:
        s.insert(at, s.substr(at, n));
        break;
      default: {
        const std::string& other = seeds[random->below(seeds.size())];
        const size_t from = random->below(other.size() + 1);
        s = s.substr(0, at) + other.substr(from);
      }
    }
    // Most edits near the front would otherwise only trip over the magic number.
    if (s.size() > 20'000) s.resize(20'000);
  }
  return s;
}

uint64_t sum_of(const Tensor& t) {
  std::vector<uint8_t> bytes(static_cast<size_t>(t.numel()) * dtype_size(t.dtype()));
  t.copy_out(bytes.data(), bytes.size());
  uint64_t sum = 0;
  for (const uint8_t b : bytes) sum += b;
  return sum;
}

void fuzz(const std::vector<std::string>& seeds, int rounds,
          const std::function<void(const Ref<Blob>&)>& read) {
  int accepted = 0, refused = 0;
  for (const std::string& s : seeds) {
    ASSERT_NO_THROW(read(copy_bytes(s.data(), s.size(), "seed")));
  }
  for (int i = 0; i < rounds; ++i) {
    Random random(static_cast<uint64_t>(i));
    const std::string input = mutate(seeds[random.below(seeds.size())], seeds, &random);
    try {
      read(copy_bytes(input.data(), input.size(), "fuzz"));
      ++accepted;
    } catch (const Error& e) {
      ++refused;
      ASSERT_TRUE(e.code() == ErrorCode::kValue || e.code() == ErrorCode::kUnsupported)
          << "round " << i << ": " << error_code_name(e.code()) << ": " << e.message();
      ASSERT_LT(e.message().size(), 2000u);
    }
  }
  EXPECT_GT(refused, rounds / 10);
  EXPECT_GT(accepted, 0);
}

TEST(Fuzz, Idx) {
  const std::string small = idx_bytes(0x08, {3, 4, 5}, std::string(60, 'p'));
  fuzz({small, idx_bytes(0x0C, {7}, std::string(28, '\1')),
        idx_bytes(0x0E, {2, 2}, std::string(32, 'd')), idx_bytes(0x08, {0, 28}, ""),
        gzip_bytes(small)},
       6000, [](const Ref<Blob>& b) { sum_of(parse_idx(b)); });
}

TEST(Fuzz, Gzip) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(i * i);
  fuzz({gzip_bytes(text), gzip_bytes("a") + gzip_bytes(std::string(5000, 'b'))}, 6000,
       [](const Ref<Blob>& b) {
         gunzip_prefix(*b, 100);
         gunzip(*b, 100'000);
       });
}

TEST(Fuzz, Cifar10) {
  fuzz({cifar_bytes({1}), cifar_bytes({0, 9, 5})}, 3000,
       [](const Ref<Blob>& b) { sum_of(parse_cifar10(b)); });
}

TEST(Fuzz, Ckpt) {
  using ::rutile::testing::read_text;
  const std::string reference = read_text("tests/io/data/mindspore.ckpt");
  const std::string plain = reference.substr(0, reference.size() - 17);
  fuzz({plain, plain.substr(0, plain.find("int16") - 4), reference}, 6000, [](const Ref<Blob>& b) {
    for (const CkptEntry& e : parse_ckpt(b)) {
      if (!e.is_text) sum_of(e.tensor);
    }
  });
}

TEST(Fuzz, Safetensors) {
  const std::string meta = R"({"__metadata__":{"format":"pt","k":"v"},)";
  const std::string a = R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})";
  const std::string b = R"("b.c":{"dtype":"BOOL","shape":[4],"data_offsets":[24,28]})";
  const std::string c = R"("d":{"shape":[0],"dtype":"I64","data_offsets":[28,28]})";
  const std::vector<std::string> headers = {meta + a + "," + b + "," + c + "}  ", "{" + a + "}"};
  std::vector<std::string> seeds = {safetensors_bytes(headers[0], std::string(28, '\0')),
                                    safetensors_bytes(headers[1], std::string(24, 'x')),
                                    safetensors_bytes("{}", "")};
  const auto read = [](const Ref<Blob>& blob) {
    const auto file = SafetensorsFile::parse(blob);
    for (const auto& e : file.entries()) {
      if (e.dtype) sum_of(file.tensor(e.name));
    }
  };
  fuzz(seeds, 6000, read);
  // With the length kept right, the mutations reach the JSON and what comes after it.
  fuzz(headers, 12'000, [&](const Ref<Blob>& header) {
    const std::string text(reinterpret_cast<const char*>(header->data()), header->size());
    const std::string file =
        safetensors_bytes(text, std::string(text[1] == '_' || text.size() > 100 ? 28 : 24, '\1'));
    read(copy_bytes(file.data(), file.size(), "fuzz"));
  });
}

}  // namespace
}  // namespace rutile::io
