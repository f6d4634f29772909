// SPDX-License-Identifier: Apache-2.0
// Rank 0's side of the TCP store: one thread that serves all ranks.
#pragma once

#include <memory>

#include "rutile/dist/store.h"

namespace rutile::dist {

class StoreServer {
 public:
  // Listens at once and serves until it is destroyed.
  static Status start(const StoreOptions& options, std::unique_ptr<StoreServer>* server);
  virtual ~StoreServer() = default;
  virtual int port() const = 0;
};

// By which a side proves that it knows the secret: of the other's nonce and who it is itself.
std::string proof_of(const std::string& secret, const std::string& nonce, const std::string& who);

}  // namespace rutile::dist
