// SPDX-License-Identifier: Apache-2.0
// Turns a tile program into a plan, slot by slot: tile_plan.cc places the operands and makes the
// steps, tile_finish.cc what follows from all of them. Internal to the two.
#pragma once

#include <memory>

#include "rutile/kernels/cpu/tile_plan.h"
#include "rutile/kernels/cpu/tile_program.h"

namespace rutile::kernels {

inline constexpr int64_t kCacheBytes = 40
                                       << 10;  // stays in the first-level cache beside the streams
inline constexpr int64_t kMaxTile = 1024, kMinTile = 64;
inline constexpr int64_t kLongRow = 256;         // worth a call of its own
inline constexpr int64_t kMaxResults = 1 << 16;  // gathered over tiles
inline constexpr int64_t kMaxRows = 128;
inline constexpr double kOwnCache = 1 << 20;  // bytes that a core has for itself
// Bytes of all operands beyond which readers find no result in a cache.
inline constexpr int64_t kPastCaches = 20 << 20;

inline Status unsupported(std::string text) {
  return Status(ErrorCode::kUnsupported, std::move(text));
}
inline DType tile_dtype(DType t) { return is_low_precision(t) ? DType::kF32 : t; }

// How a program and its operands lie: first the inputs, then the result of each reduction.
struct Placed {
  TensorMeta domain;
  std::vector<TensorMeta> results;
  std::vector<int> reduce_step;  // by result
  TileGeometry g;
};

class TileBuilder {
 public:
  TileBuilder(const TileProgram& program, std::span<const TensorMeta* const> in,
              std::span<const TensorMeta> out)
      : program_(program), in_(in), out_(out), table_(*tile_table()), plan_(new TilePlan) {}
  Status build(std::unique_ptr<Plan>* plan);

 private:
  int num_in() const { return static_cast<int>(in_.size()); }
  int step_slot(int k) const { return num_in() + k; }
  int outer_rank() const { return g_.rank - 1; }
  bool read_by_a_step(int slot) const;
  bool still(int operand) const;
  Status split_rows();
  bool used_by_functor(int slot) const;
  Feed feed_of(int i) const;
  void add_source(int i);
  ConvertFn convert(DType from, DType to) const;
  Status add_step(int k);
  bool one_element(int slot, Extent extent) const;
  void read(RunStep* s, int j, Extent extent, bool as_one);
  Status add_reduction(int k);
  static DType result_dtype(Fn fn, DType t);
  bool only_output_as(int slot, DType t) const;
  Status add_conversion(int k);
  void alias(int slot, int to);
  void set(int slot, DType t, Extent extent);
  int conversion_step(int slot, int in, DType to);
  int64_t operand_bytes() const;
  bool is_full(const TensorMeta& m) const { return m.shape == placed_.domain.shape; }
  bool lies_as_rows(const TensorMeta& m) const;
  Status add_outputs();
  void merge_pairs();
  static int first_of_pair(Fn op);
  static int second_of_pair(Fn op, int operand);
  bool merge_pair(const RunStep& first, int operand, RunStep* s) const;
  void assign_buffers();
  Status finish();
  void choose_tile(int64_t widest);
  void divide_results();
  void choose_run();
  void overwritable();
  const TileProgram& program_;
  std::span<const TensorMeta* const> in_;
  std::span<const TensorMeta> out_;
  const TileTable& table_;
  std::unique_ptr<TilePlan> plan_;
  Placed placed_;
  const TileGeometry& g_ = placed_.g;
  bool whole_rows_ = false;          // a reduction wants whole rows in a tile
  bool one_row_ = true;              // tiles have one row
  int real_[kMaxTileSlots] = {};     // the slot that holds the value
  DType dtype_[kMaxTileSlots] = {};  // of the slot's tile
  Extent extent_[kMaxTileSlots] = {};
  bool spread_[kMaxTileSlots] = {};      // of fewer elements, but somebody wants a tile
  bool spread_row_[kMaxTileSlots] = {};  // one element, but somebody wants one per row
  double cost_ = 0;
};

}  // namespace rutile::kernels
