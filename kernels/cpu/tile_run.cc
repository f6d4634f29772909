// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "rutile/core/thread.h"
#include "rutile/kernels/cpu/tile_fill.h"
#include "rutile/kernels/cpu/tile_program.h"

namespace rutile::kernels {
namespace {

// What the slots of a reduction come to, as elements of the result's tile type.
template <class Slot>
void finish_slots(const RunReduce& r, const void* slots, int64_t n, void* out) {
  const Slot* s = static_cast<const Slot*>(slots);
  for (int64_t i = 0; i < n; ++i) {
    Slot v = s[i];
    if constexpr (std::is_floating_point_v<Slot>) v *= static_cast<Slot>(r.scale);
    switch (r.value) {
      case DType::kF32:
        static_cast<float*>(out)[i] = static_cast<float>(v);
        break;
      case DType::kF64:
        static_cast<double*>(out)[i] = static_cast<double>(v);
        break;
      case DType::kI32:
        static_cast<int32_t*>(out)[i] = static_cast<int32_t>(v);
        break;
      case DType::kI64:
        static_cast<int64_t*>(out)[i] = static_cast<int64_t>(v);
        break;
      default:
        static_cast<bool*>(out)[i] = v != Slot(0);
    }
  }
}
void finish_slots(const RunReduce& r, const void* slots, int64_t n, void* out) {
  if (r.slot == DType::kF32) {
    finish_slots<float>(r, slots, n, out);
  } else if (r.slot == DType::kF64) {
    finish_slots<double>(r, slots, n, out);
  } else {
    finish_slots<int64_t>(r, slots, n, out);
  }
}

// Numbers the rows of a tile in all dimensions around them.
class RowCounter {
 public:
  RowCounter(const TilePlan& p, int64_t row) : p_(p) {
    for (int d = p.outer_rank - 1; d >= 0; --d) {
      index_[d] = row % p.outer_dims[d];
      row /= p.outer_dims[d];
    }
  }
  // Calls f(i, count, offset) for the n rows from the first on, in runs along the innermost of the
  // dimensions: `count` rows from number i on.
  template <class F>
  void runs(const int64_t* step, int64_t n, F&& f) const {
    const int last = p_.outer_rank - 1;
    if (last < 0) return f(int64_t{0}, n, int64_t{0});
    int64_t index[kMaxTileRank], at = 0;
    for (int d = 0; d <= last; ++d) {
      index[d] = index_[d];
      at += index[d] * step[d];
    }
    for (int64_t i = 0; i < n;) {
      const int64_t count = std::min(n - i, p_.outer_dims[last] - index[last]);
      f(i, count, at);
      i += count;
      at += count * step[last];
      index[last] += count;
      for (int d = last; d > 0 && index[d] == p_.outer_dims[d]; --d) {
        at += step[d - 1] - p_.outer_dims[d] * step[d];
        index[d] = 0;
        ++index[d - 1];
      }
    }
  }
  // Calls f(i, offset) for n rows from the first on.
  template <class F>
  void each(const int64_t* step, int64_t n, F&& f) const {
    const int64_t by = inner(step);
    runs(step, n, [&](int64_t i, int64_t count, int64_t at) {
      for (int64_t k = 0; k < count; ++k, at += by) f(i + k, at);
    });
  }
  // The step from a row of a run to the next.
  int64_t inner(const int64_t* step) const {
    return p_.outer_rank > 0 ? step[p_.outer_rank - 1] : 0;
  }
  int64_t first(const int64_t* step) const {
    int64_t at = 0;
    for (int d = 0; d < p_.outer_rank; ++d) at += index_[d] * step[d];
    return at;
  }

