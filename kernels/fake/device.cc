// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/fake/device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "rutile/core/stream_sharing.h"

namespace rutile::fake {
namespace {

constexpr size_t kMemory = size_t{8} << 30;  // of addresses; pages come with their first use

struct FakeEvent {
  std::shared_ptr<EventState> state = std::make_shared<EventState>();
};
struct FakeGraph {
  std::shared_ptr<Capture> work;
};

std::vector<std::unique_ptr<FakeDevice>>& devices() {
  static auto* all = new std::vector<std::unique_ptr<FakeDevice>>();
  return *all;
}

struct Pinned {
  std::mutex mutex;
  std::map<const char*, size_t> pieces;
  bool has(const void* p) {
    std::lock_guard lock(mutex);
    auto it = pieces.upper_bound(static_cast<const char*>(p));
    if (it == pieces.begin()) return false;
    --it;
    return static_cast<const char*>(p) < it->first + it->second;
  }
};
Pinned& pinned() {
  static auto* p = new Pinned;
  return *p;
}

struct Streams {
  std::mutex mutex;
  std::unordered_set<Worker*> all;
};
Streams& streams() {
  static auto* s = new Streams;
  return *s;
}

// Static objects go when this returns: no thread may still work with them.
void stop_workers() {
  std::lock_guard lock(streams().mutex);
  for (Worker* w : streams().all) w->stop();
}

int count() { return static_cast<int>(devices().size()); }

Status describe(int device, DeviceInfo* out) {
  out->name = "fake device";
  int64_t free = 0;
  devices()[static_cast<size_t>(device)]->memory.info(&free, &out->total_bytes);
  out->multiprocessors = 1;
  return Status();
}

Status allocate(int device, size_t bytes, void** out) {
  return device_at(device)->memory.allocate(bytes, out);
}
Status release(int device, void* p) { return device_at(device)->memory.release(p); }
Status memory_info(int device, int64_t* free_bytes, int64_t* total_bytes) {
  device_at(device)->memory.info(free_bytes, total_bytes);
  return Status();
}

Status host_allocate(int, size_t bytes, void** out) {
  *out = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*out) return Status(ErrorCode::kOutOfMemory, "the host has no memory left");
  std::lock_guard lock(pinned().mutex);
  pinned().pieces[static_cast<char*>(*out)] = bytes;
  return Status();
}
Status host_release(int, void* p) {
  {
    std::lock_guard lock(pinned().mutex);
    pinned().pieces.erase(static_cast<char*>(p));
  }
  std::free(p);
  return Status();
}

Status stream_create(int, StreamKind kind, Stream* out) {
  auto* w = new Worker(kind);
  std::lock_guard lock(streams().mutex);
  streams().all.insert(w);
  *out = reinterpret_cast<Stream>(w);
  return Status();
}
Status stream_destroy(int, Stream s) {
  {
    std::lock_guard lock(streams().mutex);
    streams().all.erase(&worker(s));
  }
  delete &worker(s);
  return Status();
}
Status stream_sync(int, Stream s) { return worker(s).sync(); }

// As a GPU has it: kernels, fills, copies on the device, nothing else.
Status not_in_part(const char* what) {
  return Status(ErrorCode::kRuntime, cat(what, " has no place under a condition of a graph"));
}

FakeEvent& event(Event e) { return *reinterpret_cast<FakeEvent*>(e); }

Status event_create(int, Event* out) {
  *out = reinterpret_cast<Event>(new FakeEvent);
  return Status();
}
Status event_destroy(int, Event e) {
  delete &event(e);
  return Status();
}
Status event_record(int, Event e, Stream s) {
  std::shared_ptr<EventState> state = event(e).state;
  uint64_t number;
  {
    std::shared_ptr<Capture> capture = worker(s).capturing();
    if (capture && capture->part) return not_in_part("an event");
    std::lock_guard lock(state->mutex);
    number = ++state->recorded;
    state->capture = capture;
  }
  return worker(s).add([state, number] {
    state->mark(number);
    return Status();
  });
}
uint64_t recorded(const FakeEvent& e) {
  std::lock_guard lock(e.state->mutex);
  return e.state->recorded;
}
Status stream_wait(int, Stream s, Event e) {
  std::shared_ptr<Capture> capture;
  {
    std::lock_guard lock(event(e).state->mutex);
    capture = event(e).state->capture.lock();
  }
  const std::shared_ptr<Capture> own = worker(s).capturing();
  if (own && own->part) return not_in_part("an event");
  // Of a capture that is over, the event is as good as any.
  if (capture && capture->open) worker(s).join(capture);
  return worker(s).add([state = event(e).state, number = recorded(event(e))] {
    state->wait(number);
    return Status();
  });
}
Status event_sync(int, Event e) {
  event(e).state->wait(recorded(event(e)));
  return Status();
}
Status event_done(int, Event e, bool* done) {
  std::lock_guard lock(event(e).state->mutex);
  *done = event(e).state->done >= event(e).state->recorded;
  return Status();
}
Status event_ms(int, Event from, Event to, float* ms) {
  std::scoped_lock lock(event(from).state->mutex, event(to).state->mutex);
  *ms =
      std::chrono::duration<float, std::milli>(event(to).state->at - event(from).state->at).count();
  return Status();
}

// Another library's streams are streams of this device that were made directly.
uintptr_t native_stream(Stream s) { return reinterpret_cast<uintptr_t>(s); }
Status known(uintptr_t native) {
  std::lock_guard lock(streams().mutex);
  if (streams().all.count(reinterpret_cast<Worker*>(native)) > 0) return Status();
  return Status(ErrorCode::kValue, cat("there is no stream ", native));
}
Status native_wait(int device, uintptr_t native, Event e) {
  RUTILE_RETURN_IF_ERROR(known(native));
  return stream_wait(device, reinterpret_cast<Stream>(native), e);
}
Status native_record(int device, Event e, uintptr_t native) {
  RUTILE_RETURN_IF_ERROR(known(native));
  return event_record(device, e, reinterpret_cast<Stream>(native));
}

// `p` as the device's work sees it; null where it is no memory of `device`.
char* inside(int device, const void* p) {
  FakeDevice* d = device_at(device);
  return d->memory.owns(p) ? static_cast<char*>(d->memory.translate(p)) : nullptr;
}

Status copy(int device, void* to, const void* from, size_t bytes, CopyKind kind, Stream s) {
  char* target = static_cast<char*>(to);
  const char* source = static_cast<const char*>(from);
  if (kind != CopyKind::kToHost) target = inside(device, to);
  if (kind != CopyKind::kToDevice) source = inside(device, from);
  if (!target || !source) return Status(ErrorCode::kInternal, "a copy of memory that is elsewhere");
  auto move = [target, source, bytes] {
    std::memmove(target, source, bytes);
    return Status();
  };
  const std::shared_ptr<Capture> capture = worker(s).capturing();
  if (!capture) ++counts().copies;
  if (capture && capture->part && kind != CopyKind::kOnDevice) return not_in_part("a host copy");
  const bool staged =
      kind == CopyKind::kOnDevice || pinned().has(kind == CopyKind::kToHost ? to : from);
  if (staged) return worker(s).add(move);
  RUTILE_RETURN_IF_ERROR(worker(s).add(move));
  return worker(s).sync();
}

Status fill(int device, void* to, int byte, size_t bytes, Stream s) {
  char* target = inside(device, to);
  if (!target) return Status(ErrorCode::kInternal, "fills memory that is elsewhere");
  return worker(s).add([target, byte, bytes] {
    std::memset(target, byte, bytes);
    return Status();
  });
}

Status capture_begin(int, Stream s) { return worker(s).begin_capture(); }
Status capture_end(int, Stream s, CapturedGraph* out) {
  std::shared_ptr<Capture> capture;
  RUTILE_RETURN_IF_ERROR(worker(s).end_capture(&capture));
  *out = reinterpret_cast<CapturedGraph>(new FakeGraph{std::move(capture)});
  return Status();
}
Status graph_launch(int, CapturedGraph g, Stream s) {
  ++counts().graphs;
  return worker(s).add(
      [work = reinterpret_cast<FakeGraph*>(g)->work, w = &worker(s)] { return w->replay(*work); });
}
Status graph_destroy(int, CapturedGraph g) {
  delete reinterpret_cast<FakeGraph*>(g);
  return Status();
}

constexpr DeviceFns kFns = {
    .type = DeviceType::kFake,
    .count = count,
    .describe = describe,
    .allocate = allocate,
    .release = release,
    .memory_info = memory_info,
    .host_allocate = host_allocate,
    .host_release = host_release,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_sync = stream_sync,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .stream_wait = stream_wait,
    .event_sync = event_sync,
    .event_done = event_done,
    .event_ms = event_ms,
    .copy = copy,
    .fill = fill,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
    .capture_branch = capture_branch,
    .capture_loop = capture_loop,
    .copy_slice = copy_slice,
};

constexpr StreamSharing kSharing = {
    .number = native_stream, .wait = native_wait, .record = native_record};

Status start_devices() {
  const char* wanted = std::getenv("RUTILE_FAKE_DEVICES");
  const int n = wanted ? std::clamp(std::atoi(wanted), 1, 8) : 2;
  for (int i = 0; i < n; ++i) {
    auto d = std::make_unique<FakeDevice>(kMemory);
    RUTILE_RETURN_IF_ERROR(d->memory.start());
    devices().push_back(std::move(d));
  }
  set_stream_sharing(DeviceType::kFake, &kSharing);
  std::atexit(stop_workers);
  return Status();
}

const bool kSetUp = [] {
  const char* delay = std::getenv("RUTILE_FAKE_DELAY_US");
  if (delay) longest_delay() = std::atoi(delay);
  return true;
}();

}  // namespace

FakeDevice* device_at(int index) {
  return index >= 0 && index < count() ? devices()[static_cast<size_t>(index)].get() : nullptr;
}

FakeDevice* owner_of(const void* p) {
  for (const auto& d : devices()) {
    if (d->memory.owns(p)) return d.get();
  }
  return nullptr;
}

const DeviceFns& device_fns() { return kFns; }

Status start() {
  (void)kSetUp;
  return devices().empty() ? start_devices() : Status();
}

}  // namespace rutile::fake
