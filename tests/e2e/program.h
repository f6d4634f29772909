// SPDX-License-Identifier: Apache-2.0
// Runs a program of bin/ as a user does and says how it ended.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

namespace rutile::testing {

struct Outcome {
  int code = -1;  // exit code; 128 + signal for a death by signal
  std::string out, err;
  // The last line of `out`.
  std::string last_line() const;
};

struct Command {
  std::string program;  // "resnet50" of bin/, or a path
  std::vector<std::string> args;
  std::map<std::string, std::string> env = {};
  long file_limit = 0;  // RLIMIT_FSIZE in bytes; 0: none
};

// True if the build has the program.
bool has_program(const std::string& name);
// Of a program of the system: what the variable says (RUTILE_TORCHRUN), else as in PATH; empty if
// there is none.
std::string find_program(const std::string& name, const char* variable);
// Of a program of bin/, absolute.
std::string program_path(const std::string& name);

// A started program. Its output goes into files, so that it never waits for a reader.
class Process {
 public:
  explicit Process(const Command& run);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  void signal(int number);
  bool running();
  pid_t pid() const { return pid_; }
  // What it has written to standard output so far.
  std::string output() const;
  // Waits at most this long for `text` in the output; false if it ended or time ran out.
  bool wait_for(const std::string& text, double seconds = 120);
  Outcome wait();

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
  int status_ = 0;
  std::string out_path_, err_path_;
};

Outcome run(const Command& r);

// A folder with a data set in the files of Fashion-MNIST: classes that can be told apart.
void write_fashion_mnist(const std::string& folder, int train, int test);

}  // namespace rutile::testing
