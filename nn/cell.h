// SPDX-License-Identifier: Apache-2.0
// Cell: a layer or network: parameters, buffers and child Cells by name, and a function of tensors.
//
//   class Mlp : public nn::Cell {
//    public:
//     nn::Ptr<nn::Linear> fc1 = add<nn::Linear>("fc1", 784, 512);
//     nn::Ptr<nn::Linear> fc2 = add<nn::Linear>("fc2", 512, 10);
//     Tensor construct(const Tensor& x) override { return fc2(ops::relu(fc1(x))); }
//     std::string type_name() const override { return "Mlp"; }
//   };
//   auto net = nn::make<Mlp>();
//   Tensor logits = net(x);
//
// Cells are shared, never copied. A Cell may be called from several threads at a time as long as
// nobody changes it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rutile/nn/parameter.h"
#include "rutile/ops/call.h"

namespace rutile::nn {

class Cell;

// A shared Cell that is called like a function.
template <class T>
class Ptr : public std::shared_ptr<T> {
 public:
  using std::shared_ptr<T>::shared_ptr;
  Ptr() = default;
  Ptr(std::shared_ptr<T> p) : std::shared_ptr<T>(std::move(p)) {}
  template <class U>
  requires std::is_convertible_v<U*, T*> Ptr(const Ptr<U>& o) : std::shared_ptr<T>(o) {}
  Tensor operator()(const Tensor& x,
                    std::source_location where = std::source_location::current()) const {
    return (**this)(Arg(x, where));
  }
  Tensor operator()(const Tensor& x, const Tensor& y,
                    std::source_location where = std::source_location::current()) const {
    return (**this)(Arg(x, where), Arg(y, where));
  }
};
using CellPtr = Ptr<Cell>;

template <class T, class... Args>
Ptr<T> make(Args&&... args) {
  return Ptr<T>(std::make_shared<T>(std::forward<Args>(args)...));
}

// What load_state_dict found wrong; empty when all names matched.
struct LoadReport {
  std::vector<std::string> missing;     // wanted by the Cell, not in the map
  std::vector<std::string> unexpected;  // in the map, not in the Cell
  std::vector<std::string> mismatched;  // "fc.weight: f32[10,84] expected, got f32[10,80]"
  bool ok() const { return missing.empty() && unexpected.empty() && mismatched.empty(); }
  // One line per problem, the first 20 of each kind, with the nearest known name.
  std::string text() const;
};
using StateDict = std::map<std::string, Tensor>;
// Puts `values` into `states` by name. Strict: Error{kValue} with the report's text, nothing
// written, unless every name, shape and dtype agrees. Otherwise the agreeing ones are written.
RUTILE_API LoadReport load_states(const std::vector<NamedState>& states, const StateDict& values,
                                  bool strict = true);

class RUTILE_API Cell {
 public:
  Cell();
  virtual ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  Tensor operator()(Arg x);
  Tensor operator()(Arg x, Arg y);
  // Any number of inputs and outputs.
  std::vector<Tensor> call(const std::vector<Tensor>& inputs);

  // "Conv2d".
  virtual std::string type_name() const { return "Cell"; }
  // What repr() shows in the parentheses: "3, 64, kernel=7".
  virtual std::string extra_repr() const { return ""; }
  // The tree of Cells, a line each.
  std::string repr() const;
  // Name in the parent; empty for a root.
  const std::string& name() const { return name_; }

  // ---- Contents, depth first in order of registration; shared ones once, under the first name
  // ----
  std::vector<ParameterPtr> parameters() const;
  std::vector<ParameterPtr> trainable_parameters() const;
  std::vector<NamedParameter> named_parameters() const;
  // Parameters and buffers (running statistics).
  std::vector<NamedState> named_states() const;
  std::vector<NamedState> named_buffers() const;
  std::vector<std::pair<std::string, CellPtr>> children() const;
  // Descendant by path ("layer1.0.conv1"), itself for ""; null if there is none.
  Cell* find(const std::string& path);
  int64_t num_elements() const { return count_elements(parameters()); }

  // Values of all states, by name.
  StateDict state_dict() const;
  LoadReport load_state_dict(const StateDict& values, bool strict = true) {
    return load_states(named_states(), values, strict);
  }

