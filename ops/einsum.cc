// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/einsum.h"

#include <algorithm>
#include <map>
#include <vector>

#include "rutile/ops/arrange.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

// A label for each dimension: a letter, or kDots + k for the k-th dimension from the right of those
// that the dots stand for.
using Labels = std::vector<int>;
constexpr int kDots = 256;

struct Equation {
  std::vector<Labels> operands;
  Labels result;
};

struct Term {
  std::string letters;
  int dots_at = -1;  // letters in front of the dots; -1: none
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

Status parse_term(std::string_view text, Term* term) {
  *term = Term();
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ') continue;
    if (is_letter(c)) {
      term->letters += c;
    } else if (text.substr(i, 3) == "..." && term->dots_at < 0) {
      term->dots_at = static_cast<int>(term->letters.size());
      i += 2;
    } else {
      return value_error(cat("the equation has '", text.substr(i, 1), "' where letters stand"));
    }
  }
  return Status();
}

// Labels of a term whose dots stand for `dots` dimensions.
Labels labels_of(const Term& t, int dots) {
  Labels labels;
  for (int i = 0; i <= static_cast<int>(t.letters.size()); ++i) {
    for (int k = dots; i == t.dots_at && k > 0; --k) labels.push_back(kDots + k - 1);
    if (i < static_cast<int>(t.letters.size())) labels.push_back(t.letters[static_cast<size_t>(i)]);
  }
  return labels;
}

// Without ->: the dots, then the letters that come once.
Term implicit_result(const std::vector<Term>& terms, bool dots) {
  std::map<char, int> count;
  for (const Term& t : terms) {
    for (const char c : t.letters) ++count[c];
  }
  Term result;
  for (const auto& [c, n] : count) {
    if (n == 1) result.letters += c;
  }
  if (dots) result.dots_at = 0;
  return result;
}

Status check_result(const Equation& e) {
  for (size_t i = 0; i < e.result.size(); ++i) {
    const int label = e.result[i];
    const std::string name = label < kDots ? std::string(1, static_cast<char>(label)) : "...";
    if (std::count(e.result.begin(), e.result.end(), label) > 1) {
      return value_error(cat("the result names ", name, " twice"));
    }
    bool found = false;
    for (const Labels& l : e.operands) found = found || std::count(l.begin(), l.end(), label) > 0;
    if (!found) return value_error(cat("the result names ", name, ", which no operand has"));
  }
  if (e.result.size() > kMaxRank) return value_error("the result has more than 8 dimensions");
  return Status();
}

Status parse(const std::string& text, std::span<const TensorMeta* const> in, Equation* e) {
  const size_t arrow = text.find("->");
  std::string_view left = std::string_view(text).substr(0, arrow);
  std::vector<Term> terms;
  for (bool more = true; more;) {
    const size_t comma = left.find(',');
    Term t;
    RUTILE_RETURN_IF_ERROR(parse_term(left.substr(0, comma), &t));
    terms.push_back(t);
    more = comma != std::string_view::npos;
    if (more) left.remove_prefix(comma + 1);
  }
  if (terms.size() != in.size()) {
    return value_error(cat("the equation has ", terms.size(), " operands, got ", in.size()));
  }
  int most = 0;
  bool dots = false;
  *e = Equation();
  for (size_t i = 0; i < terms.size(); ++i) {
    const int letters = static_cast<int>(terms[i].letters.size()), rank = in[i]->rank();
    if (terms[i].dots_at < 0 ? letters != rank : letters > rank) {
      return value_error(
          cat("operand ", i, " of shape ", in[i]->shape, " does not fit '", terms[i].letters, "'"));
    }
    dots = dots || terms[i].dots_at >= 0;
    most = std::max(most, rank - letters);
    e->operands.push_back(labels_of(terms[i], rank - letters));
  }
  Term result;
  if (arrow == std::string::npos) {
    result = implicit_result(terms, dots);
  } else {
    RUTILE_RETURN_IF_ERROR(parse_term(std::string_view(text).substr(arrow + 2), &result));
  }
  e->result = labels_of(result, most);
  return check_result(*e);
}

