// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <thread>

#include "rutile/core/interrupt.h"

namespace rutile::dist {

Deadline deadline_in(double seconds) {
  return Clock::now() +
         std::chrono::milliseconds(static_cast<int64_t>(std::min(seconds, 1e9) * 1000));
}

int left_ms(Deadline deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

Socket& Socket::operator=(Socket&& o) noexcept {
  if (this != &o) {
    close();
    fd_ = std::exchange(o.fd_, -1);
  }
  return *this;
}

void Socket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

namespace {

std::string system_text(int error) { return std::strerror(error); }

struct FreeAddresses {
  void operator()(addrinfo* a) const { freeaddrinfo(a); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Status resolve(const std::string& host, int port, bool to_listen, Addresses* found) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  found->reset(list);
  if (error != 0) {
    return Status(ErrorCode::kRuntime,
                  cat("the address of '", host, "' is not known: ", gai_strerror(error)));
  }
  return Status();
}

void set_options(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// False with errno set if it did not work.
bool connect_once(const addrinfo& to, const std::string& from, Deadline deadline, Socket* out) {
  Socket s(::socket(to.ai_family, to.ai_socktype, to.ai_protocol));
  if (!s) return false;
  set_options(s.fd());
  if (!from.empty()) {
    Addresses local;
    if (!resolve(from, 0, false, &local).ok() || local->ai_family != to.ai_family) {
      errno = EADDRNOTAVAIL;
      return false;
    }
    if (::bind(s.fd(), local->ai_addr, local->ai_addrlen) != 0) return false;
  }
  fcntl(s.fd(), F_SETFL, fcntl(s.fd(), F_GETFL) | O_NONBLOCK);
  if (::connect(s.fd(), to.ai_addr, to.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return false;
    pollfd p{s.fd(), POLLOUT, 0};
    const int ready = ::poll(&p, 1, std::min(left_ms(deadline), 5000));
    int error = ready == 0 ? ETIMEDOUT : 0;
    socklen_t size = sizeof error;
    if (ready > 0) getsockopt(s.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (ready < 0) error = errno;
    if (error != 0) {
      errno = error;
      return false;
    }
  }
  *out = std::move(s);
  return true;
}

// Until the socket is ready, the deadline past or Ctrl-C pressed.
Status wait_ready(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd p{fd, events, 0};
    const int ready = ::poll(&p, 1, std::min(left_ms(deadline), 200));
    if (ready > 0) return Status();
    if (ready < 0 && errno != EINTR) return Status(ErrorCode::kRuntime, system_text(errno));
    if (stop_requested()) return Status(ErrorCode::kInterrupted, "interrupted");
    if (left_ms(deadline) == 0) return Status(ErrorCode::kRuntime, "no answer in time");
  }
}

}  // namespace

Status listen_at(const std::string& host, int port, Socket* socket) {
  Addresses found;
  RUTILE_RETURN_IF_ERROR(resolve(host, port, true, &found));
  int error = 0;
  for (const addrinfo* a = found.get(); a; a = a->ai_next) {
    Socket s(::socket(a->ai_family, a->ai_socktype, a->ai_protocol));
    if (!s) {
      error = errno;
      continue;
    }
    set_options(s.fd());
    const int on = 1;
    setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(s.fd(), a->ai_addr, a->ai_addrlen) == 0 && ::listen(s.fd(), 1024) == 0) {
      fcntl(s.fd(), F_SETFL, fcntl(s.fd(), F_GETFL) | O_NONBLOCK);
      *socket = std::move(s);
      return Status();
    }
    error = errno;
  }
  if (error == EADDRINUSE) {
    return Status(ErrorCode::kRuntime, cat("port ", port, " of ", host,
                                           " is in use by another process; set MASTER_PORT to a "
                                           "free one, the same on all ranks"));
  }
  if (error == EADDRNOTAVAIL) {
    return Status(ErrorCode::kRuntime, cat(host, " is no address of this machine (", host_name(),
                                           "), which rank 0 runs on; set MASTER_ADDR to one"));
  }
  return Status(ErrorCode::kRuntime,
                cat("cannot listen at ", host, ":", port, ": ", system_text(error)));
}

Status connect_to(const std::string& host, int port, const std::string& from, Deadline deadline,
                  Socket* socket) {
  std::string last = "no address";
  int pause = 10;
  for (;;) {
    Addresses found;
    if (Status s = resolve(host, port, false, &found); !s.ok()) last = s.message();
    for (const addrinfo* a = found.get(); a; a = a->ai_next) {
      if (connect_once(*a, from, deadline, socket)) return Status();
      last = system_text(errno);
    }
    if (stop_requested()) return Status(ErrorCode::kInterrupted, "interrupted");
    if (left_ms(deadline) == 0) return Status(ErrorCode::kRuntime, last);
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(pause, left_ms(deadline))));
    pause = std::min(pause * 2, 500);
  }
}

Status send_all(const Socket& socket, std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN || errno == EINTR) {
      RUTILE_RETURN_IF_ERROR(wait_ready(socket.fd(), POLLOUT, deadline));
    } else {
      return Status(ErrorCode::kRuntime, system_text(errno));
    }
  }
  return Status();
}

