// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/layout.h"

#include <atomic>
#include <map>
#include <mutex>

#include "rutile/core/error.h"

namespace rutile {
namespace {

constexpr int kMaxLayouts = 4096;
constexpr int64_t kMaxBlock = 4096;

bool is_lower(char c) { return c >= 'a' && c < 'a' + kMaxRank; }
bool is_upper(char c) { return c >= 'A' && c < 'A' + kMaxRank; }

// The outer letters: every dimension once. `blocked` gets a bit per capital letter.
bool parse_order(std::string_view tag, size_t* pos, Dims* order, uint32_t* blocked) {
  uint32_t seen = 0;
  size_t i = 0;
  for (; i < tag.size() && (is_lower(tag[i]) || is_upper(tag[i])); ++i) {
    const int d = is_lower(tag[i]) ? tag[i] - 'a' : tag[i] - 'A';
    if (seen >> d & 1u) return false;
    seen |= 1u << d;
    if (is_upper(tag[i])) *blocked |= 1u << d;
    order->push_back(d);
  }
  *pos = i;
  return order->rank() > 0 && seen == (1u << order->rank()) - 1;
}

bool parse_block(std::string_view tag, size_t* pos, int64_t* size, int* dim) {
  size_t i = *pos;
  if (tag[i] == '0') return false;  // one spelling per layout
  int64_t n = 0;
  for (; i < tag.size() && tag[i] >= '0' && tag[i] <= '9'; ++i) {
    n = n * 10 + (tag[i] - '0');
    if (n > kMaxBlock) return false;
  }
  if (n < 2 || i == tag.size() || !is_lower(tag[i])) return false;
  *size = n;
  *dim = tag[i] - 'a';
  *pos = i + 1;
  return true;
}

bool parse_tag(std::string_view tag, LayoutInfo* info) {
  uint32_t blocked = 0, used = 0;
  size_t pos = 0;
  if (!parse_order(tag, &pos, &info->order, &blocked)) return false;
  int64_t total = 1;
  while (pos < tag.size()) {
    int64_t size = 0;
    int dim = 0;
    if (!parse_block(tag, &pos, &size, &dim) || info->block_dims.rank() == kMaxRank) return false;
    if (!(blocked >> dim & 1u)) return false;
    used |= 1u << dim;
    total *= size;
    if (total > kMaxBlock) return false;
    info->block_dims.push_back(dim);
    info->block_sizes.push_back(size);
  }
  info->tag = tag;
  return used == blocked;
}

// Entries are published once and never change: readers need no lock.
struct Table {
  std::atomic<const LayoutInfo*> entries[kMaxLayouts] = {};
  std::mutex mutex;
  std::map<std::string, Layout, std::less<>> ids;  // under `mutex`

  Table() {
    auto* strided = new LayoutInfo;
    strided->tag = "strided";
    entries[kStrided].store(strided, std::memory_order_release);
  }
};

Table& table() {
  static Table* const t = new Table;  // outlives every static destructor
  return *t;
}

int64_t block_of(const LayoutInfo& info, int d) {
  int64_t block = 1;
  for (int i = 0; i < info.block_dims.rank(); ++i) {
    if (info.block_dims[i] == d) block *= info.block_sizes[i];
  }
  return block;
}

int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

const LayoutInfo& checked_info(Layout layout, const Shape& shape) {
  const LayoutInfo& info = layout_info(layout);
  RUTILE_CHECK(layout == kStrided || info.order.rank() == shape.rank(),
               "layout and shape differ in rank");
  return info;
}

}  // namespace

Layout intern_layout(std::string_view tag) {
  Table& t = table();
  std::lock_guard lock(t.mutex);
  const auto it = t.ids.find(tag);
  if (it != t.ids.end()) return it->second;
  LayoutInfo info;
  if (tag.size() > 64 || !parse_tag(tag, &info)) return kStrided;
  const size_t id = t.ids.size() + 1;
  if (id >= kMaxLayouts) throw_error(ErrorCode::kRuntime, "more than 4095 different layouts");
  t.ids.emplace(tag, static_cast<Layout>(id));
  t.entries[id].store(new LayoutInfo(std::move(info)), std::memory_order_release);
  return static_cast<Layout>(id);
}

const LayoutInfo& layout_info(Layout layout) {
  const LayoutInfo* info =
      layout < kMaxLayouts ? table().entries[layout].load(std::memory_order_acquire) : nullptr;
  RUTILE_CHECK(info != nullptr, "unknown layout id");
  return *info;
}

int64_t layout_elements(Layout layout, const Shape& shape) {
  if (layout == kStrided) return shape.numel();
  const LayoutInfo& info = checked_info(layout, shape);
  int64_t n = 1;
  for (int d = 0; d < shape.rank(); ++d) {
    const int64_t block = block_of(info, d);
    if (shape[d] == 0) return 0;
    if (__builtin_mul_overflow(n, ceil_div(shape[d], block) * block, &n)) {
      throw_error(ErrorCode::kValue,
                  cat("shape ", to_string(shape), " padded to layout ", info.tag, " is too large"));
    }
  }
  return n;
}

int64_t layout_dim_offset(Layout layout, const Shape& shape, int d, int64_t index) {
  const LayoutInfo& info = checked_info(layout, shape);
  if (layout == kStrided) return index * contiguous_strides(shape)[d];
  int64_t offset = 0, step = 1, rest = index;
  for (int i = info.block_dims.rank() - 1; i >= 0; --i) {
    const int64_t size = info.block_sizes[i];
    if (info.block_dims[i] == d) {
      offset += rest % size * step;
      rest /= size;
    }
    step *= size;
  }
  for (int i = shape.rank() - 1; info.order[i] != d; --i) {
    const int inner = static_cast<int>(info.order[i]);
    step *= ceil_div(shape[inner], block_of(info, inner));
  }
  return offset + rest * step;
}

int64_t layout_offset(Layout layout, const Shape& shape, const int64_t* index) {
  int64_t offset = 0;
  for (int d = 0; d < shape.rank(); ++d) offset += layout_dim_offset(layout, shape, d, index[d]);
  return offset;
}

int channel_block(Layout layout) {
  const LayoutInfo& info = layout_info(layout);
  if (info.block_dims.rank() != 1 || info.block_dims[0] != 1) return 0;
  for (int i = 0; i < info.order.rank(); ++i) {
    if (info.order[i] != i) return 0;
  }
  return static_cast<int>(info.block_sizes[0]);
}

}  // namespace rutile