// The size of each label; 1 gives way to others.
Status label_sizes(const Equation& e, std::span<const TensorMeta* const> in,
                   std::map<int, int64_t>* sizes) {
  for (size_t i = 0; i < in.size(); ++i) {
    for (size_t d = 0; d < e.operands[i].size(); ++d) {
      const int64_t n = in[i]->dim(static_cast<int>(d));
      auto [it, fresh] = sizes->try_emplace(e.operands[i][d], n);
      if (fresh || n == 1 || n == it->second) continue;
      if (it->second != 1) {
        return value_error(cat("operand ", i, " has size ", n, " where another has ", it->second));
      }
      it->second = n;
    }
  }
  return Status();
}

Status check_numbers(const CallMeta& c) {
  for (int i = 0; i < c.num_inputs(); ++i) {
    const DType t = c.in(i).dtype;
    if (t != c.in(0).dtype) {
      return type_error(cat("expects inputs of one dtype, got ", c.in(0).dtype, " and ", t));
    }
    if (t == DType::kBool) return type_error(cat("expects numbers, got ", t));
  }
  return Status();
}

Status infer_einsum(const CallMeta& c, TensorMeta* out) {
  if (c.num_inputs() == 0) return value_error("expects at least one operand");
  RUTILE_RETURN_IF_ERROR(check_numbers(c));
  Equation e;
  RUTILE_RETURN_IF_ERROR(parse(c.as<EinsumAttrs>().equation, c.inputs, &e));
  std::map<int, int64_t> sizes;
  RUTILE_RETURN_IF_ERROR(label_sizes(e, c.inputs, &sizes));
  Shape shape;
  for (const int label : e.result) shape.push_back(sizes[label]);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, c.in(0).dtype, c.in(0).device);
  return Status();
}

// An operand on its way: a tensor whose dimension i is called labels[i].
struct Factor {
  Tensor t;
  Labels labels;
  bool has(int label) const { return std::count(labels.begin(), labels.end(), label) > 0; }
};

// Labels that come twice become their diagonal.
Factor without_repeats(Factor f) {
  for (size_t i = 0; i < f.labels.size(); ++i) {
    for (size_t j = i + 1; j < f.labels.size(); ++j) {
      if (f.labels[i] != f.labels[j]) continue;
      const int label = f.labels[i];
      f.t = diagonal(f.t, {0, static_cast<int64_t>(i), static_cast<int64_t>(j)});
      f.labels.erase(f.labels.begin() + static_cast<std::ptrdiff_t>(j));
      f.labels.erase(f.labels.begin() + static_cast<std::ptrdiff_t>(i));
      f.labels.push_back(label);
      return without_repeats(std::move(f));
    }
  }
  return f;
}

// Summed over the labels that `drop` accepts; integers stay what they are.
template <class F>
Factor summed(const Factor& f, F&& drop) {
  Factor r;
  Dims axes;
  for (size_t i = 0; i < f.labels.size(); ++i) {
    if (drop(f.labels[i])) {
      axes.push_back(static_cast<int64_t>(i));
    } else {
      r.labels.push_back(f.labels[i]);
    }
  }
  r.t = axes.empty() ? f.t : sum(f.t, {.axes = axes, .dtype = f.t.dtype()});
  return r;
}

// Dimensions in the order of `groups`, each group as one dimension.
Tensor grouped(const Factor& f, std::initializer_list<const Labels*> groups) {
  Dims perm;
  Shape shape;
  for (const Labels* g : groups) {
    int64_t n = 1;
    for (const int label : *g) {
      const auto at = std::find(f.labels.begin(), f.labels.end(), label) - f.labels.begin();
      perm.push_back(at);
      n *= f.t.dim(static_cast<int>(at));
    }
    shape.push_back(n);
  }
  return reshape(perm.empty() ? f.t : permute(f.t, perm), shape);
}

// Dimensions of size 1 of labels that the other has in full size are taken out or spread.
void broadcast_pair(Factor* a, Factor* b, const std::map<int, bool>& needed) {
  for (Factor* f : {a, b}) {
    Factor* other = f == a ? b : a;
    Shape shape = f->t.shape();
    Labels gone;
    for (size_t i = 0; i < f->labels.size(); ++i) {
      const int label = f->labels[i];
      if (shape[static_cast<int>(i)] != 1 || !other->has(label)) continue;
      const auto at = std::find(other->labels.begin(), other->labels.end(), label);
      const int64_t n = other->t.dim(static_cast<int>(at - other->labels.begin()));
      if (n == 1) continue;
      needed.count(label) ? void(shape[static_cast<int>(i)] = n) : gone.push_back(label);
    }
    if (!(shape == f->t.shape())) f->t = broadcast_to(f->t, shape);
    for (const int label : gone) {  // the sum over the other's is all there is to it
      *f = summed(*f, [&](int l) { return l == label; });
      *other = summed(*other, [&](int l) { return l == label; });
    }
  }
}

