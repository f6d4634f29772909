// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/dist/wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <random>
#include <stdexcept>

#include "rutile/core/strings.h"

namespace rutile::test {

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(cat(what, ": ", std::strerror(errno)));
}

void write_file(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY);
  if (fd < 0) return;  // where it is not there it is not needed
  if (::write(fd, text.data(), text.size()) < 0) {
    ::close(fd);
    fail(path);
  }
  ::close(fd);
}

void set_up(int socket, const char* device) {
  ifreq r{};
  std::strncpy(r.ifr_name, device, IFNAMSIZ - 1);
  if (::ioctl(socket, SIOCGIFFLAGS, &r) != 0) fail(cat("flags of ", device));
  r.ifr_flags = static_cast<short>(r.ifr_flags | IFF_UP | IFF_RUNNING);
  if (::ioctl(socket, SIOCSIFFLAGS, &r) != 0) fail(cat("starting ", device));
}

void set_address(int socket, const char* device, unsigned long request, const std::string& text) {
  ifreq r{};
  std::strncpy(r.ifr_name, device, IFNAMSIZ - 1);
  auto* a = reinterpret_cast<sockaddr_in*>(&r.ifr_addr);
  a->sin_family = AF_INET;
  ::inet_pton(AF_INET, text.c_str(), &a->sin_addr);
  if (::ioctl(socket, request, &r) != 0) fail(cat("address of ", device));
}

// This process into a namespace of its own; returns its only device to others.
int enter(const std::string& address) {
  const uid_t user = ::getuid();
  const gid_t group = ::getgid();
  if (::unshare(CLONE_NEWNET) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) fail("a network namespace");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", cat("0 ", user, " 1"));
    write_file("/proc/self/gid_map", cat("0 ", group, " 1"));
  }
  const int tun = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (tun < 0) fail("/dev/net/tun");
  ifreq r{};
  std::strncpy(r.ifr_name, Wire::kDevice, IFNAMSIZ - 1);
  r.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(tun, TUNSETIFF, &r) != 0) fail("a tun device");
  const int s = ::socket(AF_INET, SOCK_DGRAM, 0);
  if (s < 0) fail("a socket");
  set_up(s, "lo");
  set_address(s, Wire::kDevice, SIOCSIFADDR, address);
  set_address(s, Wire::kDevice, SIOCSIFNETMASK, "255.255.255.0");
  set_up(s, Wire::kDevice);
  ::close(s);
  return tun;
}

// Over a socket between processes; -1 if none came.
bool send_fd(int socket, int fd) {
  char byte = 'd', control[CMSG_SPACE(sizeof fd)] = {};
  iovec io{&byte, 1};
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  return ::sendmsg(socket, &m, 0) == 1;
}

int receive_fd(int socket) {
  char byte, control[CMSG_SPACE(sizeof(int))] = {};
  iovec io{&byte, 1};
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  if (::recvmsg(socket, &m, MSG_DONTWAIT) != 1) return -1;
  const cmsghdr* c = CMSG_FIRSTHDR(&m);
  if (!c || c->cmsg_type != SCM_RIGHTS) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return fd;
}

}  // namespace

Wire::Wire(int hosts) {
  for (int h = 0; h < hosts; ++h) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) fail("a socket pair");
    ours_.push_back(pair[0]);
    theirs_.push_back(pair[1]);
  }
}

Wire::~Wire() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  for (const auto* ends : {&ours_, &theirs_}) {
    for (const int fd : *ends) ::close(fd);
  }
}

std::string Wire::address(int host) { return cat("10.77.0.", host + 1); }

std::string Wire::unavailable() {
  static const std::string reason = [] {
    int fds[2];
    if (::pipe(fds) != 0) return std::string("no pipe");
    const pid_t pid = ::fork();
    if (pid == 0) {
      std::string text;
      try {
        enter(address(0));
      } catch (const std::exception& e) {
        text = e.what();
      }
      (void)!::write(fds[1], text.data(), text.size());
      ::_exit(0);
    }
    ::close(fds[1]);
    char buffer[512];
    std::string text;
    for (ssize_t n; (n = ::read(fds[0], buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<size_t>(n));
    }
    ::close(fds[0]);
    ::waitpid(pid, nullptr, 0);
    return text;
  }();
  return reason;
}

void Wire::join(int host) {
  const int tun = enter(address(host));
  const bool sent = send_fd(theirs_[static_cast<size_t>(host)], tun);
  ::close(tun);
  if (!sent) fail("handing over the device");
}

void Wire::carry(const Quality& quality) {
  thread_ = std::thread([this, quality] { run(quality); });
}

void Wire::run(Quality quality) {
  struct Packet {
    size_t to;
    std::string bytes;
  };
  const size_t hosts = ours_.size();
  std::vector<int> devices(hosts, -1);
  std::multimap<Clock::time_point, Packet> under_way;
  std::mt19937 random(7);
  std::uniform_real_distribution<double> chance(0, 1);
  char buffer[65536];
  while (!stop_) {
    for (size_t h = 0; h < hosts; ++h) {
      if (devices[h] < 0) devices[h] = receive_fd(ours_[h]);
    }
    int wait_ms = 20;
    if (!under_way.empty()) {
      const std::chrono::duration<double, std::milli> left =
          under_way.begin()->first - Clock::now();
      wait_ms = std::max(0, std::min(wait_ms, static_cast<int>(left.count() + 0.5)));
    }
    std::vector<pollfd> polls;
    for (size_t h = 0; h < hosts; ++h) polls.push_back({devices[h], POLLIN, 0});
    ::poll(polls.data(), polls.size(), wait_ms);
    for (size_t h = 0; h < hosts; ++h) {
      if (!(polls[h].revents & POLLIN)) continue;
      for (ssize_t n; (n = ::read(devices[h], buffer, sizeof buffer)) > 0;) {
        // IPv4 of this network; the last byte of the destination says where to.
        if (n < 20 || (buffer[0] >> 4 & 15) != 4) continue;
        const size_t to = static_cast<size_t>(static_cast<unsigned char>(buffer[19])) - 1;
        const int gone = cut_;
        if (to >= hosts) continue;
        if (chance(random) < quality.loss || static_cast<int>(h) == gone ||
            static_cast<int>(to) == gone) {
          ++lost_;
          continue;
        }
        const double ms = quality.delay_ms + quality.jitter_ms * chance(random);
        under_way.emplace(Clock::now() + std::chrono::microseconds(static_cast<int64_t>(ms * 1e3)),
                          Packet{to, std::string(buffer, static_cast<size_t>(n))});
      }
    }
    while (!under_way.empty() && under_way.begin()->first <= Clock::now()) {
      const Packet& p = under_way.begin()->second;
      if (devices[p.to] >= 0 && ::write(devices[p.to], p.bytes.data(), p.bytes.size()) > 0) {
        ++carried_;
      }
      under_way.erase(under_way.begin());
    }
  }
  for (const int fd : devices) {
    if (fd >= 0) ::close(fd);
  }
}

}  // namespace rutile::test
