// SPDX-License-Identifier: Apache-2.0
#include "rutile/tests/e2e/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "rutile/tests/support/temp_dir.h"

namespace rutile::testing {
namespace {

std::string bin(const std::string& name) {
  return name.find('/') != name.npos ? name : std::string(RUTILE_BIN_DIR) + "/" + name;
}

std::string temp_file() {
  std::string path = (std::filesystem::temp_directory_path() / "rutile-e2e-XXXXXX").string();
  const int fd = ::mkstemp(path.data());
  EXPECT_GE(fd, 0);
  ::close(fd);
  return path;
}

// In the child: nothing here allocates.
[[noreturn]] void start(const Command& r, char* const* argv, char* const* envp, const char* out,
                        const char* err) {
  ::dup2(::open("/dev/null", O_RDONLY), 0);
  ::dup2(::open(out, O_WRONLY | O_TRUNC), 1);
  ::dup2(::open(err, O_WRONLY | O_TRUNC), 2);
  for (const int number : {SIGINT, SIGHUP}) ::signal(number, SIG_DFL);  // nohup ignores them
  if (r.file_limit > 0) {
    const rlimit limit{static_cast<rlim_t>(r.file_limit), static_cast<rlim_t>(r.file_limit)};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::execve(argv[0], argv, envp);
  ::_exit(127);
}

void append_big_endian(std::string* s, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) *s += static_cast<char>(v >> shift & 255);
}

}  // namespace

std::string Outcome::last_line() const {
  const size_t end = out.find_last_not_of('\n');
  if (end == std::string::npos) return "";
  const size_t begin = out.rfind('\n', end);
  return out.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

bool has_program(const std::string& name) { return ::access(bin(name).c_str(), X_OK) == 0; }

std::string program_path(const std::string& name) {
  return std::filesystem::absolute(bin(name)).string();
}

std::string find_program(const std::string& name, const char* variable) {
  if (const char* given = std::getenv(variable)) return given;
  std::istringstream path(std::getenv("PATH") ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(path, folder, ':');) {
    const std::string candidate = folder + "/" + name;
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

Process::Process(const Command& r) : out_path_(temp_file()), err_path_(temp_file()) {
  std::vector<std::string> args = r.args;
  args.insert(args.begin(), bin(r.program));
  std::vector<std::string> env;
  for (char** e = environ; *e != nullptr; ++e) {
    const std::string entry = *e;
    if (entry.starts_with("RUTILE_") || r.env.contains(entry.substr(0, entry.find('=')))) continue;
    env.push_back(entry);
  }
  for (const auto& [key, value] : r.env) env.push_back(key + "=" + value);
  env.push_back("OMP_WAIT_POLICY=passive");  // other tests want the processors, too
  std::vector<char*> argv, envp;
  for (std::string& a : args) argv.push_back(a.data());
  for (std::string& e : env) envp.push_back(e.data());
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) start(r, argv.data(), envp.data(), out_path_.c_str(), err_path_.c_str());
}

Process::~Process() {
  if (!reaped_) {
    signal(SIGKILL);
    wait();
  }
  std::filesystem::remove(out_path_);
  std::filesystem::remove(err_path_);
}

void Process::signal(int number) {
  if (!reaped_) ::kill(pid_, number);
}

bool Process::running() {
  if (!reaped_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
  return !reaped_;
}

std::string Process::output() const { return read_text(out_path_); }

bool Process::wait_for(const std::string& text, double seconds) {
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    const bool runs = running();
    if (output().find(text) != std::string::npos) return true;
    const auto passed = std::chrono::steady_clock::now() - start;
    if (!runs || std::chrono::duration<double>(passed).count() > seconds) return false;
    ::usleep(2000);
  }
}

Outcome Process::wait() {
  if (!reaped_) ::waitpid(pid_, &status_, 0);
  reaped_ = true;
  Outcome o;
  o.code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  o.out = output();
  o.err = read_text(err_path_);
  return o;
}

Outcome run(const Command& r) { return Process(r).wait(); }

void write_fashion_mnist(const std::string& folder, int train, int test) {
  for (const auto& [prefix, count] : {std::pair{"/train", train}, std::pair{"/t10k", test}}) {
    std::string images, labels;
    append_big_endian(&images, 0x00000803);
    for (const int n : {count, 28, 28}) append_big_endian(&images, static_cast<uint32_t>(n));
    append_big_endian(&labels, 0x00000801);
    append_big_endian(&labels, static_cast<uint32_t>(count));
    for (int i = 0; i < count; ++i) {
      const int label = (i * 7 + i / 10) % 10;
      labels += static_cast<char>(label);
      for (int p = 0; p < 28 * 28; ++p) {  // a bright band for each class, and a little texture
        const bool bright = p / 28 * 10 / 28 == label;
        images += static_cast<char>((bright ? 200 : 20) + (p * 31 + i * 17) % 50);
      }
    }
    write_text(folder + prefix + "-images-idx3-ubyte", images);
    write_text(folder + prefix + "-labels-idx1-ubyte", labels);
  }
}

}  // namespace rutile::testing
