// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/tile_program.h"

namespace rutile::kernels {
namespace {

template <class T>
void fill(void* to, const void* value, int64_t n) {
  T v;
  std::memcpy(&v, value, sizeof(T));
  std::fill_n(static_cast<T*>(to), n, v);
}
void fill(void* to, const void* value, int64_t size, int64_t n) {
  switch (size) {
    case 1:
      return fill<uint8_t>(to, value, n);
    case 2:
      return fill<uint16_t>(to, value, n);
    case 4:
      return fill<uint32_t>(to, value, n);
    default:
      return fill<uint64_t>(to, value, n);
  }
}

template <class T>
void copy_strided(const char* from, int64_t step, char* to, int64_t n) {
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i * step];
}
void copy_strided(const char* from, int64_t step, char* to, int64_t size, int64_t n) {
  if (step == 1) {
    std::memcpy(to, from, static_cast<size_t>(n * size));
  } else if (step == 0) {
    fill(to, from, size, n);
  } else if (size == 1) {
    copy_strided<uint8_t>(from, step, to, n);
  } else if (size == 2) {
    copy_strided<uint16_t>(from, step, to, n);
  } else if (size == 4) {
    copy_strided<uint32_t>(from, step, to, n);
  } else {
    copy_strided<uint64_t>(from, step, to, n);
  }
}

// One thread's walk over some tiles.
class TileRun {
 public:
  TileRun(const TilePlan& p, const KernelArgs& args) : p_(p), args_(args) {
    const int n = static_cast<int>(p.sources.size());
    for (int i = 0; i < n; ++i) {
      base_[i] = static_cast<const char*>(args.in[i]);
      tile_[i] = buffer_of(i);
    }
    for (const RunStep& s : p.steps) tile_[s.slot] = buffer_of(s.slot);
  }

  void run(int64_t begin, int64_t end) {
    int64_t row = begin / p_.tiles_per_row, at = begin % p_.tiles_per_row;
    bool first = true;
    while (begin < end) {
      enter_row(row, first);
      first = false;
      const int64_t last = std::min(p_.tiles_per_row, at + end - begin);
      begin += last - at;
      for (; at < last; ++at) {
        const int64_t start = at * p_.tile;
        run_tile(row * p_.row + start, start, std::min(p_.tile, p_.row - start));
      }
      at = 0;
      ++row;
    }
  }

 private:
  char* buffer_of(int slot) {
    const int b = p_.buffer[slot];
    return b < 0 ? nullptr : scratch_ + b * p_.buffer_bytes;
  }

  // Pointers of the row, and everything that is the same all along it.
  void enter_row(int64_t row, bool first) {
    int64_t index[kMaxTileRank];
    for (int d = p_.outer_rank - 1; d >= 0; --d) {
      index[d] = row % p_.outer_dims[d];
      row /= p_.outer_dims[d];
    }
    const int n = static_cast<int>(p_.sources.size());
    for (int i = 0; i < n; ++i) {
      const TileSource& s = p_.sources[i];
      if (!first && !s.moves) continue;
      const char* at = static_cast<const char*>(args_.in[i]);
      for (int d = 0; d < p_.outer_rank; ++d) at += index[d] * s.outer_step[d];
      base_[i] = at;
      if (s.feed == Feed::kSingle) {
        load(s, at, single_[i], 1);
        if (s.spread) fill(tile_[i], single_[i], p_.slot_size[i], p_.tile);
      } else if (s.feed == Feed::kRepeat) {
        repeat(s, at, tile_[i], p_.slot_size[i]);
      }
    }
    for (const RunStep& s : p_.steps) {
      if (!s.single) continue;
      const void* in[3];
      for (int j = 0; j < s.num_in; ++j) in[j] = single_[s.in[j]];
      apply(s, in, single_[s.slot], 1);
      if (s.spread) fill(tile_[s.slot], single_[s.slot], p_.slot_size[s.slot], p_.tile);
    }
  }

  static void load(const TileSource& s, const void* from, void* to, int64_t n) {
    if (s.load) {
      s.load(from, to, n);
    } else {
      std::memcpy(to, from, static_cast<size_t>(n * s.size));
    }
  }

  void repeat(const TileSource& s, const void* from, char* to, int64_t size) {
    load(s, from, to, p_.period);
    const int64_t all = std::min(p_.tile, p_.row) * size;
    for (int64_t have = p_.period * size; have < all; have *= 2) {
      std::memcpy(to + have, to, static_cast<size_t>(std::min(have, all - have)));
    }
  }

