// SPDX-License-Identifier: Apache-2.0
// Checkpoints that several ranks write together.
#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "rutile/core/device_check.h"
#include "rutile/core/log.h"
#include "rutile/dist/group.h"
#include "rutile/ops/collective.h"
#include "rutile/train/checkpoint.h"
#include "rutile/train/checkpoint_write.h"

namespace rutile::train {
namespace {

namespace fs = std::filesystem;

std::string shape_text(const Shape& s) {
  std::string text;
  for (int i = 0; i < s.rank(); ++i) text += cat(i ? "x" : "", s[i]);
  return text;
}

// What rank `rank` writes: its shards, and of the states that are equal everywhere about as many
// bytes as the others.
std::vector<nn::NamedState> states_of(int rank, int ranks,
                                      const std::vector<nn::NamedState>& states,
                                      const std::vector<nn::optim::ShardedState>& sharded) {
  std::unordered_map<std::string, const nn::optim::Shard*> shards;
  for (const auto& s : sharded) shards.emplace(s.name, &s.shard);
  std::vector<nn::NamedState> mine;
  std::vector<const nn::NamedState*> equal;
  std::vector<int64_t> load(static_cast<size_t>(ranks), 0);
  for (const nn::NamedState& s : states) {
    const auto it = shards.find(s.first);
    if (it == shards.end()) {
      equal.push_back(&s);
    } else if (it->second->kind == nn::optim::ShardKind::kPart || it->second->owner == rank) {
      mine.push_back(s);
    }
    if (it != shards.end() && it->second->kind == nn::optim::ShardKind::kOwned) {
      load[static_cast<size_t>(it->second->owner)] +=
          it->second->shape.numel() * static_cast<int64_t>(dtype_size(s.second->meta().dtype));
    }
  }
  std::stable_sort(equal.begin(), equal.end(), [](const auto* a, const auto* b) {
    return a->second->meta().nbytes() > b->second->meta().nbytes();
  });
  for (const nn::NamedState* s : equal) {
    const auto least = std::min_element(load.begin(), load.end());
    if (least - load.begin() == rank) mine.push_back(*s);
    *least += s->second->meta().nbytes();
  }
  return mine;
}

}  // namespace

std::string CheckpointFolder::save_shards(int64_t step, const std::vector<nn::NamedState>& states,
                                          const std::vector<nn::optim::ShardedState>& sharded,
                                          const Metadata& metadata,
                                          const std::string& group) const {
  const std::shared_ptr<Communicator> ranks = communicator(group);
  const int rank = ranks->rank(), size = ranks->size();
  const std::string index = file_of(step, ".index");
  check_devices();
  std::error_code ignored;
  fs::create_directories(path(), ignored);  // what is wrong, writing says
  // An older checkpoint of this step ends before its files are replaced.
  if (rank == 0) fs::remove(index, ignored);
  dist::barrier(group);
  const auto name = [&](int r) { return file_of(step, cat(".rank-", r, "-of-", size)); };
  const uint64_t sum =
      write_states(name(rank), states_of(rank, size, states, sharded), {}, kShardFormat, step);
  // Comes back when all have written theirs.
  const std::vector<uint64_t> sums =
      ops::all_gather(Tensor::from<uint64_t>({sum}, {1}), {.group = group}).to_vector<uint64_t>();
  if (rank == 0) {
    Metadata all = metadata;
    all["ranks"] = std::to_string(size);
    for (int r = 0; r < size; ++r) {
      all[shard_key(r, "file")] = fs::path(name(r)).filename().string();
      all[shard_key(r, "checksum")] = hex(sums[static_cast<size_t>(r)]);
    }
    for (const nn::optim::ShardedState& s : sharded) {
      if (s.shard.kind != nn::optim::ShardKind::kPart) continue;
      all[kPartPrefix + s.name] = shape_text(s.shard.shape);
    }
    write_states(index, {}, all, kIndexFormat, step);
    fs::remove(file_of(step, ""), ignored);  // of the same step, by one rank
    remove_old(step);
  }
  dist::barrier(group);
  log_line(LogTopic::kCheckpoint, cat("saved ", index));
  return index;
}

std::optional<Checkpoint> CheckpointFolder::latest_of_ranks(const std::string& group) const {
  const std::shared_ptr<Communicator> ranks = communicator(group);
  if (ranks->size() == 1) return latest();
  std::optional<Checkpoint> found;
  if (ranks->rank() == 0) found = latest();
  const Tensor chosen = ops::broadcast(
      Tensor::scalar(found ? found->step : int64_t{-1}, DType::kI64), {.group = group});
  const auto step = chosen.item<int64_t>();
  if (step >= 0 && !found) found = load_checkpoint(path_of(step));
  dist::barrier(group);  // nobody replaces what another one still reads
  return found;
}

}  // namespace rutile::train
