// SPDX-License-Identifier: Apache-2.0
// What took a library long to find, kept in files for the next process: bytes by a key in words. A
// damaged, foreign or missing file is a plan that is not there; a folder that cannot be written to
// keeps nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rutile::cuda {

class PlanStore {
 public:
  // Keeps the newest `most` plans. An empty folder: keeps nothing.
  explicit PlanStore(std::string folder, int most = 4096)
      : folder_(std::move(folder)), most_(most) {}
  // False where there is none, and then *data is empty.
  bool find(std::string_view key, std::vector<uint8_t>* data) const;
  // Replaces at once: readers see the old bytes or the new ones.
  void put(std::string_view key, std::span<const uint8_t> data) const;
  const std::string& folder() const { return folder_; }

 private:
  std::string path_of(std::string_view key) const;
  void drop_oldest() const;
  std::string folder_;
  int most_;
};

// $RUTILE_CACHE_DIR/<name>, else $XDG_CACHE_HOME/rutile/<name>, else ~/.cache/rutile/<name>; empty
// where RUTILE_CACHE_DIR is empty or nothing says where.
std::string plan_folder(const char* name);

}  // namespace rutile::cuda
