// SPDX-License-Identifier: Apache-2.0
// The messages are tensorflow.Event and what it holds (github.com/tensorflow/tensorboard,
// tensorboard/compat/proto).
#include "rutile/io/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

#include "rutile/core/log.h"
#include "rutile/io/fd.h"
#include "rutile/io/png.h"
#include "rutile/io/protobuf.h"
#include "rutile/io/records.h"

namespace rutile::io {
namespace {

constexpr size_t kBufferBytes = 1 << 20;
constexpr int kImagesInRow = 8;

double now() {
  using namespace std::chrono;
  return duration<double>(system_clock::now().time_since_epoch()).count();
}

std::string new_path(const std::string& folder, const EventFileOptions& options) {
  static std::atomic<int> number{0};
  char host[256] = "host";
  ::gethostname(host, sizeof(host) - 1);
  return cat(folder, "/", options.prefix, ".out.tfevents.", static_cast<int64_t>(now()), ".", host,
             ".", ::getpid(), ".", number++, options.suffix);
}

// Metadata that says which plugin shows a value.
std::string metadata(std::string_view plugin) {
  std::string data, out;
  ProtoWriter(&data).bytes(1, plugin);
  ProtoWriter(&out).bytes(1, data);
  return out;
}

// tensorflow.DataType, 0 where there is none.
int tensorflow_type(DType t) {
  switch (t) {
    case DType::kF32:
      return 1;
    case DType::kF64:
      return 2;
    case DType::kI32:
      return 3;
    case DType::kU8:
      return 4;
    case DType::kI16:
      return 5;
    case DType::kI8:
      return 6;
    case DType::kC64:
      return 8;
    case DType::kI64:
      return 9;
    case DType::kBool:
      return 10;
    case DType::kBF16:
      return 14;
    case DType::kU16:
      return 17;
    case DType::kC128:
      return 18;
    case DType::kF16:
      return 19;
    case DType::kU32:
      return 22;
    case DType::kU64:
      return 23;
    default:
      return 0;
  }
}

std::vector<uint8_t> bytes_of(const Tensor& t) {
  std::vector<uint8_t> bytes(static_cast<size_t>(t.numel()) * dtype_size(t.dtype()));
  if (!bytes.empty()) t.copy_out(bytes.data(), bytes.size());
  return bytes;
}

template <class T>
void widen(const std::vector<uint8_t>& bytes, std::vector<double>* out) {
  const T* p = reinterpret_cast<const T*>(bytes.data());
  for (double& v : *out) v = static_cast<double>(*p++);
}

// The elements of a real tensor.
std::vector<double> numbers_of(const Tensor& t) {
  const std::vector<uint8_t> bytes = bytes_of(t);
  std::vector<double> out(static_cast<size_t>(t.numel()));
  switch (t.dtype()) {
    case DType::kF32:
      widen<float>(bytes, &out);
      break;
    case DType::kF64:
      widen<double>(bytes, &out);
      break;
    case DType::kF16:
      widen<Half>(bytes, &out);
      break;
    case DType::kBF16:
      widen<BFloat16>(bytes, &out);
      break;
    case DType::kI8:
      widen<int8_t>(bytes, &out);
      break;
    case DType::kI16:
      widen<int16_t>(bytes, &out);
      break;
    case DType::kI32:
      widen<int32_t>(bytes, &out);
      break;
    case DType::kI64:
      widen<int64_t>(bytes, &out);
      break;
    case DType::kU8:
    case DType::kBool:
      widen<uint8_t>(bytes, &out);
      break;
    case DType::kU16:
      widen<uint16_t>(bytes, &out);
      break;
    case DType::kU32:
      widen<uint32_t>(bytes, &out);
      break;
    case DType::kU64:
      widen<uint64_t>(bytes, &out);
      break;
    default:
      throw_error(ErrorCode::kType, cat("a summary takes real numbers, got ", to_string(t.meta())));
  }
  return out;
}

// Upper bounds of the buckets: 1e-12 * 1.1^k up to 1e20 and beyond, on both sides of zero.
const std::vector<double>& bucket_limits() {
  static const std::vector<double> limits = [] {
    std::vector<double> up;
    for (double v = 1e-12; v < 1e20; v *= 1.1) up.push_back(v);
    up.push_back(std::numeric_limits<double>::max());
    std::vector<double> all;
    for (auto i = up.rbegin(); i != up.rend(); ++i) all.push_back(-*i);
    all.push_back(0);
    all.insert(all.end(), up.begin(), up.end());
    return all;
  }();
  return limits;
}

std::string histogram_message(const std::vector<double>& values) {
  const std::vector<double>& limits = bucket_limits();
  std::vector<double> counts(limits.size());
  double low = std::numeric_limits<double>::infinity(), high = -low, n = 0, sum = 0, squares = 0;
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v), high = std::max(high, v);
    n += 1, sum += v, squares += v * v;
    const auto at = std::upper_bound(limits.begin(), limits.end() - 1, v) - limits.begin();
    counts[static_cast<size_t>(at)] += 1;
  }
  // One empty bucket stays on either side of those that hold something.
  size_t first = 0, last = counts.size();
  while (first < last && counts[first] == 0) ++first;
  while (last > first && counts[last - 1] == 0) --last;
  if (first > 0 && first < last) --first;
  std::string out;
  ProtoWriter w(&out);
  w.number(1, n > 0 ? low : 0);
  w.number(2, n > 0 ? high : 0);
  w.number(3, n);
  w.number(4, sum);
  w.number(5, squares);
  using Part = std::vector<double>;
  const auto part = [&](const Part& all) { return Part(&all[0] + first, &all[0] + last); };
  if (first < last) {
    w.numbers(6, part(limits));
    w.numbers(7, part(counts));
  } else {
    w.numbers(6, {0.0});
    w.numbers(7, {0.0});
  }
  return out;
}

