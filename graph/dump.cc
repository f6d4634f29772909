// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/dump.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>

#include "rutile/core/log.h"
#include "rutile/graph/ir/dot.h"
#include "rutile/io/file.h"

namespace rutile::graph {

namespace {

namespace fs = std::filesystem;

// How often this process has compiled something of this name, this time included.
int count_of(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, int> counts;
  std::lock_guard lock(mutex);
  return ++counts[name];
}

// "03_cse.dot": what an earlier run left would mix with this one's.
bool is_dump_file(const std::string& name) {
  const bool numbered = name.size() > 7 && std::isdigit(static_cast<unsigned char>(name[0])) &&
                        std::isdigit(static_cast<unsigned char>(name[1])) && name[2] == '_';
  return numbered && (name.ends_with(".txt") || name.ends_with(".dot"));
}

void remove_old_files(const fs::path& folder) {
  std::error_code ignored;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, ignored)) {
    if (is_dump_file(e.path().filename().string())) fs::remove(e.path(), ignored);
  }
}

}  // namespace

std::string file_name_of(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.';
    out += plain ? c : '_';
  }
  return out.empty() || out[0] == '.' ? "_" + out : out;
}

Dump::Dump(std::string folder, std::string_view name) {
  if (folder.empty()) {
    const char* env = std::getenv("RUTILE_DUMP");
    folder = env ? env : "";
  }
  if (folder.empty()) return;
  const std::string plain = file_name_of(name);
  const fs::path path = fs::path(folder) / cat(plain, "_", count_of(plain));
  std::error_code failed;
  fs::create_directories(path, failed);
  if (failed) {
    log_warning(cat("the IR of ", name, " is not dumped: folder '", path.string(),
                    "' cannot be made: ", failed.message()));
    return;
  }
  remove_old_files(path);
  path_ = path.string();
}

void Dump::write(std::string_view step, const Graph& g) {
  if (!on()) return;
  const std::string stem = cat(path_, "/", next_ < 10 ? "0" : "", next_, "_", file_name_of(step));
  ++next_;
  try {
    const std::string title = cat(fs::path(path_).filename().string(), " after ", step);
    io::atomic_write(stem + ".txt", [&](io::FileWriter& out) { out.write(print(g)); });
    io::atomic_write(stem + ".dot", [&](io::FileWriter& out) { out.write(to_dot(g, title)); });
  } catch (const Error& e) {
    log_warning(cat("the IR is not dumped any further: ", e.message()));
    path_.clear();
  }
}

}  // namespace rutile::graph
