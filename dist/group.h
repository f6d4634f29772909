// SPDX-License-Identifier: Apache-2.0
// Groups of processes. init() makes "world" of all ranks that were started together
// (dist/launch.h); the ops of ops/collective.h then work on it.
//
//   dist::init();                                   // every rank
//   std::cout << dist::rank() << " of " << dist::size() << "\n";
//   Tensor mean = ops::all_reduce(x, {.reduce = Reduce::kMean});
//   dist::finalize();
//
// A rank that ends, hangs for longer than the time-out or calls another collective than the others
// makes the next collective of every rank an Error{kRuntime} that says which rank it was and what
// it did. The group is broken from then on: a job begins again from its last checkpoint.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/dist/launch.h"
#include "rutile/ops/communicator.h"

namespace rutile::dist {

struct InitOptions {
  // "gloo": memory of the host; that of devices goes over the host, too. "nccl": memory of GPUs,
  // each rank that of its number on its host, with Gloo beside it for memory of the host.
  std::string backend = "gloo";
  // Seconds that a collective may take, from RUTILE_TIMEOUT (600); that all ranks have to come,
  // from RUTILE_RENDEZVOUS_TIMEOUT (300); of silence after which a rank counts as gone, from
  // RUTILE_HEARTBEAT (20, 5 at least). 0: these.
  double timeout = 0, rendezvous = 0, heartbeat = 0;
  // Compare what the ranks are about to do before every collective: 0.1 ms or so each. Not with
  // RUTILE_COLLECTIVE_CHECK=0.
  bool check = true;
};

// Joins the ranks. Without a launcher, or with one rank, the group is this process and needs no
// plugin. Threads are shared out among the ranks of a host unless RUTILE_NUM_THREADS or
// OMP_NUM_THREADS is set. Errors: kRuntime (nobody there in time, a port in use), kUnsupported (no
// plugin or no device), kValue (a variable is missing or out of range, more ranks than devices).
// Doing it twice is one.
RUTILE_API void init(const InitOptions& options = {});
RUTILE_API bool initialized();
// Leaves. A rank that has left is no failure to the others.
RUTILE_API void finalize();
// Tells the other ranks that this one ends and why: what they wait for then ends with these words.
RUTILE_API void report_failure(const std::string& text);
// Where this rank computes with a backend for devices; the cpu with others.
RUTILE_API Device device();
// As init() read it.
RUTILE_API const LaunchInfo& launch_info();
RUTILE_API int rank(const std::string& group = "world");  // -1: not in it
RUTILE_API int size(const std::string& group = "world");

// A group of some of the world's ranks, in this order; called by all of them with the same name.
// Other ranks may call it too and are not in it. The name of a group that was destroyed is free.
RUTILE_API void create_group(const std::string& name, const std::vector<int>& ranks);
RUTILE_API void destroy_group(const std::string& name);
// The world's rank of a group's, and back. Error{kValue} for one that is not in it.
RUTILE_API int world_rank(const std::string& group, int group_rank);
RUTILE_API int group_rank(const std::string& group, int world_rank);
RUTILE_API std::vector<int> group_ranks(const std::string& group);

// Waits until all ranks of the group are there.
RUTILE_API void barrier(const std::string& group = "world");
// To and from a rank of the group; the receiver names shape and dtype.
RUTILE_API void send(const Tensor& x, int to, const std::string& group = "world");
RUTILE_API Tensor receive(const Shape& shape, DType dtype, int from,
                          const std::string& group = "world");

// A message that is on its way. Messages of one direction between two ranks come in their order;
// they hold up nothing else, so that every rank of a ring may send before it receives.
class RUTILE_API Message {
 public:
  void wait() const;  // Errors: those of send and receive
  bool done() const;

 private:
  friend RUTILE_API Message isend(const Tensor&, int, const std::string&);
  friend RUTILE_API Message ireceive(const Shape&, DType, int, Tensor*, const std::string&);
  static Message start(const std::string& group, const Collective& c, const Tensor& memory);
  struct Impl;
  std::shared_ptr<Impl> impl_;
};
// Return at once. `x` is not to be changed before it is sent, and its values are there after
// wait(). finalize() waits for what was sent and gives up what was to be received.
RUTILE_API Message isend(const Tensor& x, int to, const std::string& group = "world");
RUTILE_API Message ireceive(const Shape& shape, DType dtype, int from, Tensor* x,
                            const std::string& group = "world");

struct CollectiveStats {
  int64_t calls = 0, bytes = 0;  // bytes that this rank gave
  int64_t bytes_of[8] = {};      // those by CollectiveKind
  double seconds = 0;            // in which one was running, this rank's share of the waiting too
};
RUTILE_API CollectiveStats collective_stats(const std::string& group = "world");

}  // namespace rutile::dist
