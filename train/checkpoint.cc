// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/checkpoint.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "rutile/core/log.h"
#include "rutile/io/safetensors.h"
#include "rutile/train/checkpoint_format.h"
#include "rutile/train/text.h"

namespace rutile::train {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "step-", kSuffix[] = ".safetensors", kPrevious[] = "previous";
constexpr int kDigits = 8;
constexpr int64_t kHeaderBytes = 4096, kHeaderBytesPerTensor = 256;  // about

// "step-00000937.safetensors" -> 937; -1 for other names.
int64_t step_of_name(const std::string& name) {
  const size_t prefix = sizeof(kPrefix) - 1, suffix = sizeof(kSuffix) - 1;
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return -1;
  if (name.size() < prefix + kDigits + suffix) return -1;
  const char* begin = name.data() + prefix;
  const char* end = name.data() + name.size() - suffix;
  int64_t step = -1;
  const auto [at, error] = std::from_chars(begin, end, step);
  return error == std::errc() && at == end ? step : -1;
}

std::string megabytes(int64_t bytes) {
  return cat(readable(static_cast<double>(bytes) / 1e6), " MB");
}

}  // namespace

void save_checkpoint(const std::string& path, int64_t step,
                     const std::vector<nn::NamedState>& states, const Metadata& metadata) {
  std::vector<io::NamedTensor> tensors;
  Checksum sum;
  for (const auto& [name, state] : states) {
    tensors.emplace_back(name, row_major(state->concrete(), false));
    add_to(&sum, tensors.back().second);
  }
  Metadata all = metadata;
  all["format"] = kFormat;
  all["step"] = std::to_string(step);
  all["checksum"] = hex(sum.value());
  io::save_safetensors(path, tensors, all);
}

void check_writable_folder(const std::string& folder, const std::string& what, int64_t bytes) {
  const auto refuse = [&](const std::string& why) {
    throw_error(ErrorCode::kIo, cat(what, " '", folder, "' cannot be used: ", why));
  };
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) refuse(cat("creating it: ", error.message()));
  const std::string probe = folder + "/.write-test";
  try {
    io::atomic_write(probe, [](io::FileWriter& out) { out.write("written"); });
  } catch (const Error& e) {
    refuse(e.message());
  }
  fs::remove(probe, error);
  struct statvfs info;
  if (::statvfs(folder.c_str(), &info) != 0 || info.f_blocks == 0) return;
  const double room = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  if (room < static_cast<double>(bytes)) {
    refuse(cat("a file needs ", megabytes(bytes), ", the disk has room for ",
               megabytes(static_cast<int64_t>(room))));
  }
}

CheckpointFolder::CheckpointFolder(CheckpointFolderOptions options) : options_(std::move(options)) {
  if (options_.path.empty()) throw_error(ErrorCode::kValue, "a checkpoint folder needs a name");
  if (options_.keep < 1) {
    throw_error(ErrorCode::kValue, cat("at least 1 checkpoint is kept, got ", options_.keep));
  }
}

void CheckpointFolder::check(const std::vector<nn::NamedState>& states) const {
  int64_t bytes = kHeaderBytes;
  for (const auto& [name, state] : states) {
    bytes += kHeaderBytesPerTensor + static_cast<int64_t>(elements_bytes(state->concrete()));
  }
  check_writable_folder(options_.path, "checkpoint folder", bytes);
}

std::string CheckpointFolder::path_of(int64_t step) const {
  char name[64];
  std::snprintf(name, sizeof(name), "%s%0*lld%s", kPrefix, kDigits, static_cast<long long>(step),
                kSuffix);
  return cat(options_.path, "/", name);
}

std::vector<int64_t> CheckpointFolder::steps() const {
  std::vector<int64_t> all;
  std::error_code error;
  for (fs::directory_iterator it(options_.path, error), end; !error && it != end;
       it.increment(error)) {
    const int64_t step = step_of_name(it->path().filename().string());
    if (step >= 0) all.push_back(step);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw_error(ErrorCode::kIo,
                cat("checkpoint folder '", options_.path, "' cannot be read: ", error.message()));
  }
  std::sort(all.begin(), all.end());
  return all;
}

int CheckpointFolder::set_aside() const {
  const std::vector<int64_t> found = steps();
  if (found.empty()) return 0;
  const std::string target = cat(options_.path, "/", kPrevious);
  std::error_code error;
  fs::create_directories(target, error);
  for (const int64_t step : CheckpointFolder({target}).steps()) {
    if (!error) fs::remove(CheckpointFolder({target}).path_of(step), error);
  }
  for (const int64_t step : found) {
    if (!error) fs::rename(path_of(step), CheckpointFolder({target}).path_of(step), error);
  }
  if (error) {
    throw_error(ErrorCode::kIo, cat("cannot move the earlier run's checkpoints to '", target,
                                    "': ", error.message()));
  }
  return static_cast<int>(found.size());
}

std::string CheckpointFolder::save(int64_t step, const std::vector<nn::NamedState>& states,
                                   const Metadata& metadata) const {
  const std::string path = path_of(step);
  save_checkpoint(path, step, states, metadata);
  // Files beyond this step are none of this run's: a damaged one that latest() passed over.
  std::vector<int64_t> all = steps();
  std::erase_if(all, [step](int64_t s) { return s > step; });
  for (size_t i = 0; i + static_cast<size_t>(options_.keep) < all.size(); ++i) {
    std::error_code ignored;  // it is tried again after the next save
    fs::remove(path_of(all[i]), ignored);
  }
  log_line(LogTopic::kCheckpoint, cat("saved ", path));
  return path;
}

std::optional<Checkpoint> CheckpointFolder::latest() const {
  const std::vector<int64_t> all = steps();
  std::string first_problem;
  for (size_t i = all.size(); i-- > 0;) {
    try {
      Checkpoint c = load_checkpoint(path_of(all[i]));
      if (!first_problem.empty()) log_warning(cat("going on from '", c.path, "' instead"));
      return c;
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kOutOfMemory || e.code() == ErrorCode::kInterrupted) throw;
      if (first_problem.empty()) first_problem = e.message();
      log_warning(cat("checkpoint passed over: ", e.message()));
    }
  }
  if (all.empty()) return std::nullopt;
  throw_error(ErrorCode::kValue, cat("none of the ", all.size(), " checkpoint(s) in '",
                                     options_.path, "' can be read: ", first_problem));
}

}  // namespace rutile::train