  static void apply(const RunStep& s, const void* const* in, void* out, int64_t n) {
    if (s.convert) {
      s.convert(in[0], out, n);
    } else {
      s.fn(in, out, n, s.params);
    }
  }

  // `at`: the tile's place in the output's memory; `start`: in its row.
  void run_tile(int64_t at, int64_t start, int64_t n) {
    const int sources = static_cast<int>(p_.sources.size());
    for (int i = 0; i < sources; ++i) {
      const TileSource& s = p_.sources[i];
      if (s.feed == Feed::kDirect) {
        const char* from = base_[i] + start * s.size;
        if (s.load) {
          s.load(from, tile_[i], n);
        } else {
          tile_[i] = const_cast<char*>(from);
        }
      } else if (s.feed == Feed::kGather) {
        char* raw = s.load ? scratch_ + p_.raw_buffer * p_.buffer_bytes : tile_[i];
        gather(s, base_[i], start, n, raw);
        if (s.load) s.load(raw, tile_[i], n);
      }
    }
    for (const RunStep& s : p_.steps) {
      if (s.single) continue;
      const void* in[3];
      for (int j = 0; j < s.num_in; ++j) in[j] = s.from_tile[j] ? tile_[s.in[j]] : single_[s.in[j]];
      const int o = p_.direct_out[s.slot];
      if (o >= 0) tile_[s.slot] = static_cast<char*>(args_.out[o]) + at * p_.outs[o].size;
      apply(s, in, tile_[s.slot], n);
    }
    for (size_t o = 0; o < p_.outs.size(); ++o) {
      const TileOut& out = p_.outs[o];
      if (!out.store) continue;
      out.store(tile_[out.slot], static_cast<char*>(args_.out[o]) + at * out.size, n);
    }
  }

  // n elements from place `start` of the row on, along its dimensions.
  void gather(const TileSource& s, const char* base, int64_t start, int64_t n, char* to) {
    int64_t index[kMaxTileRank];
    const int last = p_.inner_rank - 1;
    const char* from = base;
    for (int d = last; d >= 0; --d) {
      index[d] = start % p_.inner_dims[d];
      start /= p_.inner_dims[d];
      from += index[d] * s.inner_step[d] * s.size;
    }
    while (true) {
      const int64_t run = std::min(n, p_.inner_dims[last] - index[last]);
      copy_strided(from, s.inner_step[last], to, s.size, run);
      n -= run;
      if (n == 0) return;
      to += run * s.size;
      from -= index[last] * s.inner_step[last] * s.size;
      index[last] = 0;
      for (int d = last - 1; d >= 0; --d) {
        from += s.inner_step[d] * s.size;
        if (++index[d] < p_.inner_dims[d]) break;
        from -= p_.inner_dims[d] * s.inner_step[d] * s.size;
        index[d] = 0;
      }
    }
  }

  const TilePlan& p_;
  const KernelArgs& args_;
  const char* base_[kMaxTileInputs];
  char* tile_[kMaxTileSlots];
  alignas(16) char single_[kMaxTileSlots][8];
  alignas(64) char scratch_[64 << 10];
};

}  // namespace

Status run_tiles(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const TilePlan&>(plan);
  const int64_t grain = std::max<int64_t>(p.grain / std::min(p.tile, p.row), 1);
  parallel_for(0, p.rows * p.tiles_per_row, grain, [&](int64_t begin, int64_t end) {
    TileRun run(p, args);
    run.run(begin, end);
  });
  return Status();
}

Status run_direct(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const TilePlan&>(plan);
  if (p.total <= p.grain) {
    p.fn(args.in, args.out[0], p.total, p.steps[0].params);
    return Status();
  }
  parallel_for(0, p.total, p.grain, [&](int64_t begin, int64_t end) {
    const void* in[3];
    for (size_t i = 0; i < p.sources.size(); ++i) {
      in[i] = static_cast<const char*>(args.in[i]) + begin * p.step_bytes[i];
    }
    p.fn(in, static_cast<char*>(args.out[0]) + begin * p.step_bytes[3], end - begin,
         p.steps[0].params);
  });
  return Status();
}

Status run_convert(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const TilePlan&>(plan);
  parallel_for(0, p.total, p.grain, [&](int64_t begin, int64_t end) {
    p.convert(static_cast<const char*>(args.in[0]) + begin * p.sources[0].size,
              static_cast<char*>(args.out[0]) + begin * p.outs[0].size, end - begin);
  });
  return Status();
}

}  // namespace rutile::kernels
