// SPDX-License-Identifier: Apache-2.0
#include "rutile/python/src/jit_calls.h"

#include <utility>

#include "rutile/core/log.h"

namespace py = pybind11;

namespace rutile::python {
namespace {

constexpr size_t kMaxVariants = 64;
constexpr size_t kFoundAgain = 4;  // those used last are compared, not searched for

bool checks_guards() {
  static const bool checks = graph::self_checks();
  return checks;
}

}  // namespace

JitCall* JitCalls::by_id(uint64_t id) {
  for (JitCall& c : calls_) {
    if (c.variant->id == id) return &c;
  }
  return nullptr;
}

std::shared_ptr<const graph::Variant> JitCalls::find(const py::args& args, const py::kwargs& kwargs,
                                                     std::vector<Tensor>* in) {
  if (auto again = find_again(args, kwargs, in)) {
    if (!checks_guards()) return again;
    in->clear();
    const auto searched = search(args, kwargs, in);
    if (searched == again) return again;
    throw_error(ErrorCode::kInternal, cat(name_, ": guards hold for another call, ", again->text,
                                          ", than a search finds: ", searched->text));
  }
  ++searches_;
  return search(args, kwargs, in);
}

// One of the calls used last, where all that it read is as it was then; else null.
std::shared_ptr<const graph::Variant> JitCalls::find_again(const py::args& args,
                                                           const py::kwargs& kwargs,
                                                           std::vector<Tensor>* in) {
  std::vector<std::pair<uint64_t, std::shared_ptr<const JitCall::Found>>> known;
  for (const JitCall& c : calls_) {
    if (known.size() == kFoundAgain) break;
    if (c.found) known.emplace_back(c.variant->id, c.found);
  }
  for (const auto& [id, found] : known) {  // others may call it meanwhile
    in->clear();
    const std::vector<Tree>& both = found->arguments.children;
    if (!matches(args.ptr(), both[0], in) || !matches(kwargs.ptr(), both[1], in)) continue;
    if (!found->guards->hold()) continue;
    for (auto it = calls_.begin(); it != calls_.end(); ++it) {
      if (it->variant->id != id || it->found != found) continue;
      calls_.splice(calls_.begin(), calls_, it);
      return it->variant;
    }
  }
  in->clear();
  return nullptr;
}

std::shared_ptr<const graph::Variant> JitCalls::search(const py::args& args,
                                                       const py::kwargs& kwargs,
                                                       std::vector<Tensor>* in) {
  Tree tree = flatten(py::make_tuple(args, kwargs), Leaves::kAny,
                      cat("an argument of the traced function ", name_), in);
  AroundFinder finder(names_);
  std::unique_ptr<Guards> guards;
  Around around = finder.find(fn_.ptr(), tree, /*keep=*/false, &guards);
  if (finder.limited() && !std::exchange(warned_, true)) {
    log_warning(cat(name_,
                    " reads more around it than is watched: changes of deeply nested or "
                    "very large objects are not seen; pass them as arguments"));
  }
  for (auto it = calls_.begin(); it != calls_.end(); ++it) {
    if (!(*it->around == around) || !(*it->arguments == tree)) continue;
    calls_.splice(calls_.begin(), calls_, it);
    if (guards->whole()) {
      it->found = share(JitCall::Found{std::move(tree), std::move(around), std::move(guards)});
    }
    return it->variant;
  }
  std::string reason = tree.children[0].text();
  if (!calls_.empty() && *calls_.front().arguments == tree) {
    reason += cat(" with ", around.difference(*calls_.front().around));
  }
  auto variant = std::make_shared<const graph::Variant>(next_id_++, std::move(reason));
  calls_.push_front({std::move(variant), share(std::move(tree)), share(std::move(around))});
  if (calls_.size() > kMaxVariants) calls_.pop_back();
  return calls_.front().variant;
}

}  // namespace rutile::python
