// SPDX-License-Identifier: Apache-2.0
// Checkpoints: safetensors files "step-00000937.safetensors" in a folder, with every State that
// training changes and, as metadata, where training stands and how it was started.
//
//   train::CheckpointFolder folder({.path = "run1", .keep = 3});
//   folder.check(step.named_states());            // before training: is there room to write?
//   folder.save(937, step.named_states(), {{"seed", "0"}});
//   if (auto c = folder.latest()) step.load_states(c->values);
//
// A file is written whole or not at all, and carries a checksum, so that damage is noticed. Errors:
// kNotFound, kIo for what the system refuses, kValue for files that are no checkpoints.
//
// Several ranks (dist/group.h) may write one checkpoint together, each a part of the bytes, into a
// folder that all of them see: "step-00000937.rank-0-of-4.safetensors" and so on, and, when all are
// there, "step-00000937.index.safetensors", which makes a checkpoint of them. What is read has
// whole values whatever wrote it, so that any number of ranks can go on.
//
//   train::CheckpointFolder folder({.path = "run1"});
//   folder.save_shards(937, step.named_states(), step.sharded_states());   // every rank
//   if (auto c = folder.latest_of_ranks()) step.load_states(c->values);    // every rank
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rutile/io/file.h"
#include "rutile/nn/cell.h"
#include "rutile/nn/optim/sharding.h"

namespace rutile::train {

using Metadata = std::map<std::string, std::string>;

struct Checkpoint {
  std::string path = "";
  int64_t step = 0;  // training steps done
  Metadata metadata;
  nn::StateDict values;  // copies, independent of the file
};

// Writes one file. `metadata` gets "format", "step" and "checksum" (XXH64 of all tensors' bytes).
RUTILE_API void save_checkpoint(const std::string& path, int64_t step,
                                const std::vector<nn::NamedState>& states,
                                const Metadata& metadata = {});
// Reads one and verifies its checksum. `path` may be that of an index; the files that it names lie
// beside it.
RUTILE_API Checkpoint load_checkpoint(const std::string& path);
RUTILE_API Checkpoint parse_checkpoint(Ref<io::Blob> blob);
// The same of files in memory: `open` gives those that an index names.
using OpenShard = std::function<Ref<io::Blob>(const std::string& name)>;
RUTILE_API Checkpoint parse_checkpoint(Ref<io::Blob> blob, const OpenShard& open);

// The tensors of a file of weights by name: MindSpore's .ckpt, which Python's save_checkpoint
// writes too, or .safetensors. Text in a .ckpt is left out.
//
//   net->load_state_dict(train::load_weights("net.ckpt"));
RUTILE_API nn::StateDict load_weights(const std::string& path);
// Writes states in the format that the suffix says (.ckpt or .safetensors; others: Error{kValue}).
RUTILE_API void save_weights(const std::string& path, const std::vector<nn::NamedState>& states);

// Creates the folder if need be and sees whether a file of `bytes` bytes could be written there;
// Error{kIo} says what stands against it. `what` names the folder's purpose in the message.
RUTILE_API void check_writable_folder(const std::string& folder, const std::string& what,
                                      int64_t bytes = 0);

struct CheckpointFolderOptions {
  std::string path = "";
  int keep = 2;  // checkpoints; older ones are removed after a save
};

class RUTILE_API CheckpointFolder {
 public:
  // Throws Error{kValue} for an empty path or keep < 1; does not touch the disk.
  explicit CheckpointFolder(CheckpointFolderOptions options);

  const std::string& path() const { return options_.path; }
  // check_writable_folder for a checkpoint of these states.
  void check(const std::vector<nn::NamedState>& states) const;
  // Moves the checkpoints of an earlier run into the folder "previous" inside, in place of those
  // there, so that a new run neither mixes with them nor loses them. Returns how many it moved.
  int set_aside() const;
  // Writes a checkpoint and removes old ones; returns its path.
  std::string save(int64_t step, const std::vector<nn::NamedState>& states,
                   const Metadata& metadata = {}) const;
  // The same by all ranks of a group, which call it together: each writes about as many bytes, of
  // the states in `sharded` its shard. Returns on every rank when the checkpoint is complete; one
  // that a rank did not finish is none.
  std::string save_shards(int64_t step, const std::vector<nn::NamedState>& states,
                          const std::vector<nn::optim::ShardedState>& sharded = {},
                          const Metadata& metadata = {}, const std::string& group = "world") const;
  // The one with the most steps among those that are whole; a damaged one is passed over with a
  // warning. Empty if the folder has none or does not exist; Error{kValue} if all are damaged.
  std::optional<Checkpoint> latest() const;
  // The same on all ranks of a group, which call it together: rank 0 chooses.
  std::optional<Checkpoint> latest_of_ranks(const std::string& group = "world") const;
  // Steps of the checkpoints there, ascending.
  std::vector<int64_t> steps() const;
  // Of the file, or of the index, of a step; where there is neither, the file that save() writes.
  std::string path_of(int64_t step) const;

 private:
  std::string file_of(int64_t step, const std::string& middle) const;
  void remove_old(int64_t step) const;
  CheckpointFolderOptions options_;
};

}  // namespace rutile::train