 private:
  const TilePlan& p_;
  int64_t index_[kMaxTileRank];
};

// One thread's walk over some tiles; `results` is what it gathers over them.
class TileRun {
 public:
  TileRun(const TilePlan& p, const KernelArgs& args, char* results)
      : p_(p), args_(args), results_(results) {
    char* rows = scratch_ + p.buffers * p.buffer_bytes;
    slots_ = rows + p.row_buffers * p.row_buffer_bytes;
    const auto place = [&](int slot) {
      const int b = p.buffer[slot], r = p.row_buffer[slot];
      tile_[slot] = b < 0 ? nullptr : scratch_ + b * p.buffer_bytes;
      row_[slot] = r < 0 ? nullptr : rows + r * p.row_buffer_bytes;
    };
    const int n = static_cast<int>(p.sources.size());
    for (int i = 0; i < n; ++i) place(i);
    for (const RunStep& s : p.steps) place(s.slot);
    for (int i = 0; i < n; ++i) make_once(i);
    for (const RunStep& s : p.steps) {
      if (s.extent != Extent::kSingle) continue;
      const void* in[3];
      for (int j = 0; j < s.num_in; ++j) in[j] = single_[s.in[j]];
      apply(s, in, single_[s.slot], 1);
      spread_single(s.slot);
    }
  }

  void run(int64_t begin, int64_t end) {
    walk(begin, end);
    if (p_.stream) p_.stream(nullptr, nullptr, 0);
  }

 private:
  void walk(int64_t begin, int64_t end) {
    if (p_.tile == p_.row) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t row = t * p_.tile_rows;
        run_tile(row, std::min(p_.tile_rows, p_.rows - row), 0, p_.row);
      }
      return;
    }
    int64_t row = begin / p_.tiles_per_row, at = begin % p_.tiles_per_row;
    for (; begin < end; ++begin) {
      const int64_t start = at * p_.tile;
      run_tile(row, 1, start, std::min(p_.tile, p_.row - start));
      if (++at < p_.tiles_per_row) continue;
      at = 0;
      ++row;
    }
  }

  // Views of the user's memory may begin anywhere.
  void stream(const char* from, char* to, int64_t bytes) {
    if (reinterpret_cast<uintptr_t>(to) % 64 == 0) {
      p_.stream(from, to, bytes);
    } else {
      std::memcpy(to, from, static_cast<size_t>(bytes));
    }
  }

  // What is the same for all tiles.
  void make_once(int i) {
    const TileSource& s = p_.sources[static_cast<size_t>(i)];
    const int64_t size = p_.slot_size[i];
    if (s.feed == Feed::kSingle) {
      load(s, args_.in[i], single_[i], 1);
      spread_single(i);
    } else if (s.feed == Feed::kRepeat) {
      load(s, args_.in[i], tile_[i], p_.row);
      repeat(tile_[i], p_.row * size, p_.tile_rows * p_.row * size);
    }
  }
  void spread_single(int slot) {
    const int64_t size = p_.slot_size[slot];
    if (tile_[slot]) fill(tile_[slot], single_[slot], size, p_.tile_rows * p_.tile);
    if (row_[slot]) fill(row_[slot], single_[slot], size, p_.tile_rows);
  }
  void spread_rows(int slot, int64_t rows, int64_t n) {
    switch (p_.slot_size[slot]) {
      case 1:
        return spread<uint8_t>(row_[slot], tile_[slot], rows, n);
      case 2:
        return spread<uint16_t>(row_[slot], tile_[slot], rows, n);
      case 4:
        return spread<uint32_t>(row_[slot], tile_[slot], rows, n);
      default:
        return spread<uint64_t>(row_[slot], tile_[slot], rows, n);
    }
  }

  static void load(const TileSource& s, const void* from, void* to, int64_t n) {
    if (s.load) {
      s.load(from, to, n);
    } else {
      std::memcpy(to, from, static_cast<size_t>(n * s.size));
    }
  }

  static void apply(const RunStep& s, const void* const* in, void* out, int64_t n) {
    if (s.convert) {
      s.convert(in[0], out, n);
    } else {
      s.fn(in, out, n, s.params);
    }
  }

