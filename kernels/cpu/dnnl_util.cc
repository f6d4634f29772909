// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cpu/dnnl_util.h"

#include <dnnl_debug.h>

#include <algorithm>
#include <map>
#include <new>
#include <string>

#if RUTILE_OPENMP
#include <omp.h>
#include "rutile/core/thread_cost.h"
#endif
namespace rutile::kernels {

using dnnl::memory;

namespace {

// oneDNN's tags by their text, "aBcd16b".
const std::map<std::string, memory::format_tag, std::less<>>& tags() {
  static const auto* const table = [] {
    auto* m = new std::map<std::string, memory::format_tag, std::less<>>;
    for (int i = dnnl_format_tag_any + 1; i < dnnl_format_tag_last; ++i) {
      const auto tag = static_cast<dnnl_format_tag_t>(i);
      m->emplace(dnnl_fmt_tag2str(tag), static_cast<memory::format_tag>(tag));
    }
    return m;
  }();
  return *table;
}

// Dimensions from the largest stride to the smallest; equal ones (of size 1) keep their order.
Dims outer_order(const memory::dims& strides, const memory::dims& outer) {
  Dims order;
  for (size_t i = 0; i < strides.size(); ++i) order.push_back(static_cast<int64_t>(i));
  int64_t* first = &order[0];
  std::stable_sort(first, first + order.rank(), [&](int64_t a, int64_t b) {
    if (strides[a] != strides[b]) return strides[a] > strides[b];
    return outer[a] > outer[b];
  });
  return order;
}

std::string tag_text(const memory::desc& d) {
  const memory::dims strides = d.get_strides(), padded = d.get_padded_dims();
  const memory::dims blocks = d.get_inner_blks(), which = d.get_inner_idxs();
  memory::dims block(strides.size(), 1);
  for (size_t i = 0; i < blocks.size(); ++i) block[which[i]] *= blocks[i];
  memory::dims outer(strides.size());
  for (size_t i = 0; i < outer.size(); ++i) outer[i] = padded[i] / block[i];
  std::string text;
  for (const int64_t i : outer_order(strides, outer)) {
    text += static_cast<char>((block[i] > 1 ? 'A' : 'a') + i);
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    text += cat(blocks[i], static_cast<char>('a' + which[i]));
  }
  return text;
}

// Of this thread; null if oneDNN cannot make one.
dnnl_stream_t thread_stream() {
  struct Stream {
    dnnl_stream_t get = nullptr;
    Stream() {
      if (dnnl_stream_create(&get, dnnl_engine().get(), dnnl_stream_default_flags) !=
          dnnl_success) {
        get = nullptr;
      }
    }
    ~Stream() {
      if (get) dnnl_stream_destroy(get);
    }
  };
  thread_local const Stream stream;
  return stream.get;
}

}  // namespace

#if RUTILE_OPENMP
OmpThreads::OmpThreads(int n) : saved_(omp_get_max_threads()), changed_(saved_ != n) {
  if (changed_) omp_set_num_threads(n);
}
OmpThreads::~OmpThreads() {
  if (changed_) omp_set_num_threads(saved_);
}
#else
OmpThreads::OmpThreads(int n) : saved_(n), changed_(false) {}
OmpThreads::~OmpThreads() = default;
#endif

int dnnl_threads(double products) {
  constexpr double kPerNs = 100;  // of one core
  return threads_for(products / kPerNs);
}

const dnnl::engine& dnnl_engine() {
  static const auto* const engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

bool dnnl_has(DType t) {
  if (t == DType::kF32) return true;
  static const bool bf16 = dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core;
  return t == DType::kBF16 && bf16;
}

memory::data_type dnnl_dtype(DType t) {
  switch (t) {
    case DType::kF32:
      return memory::data_type::f32;
    case DType::kBF16:
      return memory::data_type::bf16;
    case DType::kF16:
      return memory::data_type::f16;
    default:
      throw_error(ErrorCode::kInternal, cat("oneDNN kernels do not take ", dtype_name(t)));
  }
}

memory::dims dnnl_dims(const Dims& d) { return memory::dims(d.begin(), d.end()); }

memory::desc dnnl_desc(const TensorMeta& m) {
  if (m.layout == kStrided) {
    return memory::desc(dnnl_dims(m.shape), dnnl_dtype(m.dtype), dnnl_dims(m.strides));
  }
  const auto it = tags().find(layout_info(m.layout).tag);
  RUTILE_CHECK(it != tags().end(), "a layout that oneDNN does not know");
  return memory::desc(dnnl_dims(m.shape), dnnl_dtype(m.dtype), it->second);
}

bool dnnl_describes(const TensorMeta& m) {
  if (m.layout != kStrided) return true;
  constexpr bool kEmptyIfNone = true;
  const memory::desc d(dnnl_dims(m.shape), dnnl_dtype(m.dtype), dnnl_dims(m.strides), kEmptyIfNone);
  return static_cast<bool>(d);
}

memory::desc dnnl_desc_any(const Shape& shape, DType t) {
  return memory::desc(dnnl_dims(shape), dnnl_dtype(t), memory::format_tag::any);
}

Placement dnnl_placement(const memory::desc& d) {
  Placement p;
  const std::string text = tag_text(d);
  if (d.get_inner_nblks() == 0) {
    p.channels_last = text == "acdb";
    if (p.channels_last || text == "abcd") return p;
  }
  if (tags().count(text)) p.layout = intern_layout(text);
  return p;
}

dnnl::primitive_attr dnnl_attr() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

DnnlCall::Context::~Context() {
  for (int i = 0; i < count; ++i) dnnl_memory_destroy(args[i].memory);
}

DnnlCall::~DnnlCall() {
  for (const auto& c : idle_) delete c.load(std::memory_order_relaxed);
}

void DnnlCall::set(dnnl::primitive primitive,
                   std::initializer_list<std::pair<int, memory::desc>> args) {
  RUTILE_CHECK(args.size() <= kMaxArgs, "a primitive with more arguments");
  primitive_ = std::move(primitive);
#if RUTILE_OPENMP
  threads_ = omp_get_max_threads();
#endif
  for (const auto& a : args) args_[count_++] = a;
  std::unique_ptr<Context> first = make_context();
  if (!first) throw dnnl::error(dnnl_out_of_memory, "could not create a memory object");
  idle_[0].store(first.release(), std::memory_order_relaxed);
}

std::unique_ptr<DnnlCall::Context> DnnlCall::make_context() const {
  std::unique_ptr<Context> c(new (std::nothrow) Context);
  for (int i = 0; c && i < count_; ++i) {
    c->args[i].arg = args_[i].first;
    if (dnnl_memory_create(&c->args[i].memory, args_[i].second.get(), dnnl_engine().get(),
                           DNNL_MEMORY_NONE) != dnnl_success) {
      return nullptr;
    }
    ++c->count;
  }
  return c;
}

Status DnnlCall::run(std::initializer_list<void*> pointers) const {
  std::unique_ptr<Context> c;
  for (size_t i = 0; !c && i < kKept; ++i) {
    c.reset(idle_[i].exchange(nullptr, std::memory_order_acquire));
  }
  if (!c) c = make_context();  // other threads run the same plan
  const dnnl_stream_t stream = thread_stream();
  if (!c || !stream) return Status(ErrorCode::kOutOfMemory, "oneDNN: out of memory");
  int i = 0;
  dnnl_status_t status = dnnl_success;
  for (void* p : pointers) {
    if (status == dnnl_success) status = dnnl_memory_set_data_handle(c->args[i].memory, p);
    ++i;
  }
  const OmpThreads scope(threads_);
  if (status == dnnl_success) {
    status = dnnl_primitive_execute(primitive_.get(), stream, count_, c->args);
  }
  for (size_t k = 0; k < kKept && c; ++k) {
    Context* none = nullptr;
    if (idle_[k].compare_exchange_strong(none, c.get(), std::memory_order_release,
                                         std::memory_order_relaxed)) {
      c.release();
    }
  }
  if (status != dnnl_success) {
    return Status(ErrorCode::kRuntime, cat("oneDNN: ", dnnl_status2str(status)));
  }
  return Status();
}

void DnnlReorder::set(const memory::desc& from, const memory::desc& to, bool output,
                      size_t* workspace) {
  if (from == to) return;
  output_ = output;
  // Inputs go to the workspace, outputs come from it.
  offset_ = reserve(output ? from.get_size() : to.get_size(), workspace);
  const dnnl::reorder::primitive_desc pd(dnnl_engine(), from, dnnl_engine(), to);
  call_.set(dnnl::reorder(pd), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

Status DnnlReorder::run(void* user, void* workspace) const {
  if (!needed()) return Status();
  void* inner = placed(user, workspace);
  return output_ ? call_.run({inner, user}) : call_.run({user, inner});
}

}  // namespace rutile::kernels