struct Canvas {
  int64_t height = 0, width = 0;
  int channels = 0;
  std::vector<uint8_t> pixels;  // [height, width, channels]
};

// Numbers as bytes.
std::vector<uint8_t> levels_of(const Tensor& images) {
  if (images.dtype() == DType::kU8) return bytes_of(images);
  const std::vector<double> values = numbers_of(images);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const bool unit = *low >= 0 && *high <= 1;
  const double shift = unit ? 0 : *low;
  const double scale = unit ? 255 : *high > *low ? 255 / (*high - *low) : 0;
  std::vector<uint8_t> out;
  out.reserve(values.size());
  for (const double v : values) {
    const double level = (v - shift) * scale;
    out.push_back(std::isfinite(level) ? static_cast<uint8_t>(std::clamp(level, 0.0, 255.0)) : 0);
  }
  return out;
}

Canvas canvas_of(const Tensor& images) {
  const Shape& s = images.shape();
  const int r = s.rank();
  if ((r != 3 && r != 4) || (s[r - 3] != 1 && s[r - 3] != 3) || images.numel() == 0) {
    throw_error(ErrorCode::kValue, cat("an image summary takes [n,c,h,w] or [c,h,w] with 1 or 3 "
                                       "channels, got ",
                                       to_string(images.meta())));
  }
  const int64_t n = r == 4 ? s[0] : 1, c = s[r - 3], h = s[r - 2], w = s[r - 1];
  const std::vector<uint8_t> levels = levels_of(images);
  const int64_t columns = std::min<int64_t>(n, kImagesInRow);
  Canvas out;
  out.height = (n + columns - 1) / columns * h;
  out.width = columns * w;
  out.channels = static_cast<int>(c);
  out.pixels.resize(static_cast<size_t>(out.height * out.width * c));
  for (int64_t i = 0; i < n * c * h * w; ++i) {
    const int64_t x = i % w, y = i / w % h, k = i / (w * h) % c, image = i / (w * h * c);
    const int64_t row = image / columns * h + y, column = image % columns * w + x;
    out.pixels[static_cast<size_t>((row * out.width + column) * c + k)] =
        levels[static_cast<size_t>(i)];
  }
  return out;
}

}  // namespace

EventFile::EventFile(const std::string& folder, EventFileOptions options)
    : options_(std::move(options)), last_flush_(std::chrono::steady_clock::now()) {
  for (const std::string& part : {options_.prefix, options_.suffix}) {
    if (part.find('/') != std::string::npos) {
      throw_error(ErrorCode::kValue, cat("'", part, "' cannot stand in the name of a file"));
    }
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw_os_error(cat("cannot make the folder '", folder, "'"), error.value());
  path_ = new_path(folder, options_);
  fd_ = retry([&] { return ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644); });
  if (fd_ < 0) throw_os_error(cat("cannot write '", path_, "'"), errno);
  std::string event;
  ProtoWriter w(&event);
  w.number(1, now());
  w.bytes(3, "brain.Event:2");
  write(event);
  flush();
}

EventFile::~EventFile() {
  try {
    close();
  } catch (const Error& e) {
    log_warning(e.what());
  }
}

