// SPDX-License-Identifier: Apache-2.0
// Branches and loops of captured graphs: what was captured of them runs as often as memory of the
// device says when the graph is replayed.
#include <algorithm>
#include <cstring>
#include <limits>

#include "rutile/kernels/fake/device.h"

namespace rutile::fake {
namespace {

// As the device's work sees it; null stays null.
template <class T>
Status inside(int device, const T* p, T** out) {
  *out = nullptr;
  if (!p) return Status();
  FakeDevice* d = device_at(device);
  if (!d->memory.owns(p)) {
    return Status(ErrorCode::kInternal, "control flow by memory that is elsewhere");
  }
  *out = static_cast<T*>(d->memory.translate(p));
  return Status();
}

Status must_capture(Stream s) {
  if (worker(s).capturing()) return Status();
  return Status(ErrorCode::kRuntime, "control flow on a stream that is not being captured");
}

Status capture_part(const CapturePart& part, std::shared_ptr<Capture>* out) {
  Worker body(StreamKind::kCompute);
  RUTILE_RETURN_IF_ERROR(body.begin_capture(true));
  Status s = part.queue ? part.queue(part.context, reinterpret_cast<Stream>(&body)) : Status();
  Status ended = body.end_capture(out);
  return s.ok() ? std::move(ended) : std::move(s);
}

}  // namespace

Status capture_branch(int device, Stream s, const void* holds, CapturePart then,
                      CapturePart otherwise) {
  RUTILE_RETURN_IF_ERROR(must_capture(s));
  bool* flag = nullptr;
  RUTILE_RETURN_IF_ERROR(inside(device, static_cast<const bool*>(holds), &flag));
  std::shared_ptr<Capture> parts[2];
  RUTILE_RETURN_IF_ERROR(capture_part(then, &parts[0]));
  RUTILE_RETURN_IF_ERROR(capture_part(otherwise, &parts[1]));
  return worker(s).add(
      [flag, yes = parts[0], no = parts[1]] { return Worker::replay_part(*flag ? *yes : *no); });
}

Status capture_loop(int device, Stream s, const CaptureLoop& loop, CapturePart body) {
  RUTILE_RETURN_IF_ERROR(must_capture(s));
  LoopCounter* counter = nullptr;
  const int64_t* wanted = nullptr;
  const bool* flag = nullptr;
  {
    int64_t* number = nullptr;
    bool* condition = nullptr;
    RUTILE_RETURN_IF_ERROR(inside(device, loop.counter, &counter));
    RUTILE_RETURN_IF_ERROR(inside(device, loop.wanted, &number));
    RUTILE_RETURN_IF_ERROR(inside(device, static_cast<const bool*>(loop.holds), &condition));
    wanted = number;
    flag = condition;
  }
  std::shared_ptr<Capture> part;
  RUTILE_RETURN_IF_ERROR(capture_part(body, &part));
  return worker(s).add([counter, wanted, flag, part, most = loop.most] {
    const int64_t limit = most < 0 ? std::numeric_limits<int64_t>::max() : most;
    *counter = {0, wanted ? std::clamp<int64_t>(*wanted, 0, limit) : limit};
    while (counter->done < counter->count && (!flag || *flag)) {
      RUTILE_RETURN_IF_ERROR(Worker::replay_part(*part));
      ++counter->done;
    }
    return Status();
  });
}

Status copy_slice(int device, void* slices, void* one, const LoopSlice& slice, Stream s) {
  LoopCounter* counter = nullptr;
  char *all = nullptr, *piece = nullptr;
  RUTILE_RETURN_IF_ERROR(inside(device, slice.counter, &counter));
  RUTILE_RETURN_IF_ERROR(inside(device, static_cast<const char*>(slices), &all));
  RUTILE_RETURN_IF_ERROR(inside(device, static_cast<const char*>(one), &piece));
  const auto capture = worker(s).capturing();
  if (!capture || !capture->part) {
    return Status(ErrorCode::kRuntime, "a slice of a loop that is not being captured");
  }
  return worker(s).add([=] {
    const int64_t i = slice.reverse ? counter->count - 1 - counter->done : counter->done;
    char* const at = all + i * slice.bytes;
    std::memmove(slice.stores ? at : piece, slice.stores ? piece : at,
                 static_cast<size_t>(slice.bytes));
    return Status();
  });
}

}  // namespace rutile::fake