  // Elements [start, start + n) of some rows.
  void run_tile(int64_t row, int64_t rows, int64_t start, int64_t n) {
    const RowCounter counter(p_, row);
    const int64_t at = row * p_.row + start;
    const int sources = static_cast<int>(p_.sources.size());
    if (p_.ahead) prefetch(at + rows * n, rows * n);
    for (int i = 0; i < sources; ++i) feed(i, counter, at, rows, start, n);
    for (const RunStep& s : p_.steps) {
      if (s.extent == Extent::kSingle) continue;
      if (s.reduce >= 0) {
        reduce(s, counter, rows, start, n);
        continue;
      }
      const void* in[3];
      for (int j = 0; j < s.num_in; ++j) {
        const int slot = s.in[j];
        in[j] = s.from[j] == Extent::kTile  ? tile_[slot]
                : s.from[j] == Extent::kRow ? row_[slot]
                                            : single_[slot];
      }
      if (s.extent == Extent::kRow) {
        apply(s, in, row_[s.slot], rows);
        if (s.spread) spread_rows(s.slot, rows, n);
        continue;
      }
      const int o = p_.direct_out[s.slot];
      if (o >= 0) {
        tile_[s.slot] =
            static_cast<char*>(args_.out[o]) + at * p_.outs[static_cast<size_t>(o)].size;
      }
      apply(s, in, tile_[s.slot], rows * n);
    }
    for (size_t o = 0; o < p_.outs.size(); ++o) {
      const TileOut& out = p_.outs[o];
      if (!out.store) continue;
      char* to = static_cast<char*>(args_.out[o]);
      if (out.stream) {
        stream(tile_[out.slot], to + at * out.size, rows * n * out.size);
      } else if (out.extent == Extent::kTile) {
        out.store(tile_[out.slot], to + at * out.size, rows * n);
      } else {
        out.store(row_[out.slot], to + row * out.size, rows);
      }
    }
  }

  // The next tile's elements on their way while this one is computed: the processor's own
  // prefetching begins anew with every run of so few lines.
  void prefetch(int64_t at, int64_t n) const {
    n = std::min(n, p_.total - at);
    constexpr int64_t kLine = 64;
    for (size_t i = 0; i < p_.sources.size(); ++i) {
      const TileSource& s = p_.sources[i];
      if (s.feed != Feed::kFlat) continue;
      const char* from = static_cast<const char*>(args_.in[i]) + at * s.size;
      for (int64_t b = 0; b < n * s.size; b += kLine) __builtin_prefetch(from + b, 0, 2);
    }
    for (size_t o = 0; o < p_.outs.size(); ++o) {
      const TileOut& out = p_.outs[o];
      if (out.stream || out.extent != Extent::kTile) continue;
      const char* to = static_cast<const char*>(args_.out[o]) + at * out.size;
      for (int64_t b = 0; b < n * out.size; b += kLine) __builtin_prefetch(to + b, 1, 2);
    }
  }

  void feed(int i, const RowCounter& counter, int64_t at, int64_t rows, int64_t start, int64_t n) {
    const TileSource& s = p_.sources[static_cast<size_t>(i)];
    const char* base = static_cast<const char*>(args_.in[i]);
    char* raw = s.load ? scratch_ + p_.raw_buffer * p_.buffer_bytes : nullptr;
    switch (s.feed) {
      case Feed::kSingle:
      case Feed::kRepeat:
        return;
      case Feed::kFlat:
        base += at * s.size;
        if (s.load) {
          s.load(base, tile_[i], rows * n);
        } else {
          tile_[i] = const_cast<char*>(base);
        }
        return;
      case Feed::kLine: {
        base += start * s.size;
        const char* buffer = tile_buffer(i);
        if (!buffer) {
          tile_[i] = const_cast<char*>(base) + counter.first(s.outer_step);
          return;
        }
        const int64_t pitch = n * p_.slot_size[i], by = counter.inner(s.outer_step);
        counter.runs(s.outer_step, rows, [&](int64_t r, int64_t count, int64_t offset) {
          char* to = tile_[i] + r * pitch;
          if (by == 0) {  // one row again and again
            load(s, base + offset, to, n);
            repeat(to, pitch, count * pitch);
            return;
          }
          for (int64_t k = 0; k < count; ++k) load(s, base + offset + k * by, to + k * pitch, n);
        });
        return;
      }
      case Feed::kRowValue: {
        char* to = s.load ? raw : row_[i];
        const int64_t by = counter.inner(s.outer_step) / s.size;
        counter.runs(s.outer_step, rows, [&](int64_t r, int64_t count, int64_t offset) {
          copy_strided(base + offset, by, to + r * s.size, s.size, count);
        });
        if (s.load) s.load(raw, row_[i], rows);
        if (s.spread) spread_rows(i, rows, n);
        return;
      }
      case Feed::kGather: {
        char* to = s.load ? raw : tile_[i];
        base += start * s.inner_step * s.size;
        counter.each(s.outer_step, rows, [&](int64_t r, int64_t offset) {
          copy_strided(base + offset, s.inner_step, to + r * n * s.size, s.size, n);
        });
        if (s.load) s.load(raw, tile_[i], rows * n);
        return;
      }
    }
  }
  const char* tile_buffer(int slot) const {
    return p_.buffer[slot] < 0 ? nullptr : scratch_ + p_.buffer[slot] * p_.buffer_bytes;
  }

