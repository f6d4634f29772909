// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/error.h"

namespace rutile {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk:
      return "ok";
    case ErrorCode::kType:
      return "type error";
    case ErrorCode::kValue:
      return "value error";
    case ErrorCode::kIndex:
      return "index error";
    case ErrorCode::kRuntime:
      return "runtime error";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kOutOfMemory:
      return "out of memory";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kIo:
      return "input/output error";
    case ErrorCode::kInterrupted:
      return "interrupted";
    case ErrorCode::kInternal:
      return "internal error";
  }
  return "unknown error";
}

RUTILE_API const std::string& Status::message() const {
  static const std::string* const kNone = new std::string;  // outlives every static destructor
  return error_ ? error_->message() : *kNone;
}

void throw_error(ErrorCode code, std::string message) { throw Error(code, std::move(message)); }

}  // namespace rutile