void EventFile::write(std::string_view event) {
  const std::lock_guard lock(mutex_);
  if (fd_ < 0) throw_error(ErrorCode::kRuntime, cat("'", path_, "' is closed"));
  const size_t before = buffer_.size();
  append_record(event, &buffer_);
  bytes_ += buffer_.size() - before;
  if (options_.max_bytes > 0 && bytes_ > options_.max_bytes) {
    bytes_ -= buffer_.size() - before;
    buffer_.resize(before);
    if (!full_) log_warning(cat("'", path_, "' has its full size: later summaries are left out"));
    full_ = true;
    return;
  }
  const std::chrono::duration<double> age = std::chrono::steady_clock::now() - last_flush_;
  if (buffer_.size() > kBufferBytes || age.count() > options_.flush_seconds) write_out();
}

void EventFile::write_out() {
  last_flush_ = std::chrono::steady_clock::now();
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n =
        retry([&] { return ::write(fd_, buffer_.data() + done, buffer_.size() - done); });
    if (n < 0) {
      const int error = errno;
      buffer_.erase(0, done);
      throw_os_error(cat("cannot write '", path_, "'"), error);
    }
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
}

void EventFile::flush() {
  const std::lock_guard lock(mutex_);
  if (fd_ >= 0) write_out();
}

void EventFile::close() {
  const std::lock_guard lock(mutex_);
  if (fd_ < 0) return;
  const Fd owner(std::exchange(fd_, -1));
  fd_ = owner.get();
  try {
    write_out();
    fd_ = -1;
  } catch (...) {
    fd_ = -1;
    throw;
  }
}

void EventFile::add_value(int64_t step, std::string_view value) {
  std::string summary, event;
  ProtoWriter(&summary).bytes(1, value);
  ProtoWriter w(&event);
  w.number(1, now());
  w.varint(2, static_cast<uint64_t>(step));
  w.bytes(5, summary);
  write(event);
}

void EventFile::add_scalar(std::string_view tag, int64_t step, double value) {
  std::string v;
  ProtoWriter w(&v);
  w.bytes(1, tag);
  w.small_number(2, static_cast<float>(value));
  add_value(step, v);
}

void EventFile::add_histogram(std::string_view tag, int64_t step, const Tensor& values) {
  std::string v;
  ProtoWriter w(&v);
  w.bytes(1, tag);
  w.bytes(5, histogram_message(numbers_of(values)));
  add_value(step, v);
}

void EventFile::add_image(std::string_view tag, int64_t step, const Tensor& images) {
  const Canvas c = canvas_of(images);
  std::string image, v;
  ProtoWriter w(&image);
  w.varint(1, static_cast<uint64_t>(c.height));
  w.varint(2, static_cast<uint64_t>(c.width));
  w.varint(3, static_cast<uint64_t>(c.channels));
  w.bytes(4, encode_png(c.pixels.data(), c.width, c.height, c.channels));
  ProtoWriter value(&v);
  value.bytes(1, tag);
  value.bytes(4, image);
  add_value(step, v);
}

void EventFile::add_text(std::string_view tag, int64_t step, std::string_view text) {
  std::string size, shape, tensor, v;
  ProtoWriter(&size).varint(1, 1);
  ProtoWriter(&shape).bytes(2, size);
  ProtoWriter t(&tensor);
  t.varint(1, 7);  // text
  t.bytes(2, shape);
  t.bytes(8, text);
  ProtoWriter w(&v);
  w.bytes(1, tag);
  w.bytes(8, tensor);
  w.bytes(9, metadata("text"));
  add_value(step, v);
}

void EventFile::add_tensor(std::string_view tag, int64_t step, const Tensor& value) {
  const int type = tensorflow_type(value.dtype());
  if (type == 0) {
    throw_error(ErrorCode::kType, cat("event files hold no ", to_string(value.meta())));
  }
  std::string shape, tensor, v;
  for (int i = 0; i < value.meta().rank(); ++i) {
    std::string size;
    ProtoWriter(&size).varint(1, static_cast<uint64_t>(value.shape()[i]));
    ProtoWriter(&shape).bytes(2, size);
  }
  const std::vector<uint8_t> bytes = bytes_of(value);
  ProtoWriter t(&tensor);
  t.varint(1, static_cast<uint64_t>(type));
  t.bytes(2, shape);
  t.bytes(4, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  ProtoWriter w(&v);
  w.bytes(1, tag);
  w.bytes(8, tensor);
  w.bytes(9, metadata("tensors"));
  add_value(step, v);
}

void EventFile::add_graph(std::string_view graph_def) {
  std::string event;
  ProtoWriter w(&event);
  w.number(1, now());
  w.bytes(4, graph_def);
  write(event);
}

}  // namespace rutile::io
