// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/checkpoint.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <set>

#include "rutile/core/device_check.h"
#include "rutile/core/log.h"
#include "rutile/io/safetensors.h"
#include "rutile/train/checkpoint_format.h"
#include "rutile/train/checkpoint_write.h"
#include "rutile/train/text.h"

namespace rutile::train {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "step-", kSuffix[] = ".safetensors", kPrevious[] = "previous";
constexpr char kIndexMiddle[] = ".index", kRankMiddle[] = ".rank-";
constexpr int kDigits = 8;
constexpr int64_t kHeaderBytes = 4096, kHeaderBytesPerTensor = 256;  // about

// Of a file's name: "step-00000937.safetensors", "step-00000937.index.safetensors",
// "step-00000937.rank-0-of-4.safetensors". A step of -1: none of ours.
struct Name {
  int64_t step = -1;
  bool rank_file = false;
};

Name parse_name(const std::string& name) {
  const size_t prefix = sizeof(kPrefix) - 1, suffix = sizeof(kSuffix) - 1;
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return {};
  if (name.size() < prefix + kDigits + suffix) return {};
  const char* begin = name.data() + prefix;
  const char* end = name.data() + name.size() - suffix;
  int64_t step = -1;
  const auto [at, error] = std::from_chars(begin, end, step);
  if (error != std::errc() || step < 0) return {};
  const std::string_view middle(at, static_cast<size_t>(end - at));
  if (middle.empty() || middle == kIndexMiddle) return {step, false};
  return middle.starts_with(kRankMiddle) ? Name{step, true} : Name{};
}

// Calls fn(name, path) for the folder's files of checkpoints; none where there is no folder.
template <class Fn>
void each_file(const std::string& folder, const Fn& fn) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const Name name = parse_name(it->path().filename().string());
    if (name.step >= 0) fn(name, it->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw_error(ErrorCode::kIo,
                cat("checkpoint folder '", folder, "' cannot be read: ", error.message()));
  }
}

std::string megabytes(int64_t bytes) {
  return cat(readable(static_cast<double>(bytes) / 1e6), " MB");
}

}  // namespace

uint64_t write_states(const std::string& path, const std::vector<nn::NamedState>& states,
                      Metadata metadata, const char* format, int64_t step) {
  check_devices();  // what a failed step left is not saved
  std::vector<io::NamedTensor> tensors;
  Checksum sum;
  for (const auto& [name, state] : states) {
    tensors.emplace_back(name, row_major(state->concrete(), false));
    add_to(&sum, tensors.back().second);
  }
  metadata["format"] = format;
  metadata["step"] = std::to_string(step);
  metadata["checksum"] = hex(sum.value());
  io::save_safetensors(path, tensors, metadata);
  return sum.value();
}

void save_checkpoint(const std::string& path, int64_t step,
                     const std::vector<nn::NamedState>& states, const Metadata& metadata) {
  write_states(path, states, metadata, kFormat, step);
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

std::string CheckpointFolder::file_of(int64_t step, const std::string& middle) const {
  char name[64];
  std::snprintf(name, sizeof(name), "%s%0*lld", kPrefix, kDigits, static_cast<long long>(step));
  return cat(options_.path, "/", name, middle, kSuffix);
}

std::string CheckpointFolder::path_of(int64_t step) const {
  std::error_code ignored;
  const std::string index = file_of(step, kIndexMiddle);
  return fs::exists(index, ignored) ? index : file_of(step, "");
}

std::vector<int64_t> CheckpointFolder::steps() const {
  std::set<int64_t> all;
  each_file(options_.path, [&](const Name& name, const fs::path&) {
    if (!name.rank_file) all.insert(name.step);
  });
  return {all.begin(), all.end()};
}

int CheckpointFolder::set_aside() const {
  std::vector<fs::path> files;
  std::set<int64_t> found;
  each_file(options_.path, [&](const Name& name, const fs::path& path) {
    files.push_back(path);
    if (!name.rank_file) found.insert(name.step);
  });
  if (files.empty()) return 0;
  const std::string target = cat(options_.path, "/", kPrevious);
  std::error_code error;
  fs::create_directories(target, error);
  std::vector<fs::path> before;
  each_file(target, [&](const Name&, const fs::path& path) { before.push_back(path); });
  for (const fs::path& path : before) {
    if (!error) fs::remove(path, error);
  }
  for (const fs::path& path : files) {
    if (!error) fs::rename(path, fs::path(target) / path.filename(), error);
  }
  if (error) {
    throw_error(ErrorCode::kIo, cat("cannot move the earlier run's checkpoints to '", target,
                                    "': ", error.message()));
  }
  return static_cast<int>(found.size());
}

// Files beyond this step are none of this run's: a damaged one that latest() passed over.
void CheckpointFolder::remove_old(int64_t step) const {
  std::vector<int64_t> all = steps();
  std::erase_if(all, [step](int64_t s) { return s > step; });
  const size_t kept = std::min(all.size(), static_cast<size_t>(options_.keep));
  const std::set<int64_t> keep(all.end() - static_cast<std::ptrdiff_t>(kept), all.end());
  std::vector<fs::path> checkpoints, shards;
  each_file(options_.path, [&](const Name& name, const fs::path& path) {
    if (name.step > step || keep.count(name.step)) return;
    (name.rank_file ? shards : checkpoints).push_back(path);
  });
  // First what makes a checkpoint of the others.
  checkpoints.insert(checkpoints.end(), shards.begin(), shards.end());
  for (const fs::path& path : checkpoints) {
    std::error_code ignored;  // it is tried again after the next save
    fs::remove(path, ignored);
  }
}

std::string CheckpointFolder::save(int64_t step, const std::vector<nn::NamedState>& states,
                                   const Metadata& metadata) const {
  const std::string path = file_of(step, "");
  std::error_code error;
  fs::create_directories(options_.path, error);
  if (error) {
    throw_error(ErrorCode::kIo, cat("checkpoint folder '", options_.path,
                                    "' cannot be used: creating it: ", error.message()));
  }
  save_checkpoint(path, step, states, metadata);
  std::error_code ignored;
  fs::remove(file_of(step, kIndexMiddle), ignored);  // of the same step, by several ranks
  remove_old(step);
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
