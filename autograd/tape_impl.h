// SPDX-License-Identifier: Apache-2.0
// The record behind gradient scopes: the ops of a thread, in the order of their calls. tape.cc
// writes it, backward.cc walks it, rule.cc makes the gradient of one op.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rutile/autograd/tape.h"

namespace rutile {

struct TapeNode {
  const OpDef* op = nullptr;
  AnyAttrs attrs;
  SmallVector<uint32_t, 4> in_vars;  // 0: not tracked
  SmallVector<Tensor, 3> saved_in;   // same length as in_vars where anything is saved
  SmallVector<Tensor, 2> saved_out;
  SmallVector<TensorMeta, 3> in_metas;
  uint32_t given = 0;
  uint32_t first_out = 0;  // var of output 0; the others follow
  int num_out = 0;
  CallPlace place;
  std::string cell;  // path of Cells, for errors in backward
};

// One per thread; all open scopes of the thread share it, each owning the nodes from its first.
class Tape final : public TapeHook {
 public:
  static Tape& current();

  bool tracked(const Tensor& t) const override { return var_of(t) != 0; }
  void record(const OpDef& op, const void* attrs, std::span<const Tensor> in,
              std::span<const Tensor> out, std::source_location where) override;
  Tensor own_handle(const Tensor& value) override;

  void open(GradScope* scope);
  void close(GradScope* scope);
  // The number of a tensor that the open scopes track, 0 of another.
  uint32_t var_of(const Tensor& t) const {
    const TensorImpl* p = t.impl();
    return p && p->tape_epoch == epoch_ && producers_[p->tape_var] != kGone ? p->tape_var : 0;
  }
  uint32_t watch(const Tensor& t) {
    const uint32_t var = var_of(t);
    return var ? var : new_var(t, kLeaf);
  }
  void add_hook(uint32_t var, GradScope::Hook hook) { hooks_[var].push_back(std::move(hook)); }
  // Where a scope that opens now begins.
  size_t num_nodes() const { return nodes_.size(); }
  uint32_t next_var() const { return static_cast<uint32_t>(producers_.size()); }
  // Over the nodes and vars made since the scope's beginning: the gradients of sum(y_i * dy_i).
  std::vector<Tensor> backward(const GradScope& scope, std::span<const Tensor> ys,
                               std::span<const Tensor> xs, std::span<const Tensor> dys,
                               bool retain);
  // The gradients of a node's inputs, of those that the bits of `needs` name.
  static GradResult gradients_of(const TapeNode& n, uint32_t needs,
                                 std::span<const Tensor> out_grads);
  // Those of fn at the operands, by recording its ops in a scope of their own.
  static std::vector<Tensor> vjp(const Region::Function& fn, const std::vector<Tensor>& operands,
                                 std::span<const Tensor> grads);

 private:
  // What stands for the node that made a var.
  static constexpr int32_t kLeaf = -1;  // none: it is watched
  static constexpr int32_t kGone = -2;  // it was dropped with a finished scope

  struct Handle {
    Tensor value, own;
  };

  uint32_t new_var(const Tensor& t, int32_t producer) {
    t.impl()->tape_epoch = epoch_;
    t.impl()->tape_var = static_cast<uint32_t>(producers_.size());
    producers_.push_back(producer);
    return t.impl()->tape_var;
  }
  bool watched_elsewhere(uint32_t var, const GradScope* scope) const;
  void drop_nodes(const GradScope& scope, bool keep);
  std::vector<std::pair<size_t, uint32_t>> first_readers(size_t first_node,
                                                         std::span<const uint32_t> vars) const;

  std::deque<TapeNode> nodes_;
  std::unordered_map<uint32_t, std::vector<GradScope::Hook>> hooks_;  // by var
  std::unordered_map<const TensorImpl*, Handle> handles_;             // by both
  // By var: a node, kLeaf or kGone. Numbers are not used again while a scope is open: a tensor
  // that outlives its scope must not be taken for a later one.
  std::vector<int32_t> producers_;
  std::vector<GradScope*> open_;
  uint64_t epoch_ = 0;
};

}  // namespace rutile