  void reduce(const RunStep& s, const RowCounter& counter, int64_t rows, int64_t start, int64_t n) {
    const RunReduce& r = p_.reduces[static_cast<size_t>(s.reduce)];
    const ReduceKernels& k = r.kernels;
    const char* x = tile_[s.in[0]];
    if (r.whole) {
      k.init(slots_, rows);
      k.rows(x, n, rows, n, 0, nullptr, slots_);
      finish_slots(r, slots_, rows, row_[s.slot]);
      if (s.spread) spread_rows(s.slot, rows, n);
      return;
    }
    char* into = results_ + r.at;
    const int64_t pitch = n * p_.slot_size[s.in[0]];
    if (r.one && r.inside) {
      k.rows(x, 0, 1, rows * n, 0, nullptr, into);
    } else if (r.one) {
      k.columns(x, n, rows, n, 0, nullptr, into + start * k.slot_bytes);
    } else if (r.inside) {
      k.init(slots_, rows);
      k.rows(x, n, rows, n, 0, nullptr, slots_);
      counter.each(r.outer_step, rows, [&](int64_t i, int64_t at) {
        k.merge(into + at * k.slot_bytes, slots_ + i * k.slot_bytes, 1);
      });
    } else {
      counter.each(r.outer_step, rows, [&](int64_t i, int64_t at) {
        k.columns(x + i * pitch, n, 1, n, 0, nullptr, into + (at + start) * k.slot_bytes);
      });
    }
  }

  const TilePlan& p_;
  const KernelArgs& args_;
  char* results_;
  char* slots_;
  char* tile_[kMaxTileSlots];
  char* row_[kMaxTileSlots];
  alignas(16) char single_[kMaxTileSlots][8];
  alignas(64) char scratch_[kTileScratch];
};

// Results of all parts, in their order, to where they belong.
void finish_results(const TilePlan& p, const KernelArgs& args) {
  char* first = static_cast<char*>(args.workspace);
  for (const RunReduce& r : p.reduces) {
    if (r.whole) continue;
    for (int64_t part = 1; part < p.parts; ++part) {
      r.kernels.merge(first + r.at, first + part * p.part_bytes + r.at, r.results);
    }
    const TileOut& out = p.outs[static_cast<size_t>(r.output)];
    const ConvertFn store = out.finish;
    char* to = static_cast<char*>(args.out[r.output]);
    constexpr int64_t kBlock = 256;
    alignas(64) char block[kBlock * 8];
    for (int64_t i = 0; i < r.results; i += kBlock) {
      const int64_t n = std::min(kBlock, r.results - i);
      finish_slots(r, first + r.at + i * r.kernels.slot_bytes, n, block);
      store(block, to + i * out.size, n);
    }
  }
}

}  // namespace

Status run_tiles(const Plan& plan, const KernelArgs& args) {
  const auto& p = static_cast<const TilePlan&>(plan);
  if (p.parts == 0) {
    const int64_t elements = std::max<int64_t>(p.tile_rows * p.tile, 1);
    parallel_for(0, p.tiles, std::max<int64_t>(p.grain / elements, 1),
                 [&](int64_t begin, int64_t end) {
                   TileRun run(p, args, nullptr);
                   run.run(begin, end);
                 });
    return Status();
  }
  parallel_for(0, p.parts, p.part_grain, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      char* results = static_cast<char*>(args.workspace) + part * p.part_bytes;
      for (const RunReduce& r : p.reduces) {
        if (!r.whole) r.kernels.init(results + r.at, r.slots);
      }
      TileRun run(p, args, results);
      run.run(p.tiles * part / p.parts, p.tiles * (part + 1) / p.parts);
    }
  });
  finish_results(p, args);
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
