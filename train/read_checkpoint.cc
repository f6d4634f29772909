// SPDX-License-Identifier: Apache-2.0
// Reading apart from writing: a fuzzer links this file, core and io alone.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "rutile/io/safetensors.h"
#include "rutile/train/checkpoint.h"
#include "rutile/train/checkpoint_format.h"

namespace rutile::train {
namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw_error(ErrorCode::kValue, cat("'", path, "' ", what));
}

const std::string& required(const io::SafetensorsFile& file, const std::string& key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end()) {
    refuse(file.path(),
           cat("is no checkpoint of a training run: its metadata have no '", key, "'"));
  }
  return it->second;
}

int64_t required_number(const io::SafetensorsFile& file, const std::string& key) {
  const std::string& text = required(file, key);
  int64_t value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || at != text.data() + text.size()) {
    refuse(file.path(), cat("has a ", key, " of '", text, "'"));
  }
  return value;
}

// The tensors of a file, whose checksum is right.
nn::StateDict verified(const io::SafetensorsFile& file) {
  nn::StateDict values;
  Checksum sum;
  for (const io::SafetensorsEntry& entry : file.entries()) {
    Tensor copy = row_major(file.tensor(entry), true);
    add_to(&sum, copy);
    values.emplace(entry.name, std::move(copy));
  }
  if (const std::string found = hex(sum.value()); found != required(file, "checksum")) {
    refuse(file.path(),
           cat("is damaged: its checksum is ", found, ", not ", required(file, "checksum")));
  }
  return values;
}

// "23x11"; "" is the shape of a number.
Shape parse_shape(const std::string& path, const std::string& name, const std::string& text) {
  Shape shape;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    int64_t n = -1;
    const auto [next, error] = std::from_chars(at, end, n);
    const bool last = next == end;
    if (error != std::errc() || n < 0 || shape.rank() == kMaxRank ||
        (!last && (*next != 'x' || next + 1 == end))) {
      refuse(path, cat("gives ", name, " the shape '", text, "'"));
    }
    shape.push_back(n);
    at = last ? end : next + 1;
  }
  int64_t ignored = 0;
  if (!checked_numel(shape, &ignored).ok()) refuse(path, cat("gives ", name, " the shape ", text));
  return shape;
}

// The files that an index names, joined.
class Joined {
 public:
  Joined(const io::SafetensorsFile& index, const OpenShard& open) : index_(index) {
    const int64_t ranks = required_number(index, "ranks");
    if (ranks < 1 || ranks > kMaxShards) refuse(index.path(), cat("is of ", ranks, " ranks"));
    ranks_ = static_cast<int>(ranks);
    for (const auto& [key, text] : index.metadata()) {
      if (!key.starts_with(kPartPrefix)) continue;
      const std::string name = key.substr(sizeof(kPartPrefix) - 1);
      parts_[name].shape = parse_shape(index.path(), name, text);
    }
    for (int r = 0; r < ranks_; ++r) add(r, open);
    for (auto& [name, part] : parts_) join(name, part);
  }
  nn::StateDict take() { return std::move(values_); }

 private:
  struct Part {
    Shape shape;
    std::vector<Tensor> pieces;
  };

  void add(int rank, const OpenShard& open) {
    const std::string& name = required(index_, shard_key(rank, "file"));
    if (name.empty() || name.find('/') != name.npos || name == "." || name == "..") {
      refuse(index_.path(), cat("names the file '", name, "', which is not one beside it"));
    }
    Ref<io::Blob> blob;
    try {
      blob = open(name);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kNotFound) throw;
      throw_error(ErrorCode::kNotFound,
                  cat("'", index_.path(), "' needs the file '", name,
                      "' beside it, which is not there: ranks on several hosts need a folder that "
                      "all of them see"));
    }
    const io::SafetensorsFile file = io::SafetensorsFile::parse(std::move(blob));
    if (required(file, "format") != kShardFormat) {
      refuse(file.path(), cat("is a '", required(file, "format"), "', not a '", kShardFormat, "'"));
    }
    const std::string& want = required(index_, shard_key(rank, "checksum"));
    if (required(file, "checksum") != want || required(file, "step") != required(index_, "step")) {
      refuse(file.path(), cat("is not the file that '", index_.path(),
                              "' was written for: another save has replaced it"));
    }
    for (auto& [state, value] : verified(file)) {
      const auto part = parts_.find(state);
      if (part != parts_.end()) {
        part->second.pieces.push_back(value);
      } else if (!values_.emplace(state, value).second) {
        refuse(file.path(),
               cat("has ", state, ", which another file of '", index_.path(), "' has, too"));
      }
    }
  }

  void join(const std::string& name, const Part& p) {
    if (static_cast<int>(p.pieces.size()) != ranks_) {
      refuse(index_.path(),
             cat("has ", p.pieces.size(), " parts of ", name, ", not one of each rank"));
    }
    const Tensor& first = p.pieces.front();
    for (const Tensor& t : p.pieces) {
      if (t.shape().rank() != 1 || !(t.shape() == first.shape()) || t.dtype() != first.dtype()) {
        refuse(index_.path(), cat("has parts of ", name,
                                  " that do not fit together: ", first.meta(), " and ", t.meta()));
      }
    }
    const int64_t n = p.shape.numel(), part = first.numel();
    // As ranks cut it: parts are as small as can be.
    if (part != (n + ranks_ - 1) / ranks_) {
      refuse(index_.path(), cat("has parts of ", part, " elements for ", name, " of ", p.shape));
    }
    Tensor whole = Tensor::empty(p.shape, first.dtype());
    auto* out = static_cast<char*>(n > 0 ? whole.mutable_data() : nullptr);
    const size_t size = dtype_size(first.dtype());
    for (int64_t at = 0, r = 0; at < n; at += part, ++r) {
      std::memcpy(out + static_cast<size_t>(at) * size, p.pieces[static_cast<size_t>(r)].data(),
                  static_cast<size_t>(std::min(part, n - at)) * size);
    }
    values_.emplace(name, std::move(whole));
  }

  const io::SafetensorsFile& index_;
  int ranks_ = 0;
  std::map<std::string, Part> parts_;
  nn::StateDict values_;
};

}  // namespace

Checkpoint parse_checkpoint(Ref<io::Blob> blob, const OpenShard& open) {
  const io::SafetensorsFile file = io::SafetensorsFile::parse(std::move(blob));
  const std::string& format = required(file, "format");
  Checkpoint c;
  c.path = file.path();
  if (format == kShardFormat) {
    refuse(c.path,
           "is what one rank wrote of a checkpoint: the file with 'index' in its name is "
           "that of the checkpoint");
  }
  if (format != kFormat && format != kIndexFormat) {
    refuse(c.path, cat("is a '", format, "', this program reads '", kFormat, "'"));
  }
  c.step = required_number(file, "step");
  if (format == kFormat) {
    c.values = verified(file);
  } else if (!open) {
    refuse(c.path, "is the index of a checkpoint in several files, which are not given");
  } else {
    c.values = Joined(file, open).take();
  }
  for (const auto& [key, text] : file.metadata()) {
    if (!key.starts_with("shard.")) c.metadata[key] = text;
  }
  return c;
}

Checkpoint parse_checkpoint(Ref<io::Blob> blob) { return parse_checkpoint(std::move(blob), {}); }

Checkpoint load_checkpoint(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return parse_checkpoint(io::map_file(path), [&folder](const std::string& name) {
    return io::map_file((folder / name).string());
  });
}

}  // namespace rutile::train
