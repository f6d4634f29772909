// SPDX-License-Identifier: Apache-2.0
// The plan of elementwise work in tiles, between its builder (tile_plan.cc) and its loop
// (tile_run.cc).
#pragma once

#include <vector>

#include "rutile/kernels/cpu/tile.h"
#include "rutile/kernels/cpu/tile_geometry.h"

namespace rutile::kernels {

inline constexpr int kMaxTileSlots = 120;

// How an input gets into a tile.
enum class Feed : uint8_t {
  kDirect,  // lies as the output: read in place, or converted
  kSingle,  // one element for the whole row
  kRepeat,  // a short vector over and over: a tile of it is made once per row
  kGather,  // anything else, element by element
};

struct TileSource {
  DType dtype = DType::kF32;
  Feed feed = Feed::kDirect;
  bool moves = false;   // depends on the row
  bool spread = false;  // a single that is also wanted as a tile
  int64_t size = 4;
  ConvertFn load = nullptr;               // null: tiles take the type as it is
  int64_t outer_step[kMaxTileRank] = {};  // bytes
  int64_t inner_step[kMaxTileRank] = {};  // elements
};

struct RunStep {
  TileFn fn = nullptr;
  ConvertFn convert = nullptr;  // instead of fn
  int slot = 0;
  int num_in = 0;
  int in[3] = {};
  bool from_tile[3] = {};  // else from the single value
  bool single = false;     // runs once per row, on one element
  bool spread = false;
  double params[2] = {};
};

struct TileOut {
  int slot = 0;
  int64_t size = 4;
  ConvertFn store = nullptr;  // null: written in place by its step
  bool from_tile = true;
};

struct TilePlan : Plan {
  // The output's memory is `rows` rows of `row` elements.
  int64_t total = 0, rows = 1, row = 0;
  int outer_rank = 0, inner_rank = 1;
  int64_t outer_dims[kMaxTileRank] = {}, inner_dims[kMaxTileRank] = {};
  int64_t tile = 0, tiles_per_row = 0;
  int64_t period = 1;  // of repeated inputs; divides `tile`
  int64_t grain = 1;   // elements worth a thread
  std::vector<TileSource> sources;
  std::vector<RunStep> steps;
  std::vector<TileOut> outs;
  int buffers = 0;
  int64_t buffer_bytes = 0;
  int raw_buffer = -1;  // gathered elements before conversion
  int8_t buffer[kMaxTileSlots];
  int8_t direct_out[kMaxTileSlots];  // the output that the slot's step writes in place
  int8_t slot_size[kMaxTileSlots] = {};
  // run_direct, run_convert
  TileFn fn = nullptr;
  ConvertFn convert = nullptr;
  int64_t step_bytes[4] = {};  // of the inputs and the output, 0 for singles

  TilePlan() {
    for (int i = 0; i < kMaxTileSlots; ++i) buffer[i] = direct_out[i] = -1;
  }
};

Status run_tiles(const Plan& plan, const KernelArgs& args);
Status run_direct(const Plan& plan, const KernelArgs& args);
Status run_convert(const Plan& plan, const KernelArgs& args);

}  // namespace rutile::kernels
