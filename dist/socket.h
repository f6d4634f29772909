// SPDX-License-Identifier: Apache-2.0
// TCP sockets as the rendezvous needs them: everything has a deadline, nothing raises SIGPIPE.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "rutile/core/error.h"

namespace rutile::dist {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
RUTILE_API Deadline deadline_in(double seconds);
// Milliseconds left, 0 if it is past.
RUTILE_API int left_ms(Deadline deadline);

class RUTILE_API Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Socket& operator=(Socket&& o) noexcept;
  ~Socket() { close(); }
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void close();

 private:
  int fd_ = -1;
};

// Listens on the address (a name or a number; not on any other of the machine's). Port 0: any.
// Error{kRuntime} that says so if the port is in use.
RUTILE_API Status listen_at(const std::string& host, int port, Socket* socket);
// Tries again and again until somebody listens there. `from`: address of this machine to call
// from; empty: any.
RUTILE_API Status connect_to(const std::string& host, int port, const std::string& from,
                             Deadline deadline, Socket* socket);
// Waits for the whole of it. Error{kRuntime} when the other side is gone or the deadline past.
RUTILE_API Status send_all(const Socket& socket, std::string_view bytes, Deadline deadline);
RUTILE_API Status receive_all(const Socket& socket, char* bytes, size_t size, Deadline deadline);

RUTILE_API int port_of(const Socket& socket);                // the local one
RUTILE_API std::string local_address(const Socket& socket);  // "10.0.0.3"
// Of a network interface of this machine ("eth0"), IPv4 where it has one. Error{kValue} that lists
// the interfaces for another.
RUTILE_API Status interface_address(const std::string& name, std::string* address);
RUTILE_API std::string host_name();
// A name that this machine knows as its own loopback address only becomes the address by which the
// machine reaches others: that of the default route, or of any interface that is up. All else,
// "localhost" and numbers too, stays as it is, and so does a name where there is no such address.
RUTILE_API std::string outside_address(const std::string& host);
// Whether the other side has closed the connection.
RUTILE_API bool closed(const Socket& socket);
// Takes a free port that somebody else may listen at while the socket is there, and that the system
// gives to nobody.
RUTILE_API Status reserve_port(const std::string& host, Socket* socket);

}  // namespace rutile::dist
