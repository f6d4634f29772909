// SPDX-License-Identifier: Apache-2.0
// The plan of elementwise work in tiles, between its builder (tile_plan.cc) and its loop
// (tile_run.cc).
#pragma once

#include <vector>

#include "rutile/kernels/cpu/reduce.h"
#include "rutile/kernels/cpu/tile.h"
#include "rutile/kernels/cpu/tile_geometry.h"

namespace rutile::kernels {

inline constexpr int kMaxTileSlots = 200;
// Memory for tiles; what a run needs of it lies on its stack.
inline constexpr int64_t kTileScratch = 160 << 10;

// How an input gets into a tile of some rows.
enum class Feed : uint8_t {
  kFlat,      // lies as what the program runs over: read in place, or converted
  kLine,      // the elements of a row are neighbours: read in place where tiles have one row
  kRepeat,    // one row for all: a tile of it is made once
  kSingle,    // one element for all
  kRowValue,  // one element per row
  kGather,    // anything else, element by element
};
// How much of a value there is: one element for all, one per row, all.
enum class Extent : uint8_t { kSingle, kRow, kTile };

struct TileSource {
  DType dtype = DType::kF32;
  Feed feed = Feed::kFlat;
  bool spread = false;  // fewer elements, but also wanted as a tile
  int64_t size = 4;
  ConvertFn load = nullptr;               // null: tiles take the type as it is
  int64_t outer_step[kMaxTileRank] = {};  // bytes
  int64_t inner_step = 0;                 // elements
};

struct RunReduce {
  ReduceKernels kernels;
  DType slot = DType::kF64;   // type of the accumulator
  DType value = DType::kF32;  // tile type of the result
  double scale = 1;
  bool whole = true;   // every tile has all that its rows' results are made of
  bool inside = true;  // reduces the elements of a row; else rows, element by element
  bool one = false;    // ... and all rows into the same results
  int64_t outer_step[kMaxTileRank] = {};  // results, where they are gathered over tiles
  int64_t results = 0, slots = 0;         // slots: with those of padding
  int64_t at = 0;                         // of the results in a part's memory, bytes
  int output = -1;
};

struct RunStep {
  TileFn fn = nullptr;
  ConvertFn convert = nullptr;  // instead of fn
  int reduce = -1;              // instead of both
  Fn op = Fn::kCount;           // what fn is, where it may become part of a pair
  int slot = 0;
  int num_in = 0;
  int in[3] = {};
  Extent from[3] = {};  // what is read of the inputs
  Extent extent = Extent::kTile;
  bool spread = false;
  double params[3] = {};
};

struct TileOut {
  int slot = 0;
  int64_t size = 4;
  ConvertFn store = nullptr;   // null: written in place by its step, or gathered
  ConvertFn finish = nullptr;  // of gathered results
  bool stream = false;         // what the tile holds is written past the caches
  Extent extent = Extent::kTile;
};

struct TilePlan : Plan {
  // The memory that the program runs over is `rows` rows of `row` elements; a tile is `tile_rows`
  // rows, or `tile` elements of one row.
  int64_t total = 0, rows = 1, row = 0;
  int outer_rank = 0;
  int64_t outer_dims[kMaxTileRank] = {};
  int64_t tile_rows = 1, tile = 0, tiles_per_row = 1;
  int64_t tiles = 0;
  bool ahead = false;  // asks for the next tile's memory
  int64_t grain = 1;   // tiles (elements for run_direct and run_convert) worth a thread
  void (*stream)(const void* from, void* to, int64_t bytes) = nullptr;  // if a result wants it
  std::vector<TileSource> sources;
  std::vector<RunStep> steps;
  std::vector<TileOut> outs;
  std::vector<RunReduce> reduces;
  // Results that are gathered over tiles: parts of the tiles gather for themselves.
  int64_t parts = 0, part_bytes = 0, part_grain = 1;
  int buffers = 0, row_buffers = 0;
  int64_t buffer_bytes = 0, row_buffer_bytes = 0;
  int raw_buffer = -1;    // gathered elements before conversion
  int slots_buffer = -1;  // accumulators of a tile's rows
  int16_t buffer[kMaxTileSlots], row_buffer[kMaxTileSlots];
  int16_t direct_out[kMaxTileSlots];  // the output that the slot's step writes in place
  int8_t slot_size[kMaxTileSlots] = {};
  // run_direct, run_convert
  TileFn fn = nullptr;
  ConvertFn convert = nullptr;
  int64_t step_bytes[4] = {};  // of the inputs and the output, 0 for singles

  TilePlan() {
    for (int i = 0; i < kMaxTileSlots; ++i) buffer[i] = row_buffer[i] = direct_out[i] = -1;
  }
};

Status run_tiles(const Plan& plan, const KernelArgs& args);
Status run_direct(const Plan& plan, const KernelArgs& args);
Status run_convert(const Plan& plan, const KernelArgs& args);

}  // namespace rutile::kernels
