// SPDX-License-Identifier: Apache-2.0
// Collectives between the ranks of one host over shared memory: a fraction of the processor time
// that TCP takes of those that compute.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "rutile/core/dtype.h"
#include "rutile/core/error.h"
#include "rutile/ops/communicator.h"

namespace rutile::dist {

class SharedRanks {
 public:
  // Rank 0 makes the memory, and `name` tells the others where. Fails where there is too little of
  // it, or where a rank sees another one.
  static Status create(int size, std::string* name, std::unique_ptr<SharedRanks>* made);
  static Status open(const std::string& name, int rank, int size,
                     std::unique_ptr<SharedRanks>* made);
  // All have it: the name goes, the memory goes with the last process.
  void forget_name();
  ~SharedRanks();
  SharedRanks(const SharedRanks&) = delete;
  SharedRanks& operator=(const SharedRanks&) = delete;

  void set_timeout(std::chrono::milliseconds t) { timeout_ = t; }
  // From any thread, for all ranks.
  void abort();
  // In place. Every rank adds up in the order of the ranks.
  Status all_reduce(void* data, size_t count, DType dtype, Reduce reduce);
  Status reduce_scatter(const void* in, void* out, size_t part, DType dtype, Reduce reduce);
  Status all_gather(const void* in, void* out, size_t bytes);
  Status all_to_all(const void* in, void* out, size_t part);
  Status broadcast(void* data, size_t bytes, int root);

 private:
  struct Head;
  SharedRanks() = default;
  Status map(int file, int rank, int size);
  char* slot(int rank, unsigned turn) const;
  char* results(unsigned turn) const;
  Status meet();

  std::string name_;
  Head* head_ = nullptr;
  size_t bytes_ = 0;
  int rank_ = 0, size_ = 1;
  unsigned turn_ = 0;  // which of the two sets of slots is next
  std::chrono::milliseconds timeout_{600000};
  std::chrono::steady_clock::time_point until_;
};

}  // namespace rutile::dist
