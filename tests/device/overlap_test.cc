// SPDX-License-Identifier: Apache-2.0
// How much of the communication of a data-parallel step backward hides: ResNet-50 on the pretended
// device, by the device's own clock, with a link on which all gradients take half as long as
// backward. The streams and events are those of a GPU with NCCL; only the link is made up.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <deque>

#include "rutile/core/thread.h"
#include "rutile/dist/device_lane.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/optim/optimizer.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/communicator.h"
#include "rutile/ops/random.h"
#include "rutile/tests/device/fake.h"

namespace rutile {
namespace {

// As kernels/fake/timeline.h has it.
struct Interval {
  int32_t stream = 0, waits = 0;
  const char* what = "";
  double begin = 0, end = 0;
};
constexpr int32_t kCompute = 0, kCommunication = 2;

void set_timeline(bool on) {
  static auto* const fn = fake::plugin_function<void(bool)>("rutile_fake_timeline");
  fn(on);
}
std::vector<Interval> intervals() {
  static auto* const fn = fake::plugin_function<size_t(Interval*, size_t)>("rutile_fake_intervals");
  std::vector<Interval> all(fn(nullptr, 0));
  fn(all.data(), all.size());
  return all;
}

// A plugin of two ranks whose gradients are equal: a collective leaves everything as it is, and
// takes the time of the link when it runs.
std::atomic<double> g_bytes_per_second = 1e15;

int spend(void* bytes) {
  static auto* const fn = fake::plugin_function<void(double, const char*)>("rutile_fake_spend");
  fn(*static_cast<double*>(bytes) / g_bytes_per_second, "all_reduce");
  return 0;
}

Status all_reduce(void*, const void*, void*, int64_t count, DType dtype, Reduce,
                  void* stream) noexcept {
  static auto* const enqueue =
      fake::plugin_function<int(void*, int (*)(void*), void*)>("rutile_fake_enqueue");
  static std::deque<double> all;  // captured work keeps its own
  all.push_back(static_cast<double>(count) * static_cast<double>(dtype_size(dtype)));
  return enqueue(stream, spend, &all.back()) == 0 ? Status()
                                                  : Status(ErrorCode::kRuntime, "not queued");
}

const dist::CommPlugin& link() {
  static const dist::CommPlugin plugin = [] {
    dist::CommPlugin p;
    p.device = DeviceType::kFake;
    p.functions.destroy = [](void*) noexcept {};
    p.functions.abort = [](void*) noexcept {};
    p.functions.all_reduce = all_reduce;
    return p;
  }();
  return plugin;
}

class Linked final : public Communicator {
 public:
  const std::string& name() const override { return name_; }
  int rank() const override { return 0; }
  int size() const override { return 2; }
  Status run(const Collective& c) override {
    const size_t bytes = static_cast<size_t>(c.shape.numel()) * dtype_size(c.dtype);
    if (c.in != c.out && c.out) std::memcpy(c.out, c.in, bytes);
    return Status();
  }
  Status start(const Collective& c) override { return run(c); }
  Status wait(const void*) override { return Status(); }
  void drain() override { lane_.drain(); }
  bool takes(Device d) const override { return d == kCpu || d == fake::kFake; }
  Status queue(const Collective& c, Device, Stream s) override { return lane_.queue(c, ++n_, s); }
  Status queue_start(const Collective& c, Device, Stream s) override {
    return lane_.start(c, ++n_, s);
  }
  Status queue_wait(const void* out, Device, Stream s) override { return lane_.wait(out, s); }
  std::vector<Collective> take_captured(Device) override { return lane_.take_captured(); }

 private:
  const std::string name_ = "world";
  uint64_t n_ = 0;
  dist::DeviceLane lane_{
      link(), nullptr, fake::kFake, 60,
      [](const Collective&, uint64_t, const Status& s) { return dist::copy_of(s); }};
};

struct Measured {
  double step = 0, communication = 0, exposed = 0;
  std::vector<Interval> sent;
  double backward_end = 0;  // where the step first waits for a bucket
};

Measured measure(const std::function<void()>& step) {
  set_timeline(true);
  step();
  synchronize(fake::kFake);
  std::vector<Interval> all = intervals();
  set_timeline(false);
  Measured m;
  double first = 1e300, last = 0;
  for (const Interval& i : all) {
    if (i.stream == kCommunication && !i.waits) m.sent.push_back(i);
    if (i.stream != kCompute) continue;
    first = std::min(first, i.begin);
    last = std::max(last, i.end);
  }
  m.step = last - first;
  for (const Interval& i : m.sent) m.communication += i.end - i.begin;
  for (const Interval& i : all) {
    const bool for_link =
        i.stream == kCompute && i.waits && !m.sent.empty() && i.begin > m.sent.front().begin;
    if (!for_link) continue;
    m.exposed += i.end - i.begin;
    if (m.backward_end == 0) m.backward_end = i.begin;
  }
  if (m.backward_end == 0) m.backward_end = last;
  return m;
}

void expect_hidden(nn::Mode mode) {
  set_communicator("world", std::make_shared<Linked>());
  const int threads = num_threads();
  set_num_threads(1);  // whose processor time is a kernel's time
  g_bytes_per_second = 1e15;
  {
    set_seed(3);
    auto net = nn::models::resnet50({.channels = 3, .classes = 1000});
    net->to(fake::kFake);
    auto optimizer = std::make_shared<nn::optim::Momentum>(
        net->parameters(), nn::optim::MomentumOptions{.lr = 0.01, .momentum = 0.9});
    nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer,
                       {.mode = mode, .data_parallel = dist::ReducerOptions{}});
    const Tensor x = ops::random_normal(Tensor::from<uint64_t>({1}, {1}), {.shape = {4, 3, 96, 96}})
                         .to(fake::kFake);
    const Tensor y = Tensor::zeros({4}, DType::kI64).to(fake::kFake);
    const auto run = [&] { step(x, y).loss.item(); };
    run();
    run();
    const Measured plain = measure(run);
    // Backward is two thirds of a step.
    const double bytes = 4.0 * static_cast<double>(net->num_elements());
    g_bytes_per_second = bytes / (plain.step / 3);
    const Measured m = measure(run);
    const double hidden = 1 - m.exposed / m.communication;
    std::printf(
        "%s: %zu buckets, %.1f ms of communication, %.1f %% of it hidden, beside a step of %.1f "
        "ms\n",
        mode == nn::Mode::kGraph ? "graph" : "eager", m.sent.size(), 1e3 * m.communication,
        100 * hidden, 1e3 * m.step);
    EXPECT_GE(hidden, 0.9);
    EXPECT_NEAR(m.communication, bytes / g_bytes_per_second, 0.02 * m.communication);
    ASSERT_GE(m.sent.size(), 5u);
    // One after the other, all but the last one while backward runs.
    for (size_t i = 0; i + 1 < m.sent.size(); ++i) {
      EXPECT_LE(m.sent[i].end, m.sent[i + 1].begin + 1e-9) << i;
      EXPECT_LT(m.sent[i].begin, m.backward_end) << i;
    }
  }
  set_communicator("world", nullptr);
  set_num_threads(threads);
}

TEST(Overlap, BackwardHidesTheGradientsOfResNet50InAGraph) { expect_hidden(nn::Mode::kGraph); }
TEST(Overlap, BackwardHidesTheGradientsOfResNet50Eagerly) { expect_hidden(nn::Mode::kEager); }

}  // namespace
}  // namespace rutile
