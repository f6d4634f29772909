// SPDX-License-Identifier: Apache-2.0
// Hosts and a network between them, for tests: each rank lives in a network namespace with one
// device, and this process carries the packets from one to the other: late, not all of them, or not
// any more. Needs no kernel module but tun and no programs.
//
//   Wire wire(2);
//   run_ranks(2, [&](int rank) { wire.join(rank); ... },
//             {.variables = {{"MASTER_ADDR", Wire::address(0)}},
//              .meanwhile = [&](auto) { wire.carry({.delay_ms = 5, .loss = 0.01}); ... }});
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

namespace rutile::test {

class Wire {
 public:
  struct Quality {
    double delay_ms = 0;  // of each packet, one way
    double loss = 0;      // probability
    double jitter_ms = 0;
  };
  explicit Wire(int hosts);
  ~Wire();
  // Empty, or why this machine gives no namespaces with devices.
  static std::string unavailable();
  static std::string address(int host);  // "10.77.0.1"
  static constexpr const char* kDevice = "rt0";

  // In the process of a rank, before its first socket: from now on it is on this host. Throws.
  void join(int host);
  // In the test's process, once the ranks are started.
  void carry(const Quality& quality);
  // Nothing goes to the host or comes from it any more.
  void cut(int host) { cut_ = host; }
  int64_t carried() const { return carried_; }
  int64_t lost() const { return lost_; }

 private:
  void run(Quality quality);
  std::vector<int> ours_, theirs_;  // ends of the sockets over which devices come
  std::atomic<int> cut_{-1};
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> carried_{0}, lost_{0};
  std::thread thread_;
};

}  // namespace rutile::test
