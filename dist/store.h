// SPDX-License-Identifier: Apache-2.0
// Where ranks meet: a few keys that all of them see, and word of a rank that is gone. Rank 0 keeps
// them and the others call it (TCP), or they lie in a folder that all of them see.
//
// Over TCP each rank holds a connection to rank 0 as long as it lives and says every two seconds
// that it does: a rank that ends without leave(), or is silent for `heartbeat` seconds, is reported
// to all others. With a secret both sides prove that they know it (HMAC-SHA256 of a nonce) before
// anything else is read. Nothing is encrypted.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rutile/dist/socket.h"

namespace rutile::dist {

// A rank failed; `text` says which and how. Called once, from a thread of the store.
using FailureHandler = std::function<void(int rank, const std::string& text)>;

struct StoreOptions {
  int rank = 0, size = 1;
  std::string address;  // of rank 0
  int port = 0;
  std::string folder;     // instead of address and port
  std::string interface;  // the network interface that sockets are bound to; empty: any
  // Ranks come from other machines too: a name of this machine that stands for its loopback
  // (Debian's 127.0.1.1) then means the address by which it reaches others.
  bool several_hosts = false;
  std::string secret;
  double timeout = 300;   // seconds until all have come
  double heartbeat = 20;  // seconds of silence after which a rank counts as gone
  FailureHandler on_failure;
  std::function<void(int rank)> on_left;  // a rank said leave()
};

class RUTILE_API Store {
 public:
  virtual ~Store() = default;
  // A key is set once; a second time is an error.
  virtual Status set(const std::string& key, const std::string& value) = 0;
  // Waits until somebody sets it.
  virtual Status get(const std::string& key, Deadline deadline, std::string* value) = 0;
  // Tells all other ranks that this one failed.
  virtual void fail(const std::string& text) = 0;
  // This rank needs the others no more: its end is no failure.
  virtual void leave() = 0;
  // This machine's address as the others reach it; empty if the store does not know.
  virtual std::string local_address() const = 0;
};

// Returns when this rank is connected, which includes waiting for rank 0.
RUTILE_API Status open_store(const StoreOptions& options, std::unique_ptr<Store>* store);
RUTILE_API Status open_tcp_store(const StoreOptions& options, std::unique_ptr<Store>* store);
RUTILE_API Status open_file_store(const StoreOptions& options, std::unique_ptr<Store>* store);

}  // namespace rutile::dist
