// SPDX-License-Identifier: Apache-2.0
// What the store's two sides say to each other: frames of a length and as many bytes, the first of
// which is the kind. Numbers are little-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rutile/dist/socket.h"

namespace rutile::dist {

enum class Say : uint8_t {
  kHello = 1,  // magic, nonce, rank, size, watch?, host, process
  kChallenge,  // nonce, proof of the server
  kProof,      // proof of the client
  kWelcome,
  kRefused,  // text
  kSet,      // key, value -> kDone
  kGet,      // key, milliseconds -> kValue or kMissing
  kDone,
  kValue,  // value
  kMissing,
  kPing,  // -> kPong
  kPong,
  kFail,  // text
  kBye,
  kFailed,  // rank, text: of somebody else
  kLeft,    // rank
};

inline constexpr std::string_view kMagic = "rutile store 1";
inline constexpr uint32_t kMaxFrame = 1 << 20;

// Writes a frame.
class Writer {
 public:
  explicit Writer(Say kind) : bytes_(4, '\0') { bytes_.push_back(static_cast<char>(kind)); }
  Writer& number(int64_t v) {
    for (int i = 0; i < 8; ++i) bytes_.push_back(static_cast<char>(v >> (8 * i)));
    return *this;
  }
  Writer& text(std::string_view s) {
    number(static_cast<int64_t>(s.size()));
    bytes_.append(s);
    return *this;
  }
  const std::string& frame() {
    const size_t n = bytes_.size() - 4;
    for (size_t i = 0; i < 4; ++i) bytes_[i] = static_cast<char>(n >> (8 * i));
    return bytes_;
  }

 private:
  std::string bytes_;
};

// Reads a frame's bytes; ok() is false from the first thing on that is not there.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {
    ok_ = !bytes.empty();
    if (ok_) {
      kind_ = static_cast<Say>(bytes[0]);
      rest_.remove_prefix(1);
    }
  }
  Say kind() const { return kind_; }
  bool ok() const { return ok_; }
  int64_t number() {
    if (rest_.size() < 8) return ok_ = false, 0;
    uint64_t v = 0;
    for (int i = 7; i >= 0; --i) {
      v = v << 8 | static_cast<unsigned char>(rest_[static_cast<size_t>(i)]);
    }
    rest_.remove_prefix(8);
    return static_cast<int64_t>(v);
  }
  std::string text() {
    const int64_t n = number();
    if (n < 0 || static_cast<uint64_t>(n) > rest_.size()) return ok_ = false, std::string();
    std::string s(rest_.substr(0, static_cast<size_t>(n)));
    rest_.remove_prefix(static_cast<size_t>(n));
    return s;
  }

 private:
  std::string_view rest_;
  Say kind_ = Say::kMissing;
  bool ok_ = true;
};

inline uint32_t frame_size(const char* head) {
  uint32_t n = 0;
  for (int i = 3; i >= 0; --i) n = n << 8 | static_cast<unsigned char>(head[i]);
  return n;
}

inline Status receive_frame(const Socket& socket, Deadline deadline, std::string* bytes) {
  char head[4];
  RUTILE_RETURN_IF_ERROR(receive_all(socket, head, 4, deadline));
  const uint32_t n = frame_size(head);
  if (n == 0 || n > kMaxFrame) {
    return Status(ErrorCode::kRuntime, "what answers there is no store of Rutile's");
  }
  bytes->resize(n);
  return receive_all(socket, bytes->data(), n, deadline);
}

}  // namespace rutile::dist
