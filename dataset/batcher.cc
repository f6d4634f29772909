// SPDX-License-Identifier: Apache-2.0
#include "rutile/dataset/batcher.h"

#include <algorithm>
#include <cstring>

namespace rutile::dataset {
namespace {

constexpr char kReading[] = "reading";
constexpr char kBatching[] = "batching";
enum Stream : uint64_t { kOrder, kTransforms };

// [C,H,W] to [H,W,C].
template <class T>
void interleave(const ImageMeta& m, const void* from, void* to) {
  const T* in = static_cast<const T*>(from);
  T* out = static_cast<T*>(to);
  const int64_t n = m.pixels();
  for (int64_t c = 0; c < m.channels; ++c, in += n) {
    for (int64_t i = 0; i < n; ++i) out[i * m.channels + c] = in[i];
  }
}

bool is_image(const View& v) {
  return v.shape.rank() == 3 && (v.dtype == DType::kU8 || v.dtype == DType::kF32);
}

}  // namespace

Batcher::Batcher(SourcePtr source, const PipelineOptions& options)
    : source_(std::move(source)), options_(options) {
  order_key_ = fold_in({options.seed}, kOrder);
  random_key_ = fold_in({options.seed}, kTransforms);
  const auto refuse = [](std::string why) { throw_error(ErrorCode::kValue, std::move(why)); };
  if (!source_) refuse("a pipeline needs a source");
  const int64_t n = source_->size();
  if (n < 1 || n > int64_t{1} << 60) refuse(cat("a pipeline needs samples, the source has ", n));
  if (options.batch_size < 1 || options.batch_size > int64_t{1} << 32) {
    refuse(cat("batch_size is at least 1, got ", options.batch_size));
  }
  if (options.repeat < 0 || options.repeat > int64_t{1} << 32) {
    refuse(cat("repeat is a number of epochs or 0, got ", options.repeat));
  }
  if (options.workers < 0 || options.workers > 1024 || options.prefetch < 0 ||
      options.prefetch > 4096) {
    refuse(cat("workers are 0 to 1024 and prefetch 0 to 4096, got ", options.workers, " and ",
               options.prefetch));
  }
  for (const TransformPtr& t : options.transforms) {
    if (!t) refuse("a transform is null");
  }
  if (options.shards < 1 || options.shard < 0 || options.shard >= options.shards) {
    throw_error(ErrorCode::kValue, cat("shard expects a number below ", options.shards,
                                       ", the shards, got ", options.shard));
  }
  rows_ = options.drop_last ? n / options.shards : (n + options.shards - 1) / options.shards;
  batches_ = rows_ / options.batch_size + (!options.drop_last && rows_ % options.batch_size != 0);
  if (batches_ == 0) {
    refuse(cat("drop_last leaves nothing: ", n, " samples make no batch of ", options.batch_size));
  }
}

View Batcher::first_field(const Scratch& s) const {
  const View& v = s.sample.fields()[0];
  if (s.metas.empty()) return v;
  const ImageMeta& m = s.metas.back();
  return {v.data, m.dtype, {m.channels, m.height, m.width}};
}

void Batcher::read(int64_t index, Scratch* s, Activity* activity) const {
  activity->sample.store(index, std::memory_order_relaxed);
  activity->operation.store(kReading, std::memory_order_relaxed);
  s->sample.clear();
  source_->read(index, &s->sample);
  if (s->sample.fields().empty()) throw_error(ErrorCode::kValue, "the source gave no fields");
}

// The image before each transform and after the last one.
void Batcher::infer(Scratch* s, Activity* activity) const {
  const View& v = s->sample.fields()[0];
  s->metas.clear();
  if (!is_image(v)) {
    if (options_.transforms.empty() && !options_.channels_last) return;
    throw_error(ErrorCode::kValue,
                cat("transforms and channels_last take images, u8 or f32 [C,H,W], the "
                    "first field is ",
                    v.dtype, to_string(v.shape)));
  }
  s->metas.push_back({v.dtype, v.shape[0], v.shape[1], v.shape[2]});
  for (const TransformPtr& t : options_.transforms) {
    activity->operation.store(t->name(), std::memory_order_relaxed);
    s->metas.push_back(t->infer(s->metas.back()));
  }
}

void Batcher::allocate(int64_t n, const Scratch& s, Batch* batch) const {
  for (size_t f = 0; f < s.sample.fields().size(); ++f) {
    const View v = f == 0 ? first_field(s) : s.sample.fields()[f];
    Shape shape{n};
    for (const int64_t d : v.shape) shape.push_back(d);
    int64_t numel = 0;
    throw_if_error(checked_numel(shape, &numel));
    TensorMeta meta(shape, v.dtype);
    if (f == 0 && options_.channels_last) meta.strides = ordered_strides(shape, {0, 2, 3, 1});
    batch->fields.push_back(Tensor::empty(meta));
  }
}

void Batcher::check_like(const Batch& batch, const Scratch& s) const {
  bool same = s.sample.fields().size() == batch.fields.size();
  for (size_t f = 0; same && f < batch.fields.size(); ++f) {
    const View v = f == 0 ? first_field(s) : s.sample.fields()[f];
    const Shape& shape = batch.fields[f].shape();
    same = v.dtype == batch.fields[f].dtype() && v.shape.rank() == shape.rank() - 1 &&
           std::equal(v.shape.begin(), v.shape.end(), shape.begin() + 1);
    if (!same) {
      throw_error(
          ErrorCode::kValue,
          cat("field ", f, " is ", v.dtype, to_string(v.shape), ", which does not fit into ",
              to_string(batch.fields[f].meta()), "; resize images to one size"));
    }
  }
  if (!same) {
    throw_error(ErrorCode::kValue, cat("the source gave ", s.sample.fields().size(),
                                       " fields after ", batch.fields.size()));
  }
}

void Batcher::transform(PhiloxKey key, Scratch* s, Activity* activity, void* out) const {
  const void* in = s->sample.fields()[0].data;
  const size_t count = options_.transforms.size();
  for (size_t i = 0; i < count; ++i) {
    const Transform& t = *options_.transforms[i];
    activity->operation.store(t.name(), std::memory_order_relaxed);
    const bool last = i + 1 == count && !options_.channels_last;
    void* to = out;
    if (!last) {
      std::vector<unsigned char>& buffer = s->buffers[i % 2];
      if (buffer.size() < s->metas[i + 1].bytes()) buffer.resize(s->metas[i + 1].bytes());
      to = buffer.data();
    }
    Random random(fold_in(key, i));
    t.run(s->metas[i], in, to, random);
    in = to;
  }
  if (in == out) return;
  if (!options_.channels_last) {
    std::memcpy(out, in, first_field(*s).bytes());
  } else if (s->metas.back().dtype == DType::kU8) {
    interleave<uint8_t>(s->metas.back(), in, out);
  } else {
    interleave<float>(s->metas.back(), in, out);
  }
}

Batch Batcher::make(int64_t ticket, Scratch* s, Activity* activity,
                    const std::function<bool()>& stop) const {
  Batch batch;
  batch.epoch = ticket / batches_;
  batch.index = ticket % batches_;
  const auto epoch = static_cast<uint64_t>(batch.epoch);
  const Permutation order(source_->size(), fold_in(order_key_, epoch));
  const PhiloxKey epoch_key = fold_in(random_key_, epoch);
  const int64_t first = batch.index * options_.batch_size;
  const int64_t n = std::min(options_.batch_size, rows_ - first);
  std::vector<unsigned char*> data;
  for (int64_t i = 0; i < n && !stop(); ++i) {
    // Every shards-th sample of the epoch's order; the last ones begin at its front again.
    const int64_t at = ((first + i) * options_.shards + options_.shard) % source_->size();
    const int64_t index = options_.shuffle ? order(at) : at;
    std::string problem;
    ErrorCode code = ErrorCode::kRuntime;
    try {
      read(index, s, activity);
      infer(s, activity);
      if (i == 0) {
        activity->operation.store(kBatching, std::memory_order_relaxed);
        allocate(n, *s, &batch);
        for (Tensor& t : batch.fields) {
          data.push_back(static_cast<unsigned char*>(t.mutable_data()));
        }
      } else {
        check_like(batch, *s);
      }
      for (size_t f = 0; f < data.size(); ++f) {
        const View v = f == 0 ? first_field(*s) : s->sample.fields()[f];
        unsigned char* to = data[f] + static_cast<size_t>(i) * v.bytes();
        if (v.bytes() == 0) continue;
        if (f == 0) {
          transform(fold_in(epoch_key, static_cast<uint64_t>(index)), s, activity, to);
        } else {
          std::memcpy(to, v.data, v.bytes());
        }
      }
      continue;
    } catch (const Error& e) {
      code = e.code();
      problem = e.message();
    } catch (const std::exception& e) {
      problem = e.what();
    }
    const std::string where = source_->describe(index);
    throw_error(code, cat("[dataset] ", activity->operation.load(), " of sample ", index,
                          where.empty() ? "" : cat(" (", where, ")"), ": ", problem));
  }
  return batch;
}

}  // namespace rutile::dataset