Status receive_all(const Socket& socket, char* bytes, size_t size, Deadline deadline) {
  while (size > 0) {
    const ssize_t n = ::recv(socket.fd(), bytes, size, MSG_DONTWAIT);
    if (n > 0) {
      bytes += n;
      size -= static_cast<size_t>(n);
    } else if (n == 0) {
      return Status(ErrorCode::kRuntime, "the other side closed the connection");
    } else if (errno == EAGAIN || errno == EINTR) {
      RUTILE_RETURN_IF_ERROR(wait_ready(socket.fd(), POLLIN, deadline));
    } else {
      return Status(ErrorCode::kRuntime, system_text(errno));
    }
  }
  return Status();
}

namespace {

std::string text_of(const sockaddr* a) {
  char text[INET6_ADDRSTRLEN] = "";
  if (a->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(a)->sin_addr, text, sizeof text);
  } else if (a->sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(a)->sin6_addr, text, sizeof text);
  }
  return text;
}

}  // namespace

int port_of(const Socket& socket) {
  sockaddr_storage a{};
  socklen_t size = sizeof a;
  if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&a), &size) != 0) return 0;
  return ntohs(a.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&a)->sin6_port
                                       : reinterpret_cast<sockaddr_in*>(&a)->sin_port);
}

std::string local_address(const Socket& socket) {
  sockaddr_storage a{};
  socklen_t size = sizeof a;
  if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&a), &size) != 0) return "";
  return text_of(reinterpret_cast<sockaddr*>(&a));
}

Status interface_address(const std::string& name, std::string* address) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return Status(ErrorCode::kRuntime, system_text(errno));
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  std::string known;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const ifaddrs* i = list; i; i = i->ifa_next) {
      if (!i->ifa_addr || i->ifa_addr->sa_family != family) continue;
      if (name == i->ifa_name) {
        *address = text_of(i->ifa_addr);
        return Status();
      }
      if (known.find(i->ifa_name) == std::string::npos) {
        known += cat(known.empty() ? "" : ", ", i->ifa_name);
      }
    }
  }
  return value_error(
      cat("there is no network interface '", name, "' with an address; there are: ", known));
}

namespace {

bool is_loopback(const sockaddr* a) {
  if (a->sa_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in*>(a)->sin_addr.s_addr) >> 24 == 127;
  }
  return a->sa_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(a)->sin6_addr);
}

bool is_number(const std::string& host) {
  in6_addr any;
  return inet_pton(AF_INET, host.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

// Nothing is sent: the system is asked which address it would send from.
std::string address_of_default_route() {
  Addresses far;  // of RFC 5737, which belongs to nobody
  if (!resolve("192.0.2.1", 9, false, &far).ok()) return "";
  const Socket s(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!s || ::connect(s.fd(), far->ai_addr, far->ai_addrlen) != 0) return "";
  return local_address(s);
}

std::string address_of_any_interface() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return "";
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  for (const ifaddrs* i = list; i; i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP)) continue;
    if (!is_loopback(i->ifa_addr)) return text_of(i->ifa_addr);
  }
  return "";
}

}  // namespace

std::string outside_address(const std::string& host) {
  Addresses found;
  if (host == "localhost" || is_number(host) || !resolve(host, 0, false, &found).ok()) return host;
  for (const addrinfo* a = found.get(); a; a = a->ai_next) {
    if (!is_loopback(a->ai_addr)) return host;
  }
  for (const std::string& address : {address_of_default_route(), address_of_any_interface()}) {
    if (!address.empty() && !address.starts_with("127.")) return address;
  }
  return host;
}

bool closed(const Socket& socket) {
  char byte;
  const ssize_t n = ::recv(socket.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

Status reserve_port(const std::string& host, Socket* socket) {
  Addresses found;
  RUTILE_RETURN_IF_ERROR(resolve(host, 0, true, &found));
  for (const addrinfo* a = found.get(); a; a = a->ai_next) {
    Socket s(::socket(a->ai_family, a->ai_socktype, a->ai_protocol));
    if (!s) continue;
    set_options(s.fd());
    const int on = 1;
    setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(s.fd(), a->ai_addr, a->ai_addrlen) != 0) continue;
    *socket = std::move(s);
    return Status();
  }
  return Status(ErrorCode::kRuntime, cat("no free port of ", host, ": ", system_text(errno)));
}

std::string host_name() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace rutile::dist
