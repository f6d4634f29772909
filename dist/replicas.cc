// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/replicas.h"

#include <algorithm>
#include <cstring>

#include "rutile/ops/collective.h"
#include "rutile/ops/view.h"

namespace rutile::dist {

namespace {

constexpr size_t kMessageBytes = 64 << 20;

uint64_t hash_of(const Tensor& t) {
  const Tensor plain = ops::contiguous(t.to(kCpu));
  const auto* p = static_cast<const unsigned char*>(plain.numel() ? plain.data() : nullptr);
  const size_t n = static_cast<size_t>(plain.numel()) * dtype_size(plain.dtype());
  uint64_t h = 0x9e3779b97f4a7c15u ^ n;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t v;
    std::memcpy(&v, p + i, 8);
    h = (h ^ v) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  for (; i < n; ++i) h = (h ^ p[i]) * 0x100000001b3u;
  return h;
}

Tensor numbers(const std::vector<uint64_t>& v) {
  return Tensor::from<uint64_t>(std::span<const uint64_t>(v), {static_cast<int64_t>(v.size())});
}

}  // namespace

void broadcast_states(const NamedStates& states, int root, const std::string& group) {
  if (communicator(group)->size() == 1) return;
  for (size_t first = 0; first < states.size();) {
    size_t last = first, bytes = 0;
    const DType t = states[first].second->meta().dtype;
    std::vector<Tensor> lines;
    while (last < states.size() && states[last].second->meta().dtype == t &&
           bytes < kMessageBytes) {
      const Tensor v = states[last++].second->concrete().to(kCpu);
      bytes += static_cast<size_t>(v.numel()) * dtype_size(t);
      lines.push_back(ops::reshape(v, {-1}));
    }
    const Tensor all = ops::broadcast(ops::concat(lines), {.root = root, .group = group});
    int64_t at = 0;
    for (; first < last; ++first) {
      State& s = *states[first].second;
      const int64_t n = s.meta().numel();
      const Tensor part = ops::slice_axis(all, 0, at, at + n);
      // A copy: the message's memory is to be given back.
      Tensor value = Tensor::empty(s.meta().shape, t);
      if (n > 0) {
        std::memcpy(value.mutable_data(), part.data(), static_cast<size_t>(n) * dtype_size(t));
      }
      s.write(value.to(s.meta().device));
      at += n;
    }
  }
}

void check_replicas(const NamedStates& states, const std::string& group) {
  const int ranks = communicator(group)->size();
  if (ranks == 1) return;
  std::vector<uint64_t> mine{0};
  for (const auto& [name, state] : states) {
    mine.push_back(hash_of(state->concrete()));
    mine[0] = (mine[0] ^ mine.back()) * 0xff51afd7ed558ccdu;
  }
  const std::vector<uint64_t> totals =
      ops::all_gather(numbers({mine[0]}), {.group = group}).to_vector<uint64_t>();
  if (std::all_of(totals.begin(), totals.end(), [&](uint64_t h) { return h == totals[0]; })) return;
  const std::vector<uint64_t> all =
      ops::all_gather(numbers(mine), {.group = group}).to_vector<uint64_t>();
  const size_t n = mine.size();
  for (size_t i = 1; i < n; ++i) {
    std::string differ;
    for (size_t r = 1; r < static_cast<size_t>(ranks); ++r) {
      if (all[r * n + i] != all[i]) differ += cat(differ.empty() ? "" : ", ", r);
    }
    if (differ.empty()) continue;
    throw_error(ErrorCode::kRuntime,
                cat("the ranks' parameters are not the same: ", states[i - 1].first,
                    " of rank 0 differs from that of rank ", differ,
                    "; did all start from the same values, with the same gradients?"));
  }
}

}  // namespace rutile::dist