  // ---- Modes, for the whole tree ----
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }
  // Stops (or resumes) gradients of all parameters below.
  void freeze(bool on = true);
  // Casts every floating parameter and buffer (f32 or f64).
  void to(DType dtype);
  // Moves every parameter and buffer. Steps (nn/train_step.h) move their optimizer and their inputs
  // to where the network is.
  void to(Device device);
  // This Cell runs in full precision inside a mixed-precision scope.
  void set_full_precision(bool on);
  // Gradients of this Cell keep its inputs alone: backward runs it again, with the same dropout
  // masks and in the modes (train, eval) of the first run, and writes no running statistics twice
  // (ops::recompute). The Cell must live until then. Costs a second forward of the Cell;
  // StepOptions::remat chooses by value what is worth it, in compiled steps.
  void recompute(bool on = true);
  bool recomputes() const { return recompute_; }
  // Calls fn on every Cell, children first.
  void apply(const std::function<void(Cell&)>& fn);

  // ---- Hooks ----
  // Before: may return replaced inputs; after: replaced outputs. An empty vector leaves them.
  using PreHook = std::function<std::vector<Tensor>(Cell&, const std::vector<Tensor>& inputs)>;
  using PostHook = std::function<std::vector<Tensor>(Cell&, const std::vector<Tensor>& inputs,
                                                     const std::vector<Tensor>& outputs)>;
  // In backward, with the finished gradient of an output; may return its replacement, an empty
  // Tensor leaves it. In graph mode hooks run while the step is traced, and what they compute is
  // part of it.
  using BackwardHook = std::function<Tensor(Cell&, int output, const Tensor& grad)>;
  int add_pre_hook(PreHook hook);
  int add_post_hook(PostHook hook);
  int add_backward_hook(BackwardHook hook);
  void remove_hook(int id);

  // Replaces a parameter by another (weight tying, pruning). The name is relative to this Cell.
  void replace_parameter(const std::string& path, ParameterPtr parameter);

  // A number that differs when anything a trace may depend on differs: modes, hooks, frozen or
  // replaced parameters, children. Going back to an earlier mode gives the earlier number.
  uint64_t version() const;

 protected:
  // What the Cell computes; a Cell overrides the one that fits.
  virtual Tensor construct(const Tensor& x);
  virtual Tensor construct_pair(const Tensor& x, const Tensor& y);
  virtual std::vector<Tensor> construct_many(const std::vector<Tensor>& inputs);

  // Makes a child. Names are unique in a Cell, without dots (Error{kValue}).
  template <class T, class... Args>
  Ptr<T> add(std::string name, Args&&... args) {
    Ptr<T> cell = make<T>(std::forward<Args>(args)...);
    register_cell(std::move(name), cell);
    return cell;
  }
  void register_cell(std::string name, CellPtr cell);
  void replace_cell(const std::string& name, CellPtr cell);
  // The slot must live as long as this Cell; replace_parameter writes to it.
  void register_parameter(std::string name, Tensor value, ParameterPtr* slot);
  Ref<State> register_buffer(std::string name, Tensor value);
  // An attribute that construct() reads was changed.
  void changed();

 private:
  struct ParameterSlot {
    std::string name;
    ParameterPtr* slot;
  };
  struct Hook {
    int id;
    PreHook pre;
    PostHook post;
    BackwardHook backward;
  };
  // fn(path, cell) for this Cell and all below, parents first, each path once.
  void walk(const std::string& path,
            const std::function<void(const std::string&, const Cell&)>& fn) const;
  void add_version(uint64_t* hash) const;
  void check_new_name(const std::string& name) const;
  void prefix_names(const std::string& prefix);
  void adopt(const std::string& name, Cell& cell);
  std::vector<Tensor> call_with_hooks(const std::vector<Tensor>& inputs);
  std::vector<Tensor> construct_or_recompute(const std::vector<Tensor>& inputs);
  void add_modes(std::vector<std::pair<CellPtr, bool>>* modes) const;
  void repr_to(std::string* out, const std::string& indent) const;

  std::string name_;
  std::string path_;  // below the outermost Cell
  std::vector<ParameterSlot> parameters_;
  std::vector<NamedState> buffers_;
  std::vector<std::pair<std::string, CellPtr>> children_;
  std::vector<Hook> hooks_;
  int next_hook_ = 0;
  bool training_ = true;
  bool full_precision_ = false;
  bool recompute_ = false;
  uint64_t edition_ = 0;  // counts changes that cannot be undone by a flag
  friend class EvalModeScope;
};

// Puts a Cell and all below into evaluation mode and restores each one's mode at the end.
class RUTILE_API EvalModeScope {
 public:
  explicit EvalModeScope(Cell& root);
  ~EvalModeScope();
  EvalModeScope(const EvalModeScope&) = delete;
  EvalModeScope& operator=(const EvalModeScope&) = delete;

 private:
  std::vector<Cell*> were_training_;
};

}  // namespace rutile::nn