Factor contract(Factor a, Factor b, const std::map<int, bool>& needed) {
  a = summed(a, [&](int l) { return !needed.count(l) && !b.has(l); });
  b = summed(b, [&](int l) { return !needed.count(l) && !a.has(l); });
  broadcast_pair(&a, &b, needed);
  Labels batch, left, inner_labels, right;
  Shape shape;
  for (const int l : a.labels) {
    (!b.has(l) ? left : needed.count(l) ? batch : inner_labels).push_back(l);
  }
  for (const int l : b.labels) {
    if (!a.has(l)) right.push_back(l);
  }
  Factor r;
  auto take_sizes = [&](const Factor& f, const Labels& labels) {
    for (const int l : labels) {
      const auto at = std::find(f.labels.begin(), f.labels.end(), l) - f.labels.begin();
      if (shape.rank() == kMaxRank) {
        throw_error(ErrorCode::kValue, "[einsum] a product has more than 8 dimensions on the way");
      }
      shape.push_back(f.t.dim(static_cast<int>(at)));
      r.labels.push_back(l);
    }
  };
  take_sizes(a, batch);
  take_sizes(a, left);
  take_sizes(b, right);
  const Tensor x = grouped(a, {&batch, &left, &inner_labels});
  const Tensor y = grouped(b, {&batch, &inner_labels, &right});
  r.t = reshape(matmul(x, y), shape);
  return r;
}

TensorList compose_einsum(const void* attrs, std::span<const Tensor> in) {
  SmallVector<const TensorMeta*, 6> metas;
  for (const Tensor& t : in) metas.push_back(&t.meta());
  Equation e;
  throw_if_error(parse(static_cast<const EinsumAttrs*>(attrs)->equation, metas, &e));
  std::vector<Factor> factors;
  for (size_t i = 0; i < in.size(); ++i) {
    factors.push_back(without_repeats({in[i], e.operands[i]}));
  }
  Factor all = factors[0];
  for (size_t i = 1; i < factors.size(); ++i) {
    std::map<int, bool> needed;
    for (const int l : e.result) needed[l] = true;
    for (size_t k = i + 1; k < factors.size(); ++k) {
      for (const int l : factors[k].labels) needed[l] = true;
    }
    all = contract(std::move(all), factors[i], needed);
  }
  all = summed(all, [&](int l) { return std::count(e.result.begin(), e.result.end(), l) == 0; });
  Dims perm;
  for (const int l : e.result) {
    perm.push_back(std::find(all.labels.begin(), all.labels.end(), l) - all.labels.begin());
  }
  return {perm.empty() ? all.t : contiguous(permute(all.t, perm))};
}

// Twice the sizes of all labels: one product that sums over everything at once. Contracting by
// pairs takes no more.
double einsum_flops(const CallMeta& c) {
  Equation e;
  std::map<int, int64_t> sizes;
  if (!parse(c.as<EinsumAttrs>().equation, c.inputs, &e).ok()) return 0;
  if (!label_sizes(e, c.inputs, &sizes).ok()) return 0;
  double n = 2;
  for (const auto& [label, size] : sizes) n *= static_cast<double>(size);
  return n;
}

}  // namespace

constinit const OpDef kEinsum = define({.name = "einsum",
                                        .inputs = {"xs*"},
                                        .attrs = attrs_of<EinsumAttrs>(),
                                        .infer = infer_einsum,
                                        .flops = einsum_flops,
                                        .compose = compose_einsum,
                                        .amp = Amp::kLow,
                                        .promote = true,
                                        .doc = "Einstein's summation over named dimensions."});
Tensor einsum(const std::string& equation, std::span<const Tensor> operands,
              std::source_location where) {
  const EinsumAttrs a{equation};
  return call_n(kEinsum, &a, operands, where)[0];
}

}  // namespace rutile::ops
