// SPDX-License-Identifier: Apache-2.0
// Errors. Below the API edge functions return Status; the edge throws one rutile::Error.
//
//   Status check_rank(const Shape& s) {
//     if (s.rank() != 4) return Status(ErrorCode::kValue, cat("expects rank 4, got ", s.rank()));
//     return Status();
//   }
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "rutile/core/api.h"
#include "rutile/core/strings.h"

namespace rutile {

// Python sees kType as TypeError, kValue as ValueError, kIndex as IndexError, the rest as
// RuntimeError (kInterrupted as KeyboardInterrupt, kNotFound and kIo as OSError).
enum class ErrorCode {
  kOk,
  kType,
  kValue,
  kIndex,
  kRuntime,
  kUnsupported,
  kOutOfMemory,
  kNotFound,
  kIo,
  kInterrupted,
  kInternal,
};

RUTILE_API const char* error_code_name(ErrorCode code);

// The one exception type of the public API.
class RUTILE_API Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
};

// Result of an internal function: one pointer, null when all is well.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(ErrorCode code, std::string message)
      : error_(std::make_unique<Error>(code, std::move(message))) {}
  bool ok() const { return error_ == nullptr; }
  ErrorCode code() const { return error_ ? error_->code() : ErrorCode::kOk; }
  const std::string& message() const;

 private:
  std::unique_ptr<Error> error_;
};

inline Status value_error(std::string m) { return Status(ErrorCode::kValue, std::move(m)); }
inline Status type_error(std::string m) { return Status(ErrorCode::kType, std::move(m)); }
inline Status index_error(std::string m) { return Status(ErrorCode::kIndex, std::move(m)); }

[[noreturn]] RUTILE_API void throw_error(ErrorCode code, std::string message);
inline void throw_if_error(const Status& s) {
  if (!s.ok()) throw_error(s.code(), s.message());
}

#define RUTILE_RETURN_IF_ERROR(expr)                        \
  do {                                                      \
    if (::rutile::Status status_ = (expr); !status_.ok()) { \
      return status_;                                       \
    }                                                       \
  } while (0)

// A broken promise inside Rutile (never a user's mistake): throws Error{kInternal}.
#define RUTILE_CHECK(cond, what)                                                                   \
  do {                                                                                             \
    if (!(cond)) {                                                                                 \
      ::rutile::throw_error(                                                                       \
          ::rutile::ErrorCode::kInternal,                                                          \
          ::rutile::cat("internal error: ", what, " (", #cond, ") at ", __FILE__, ":", __LINE__)); \
    }                                                                                              \
  } while (0)

}  // namespace rutile
