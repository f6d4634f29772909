// SPDX-License-Identifier: Apache-2.0
// The options that all programs share, and main() around them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rutile/nn/train_step.h"

namespace rutile::apps {

// Defaults for one data set. An image size of 0 is that of a program without images.
struct Recipe {
  std::string dataset;
  int64_t image_size = 28, batch_size = 64, epochs = 1, steps = 0;
  std::string precision = "fp32";
  double lr = 0.01;
};

// An option that only one program has.
struct ExtraOption {
  std::string name, help, initial;  // "--layers", "blocks", "12"
  bool number = true;               // a whole number above 0
};

struct Program {
  std::string name;             // "resnet50"
  std::string description;      // one line for --help
  std::vector<Recipe> recipes;  // the first is the default data set
  std::string other_dataset;    // what else --dataset takes ("a text file"), with the last recipe
  std::vector<ExtraOption> extras = {};
};

// With the recipe's values where the user gave none.
struct Options {
  std::string program;
  Recipe recipe;
  std::string dataset, data, mode, precision, device, remat, checkpoint, json;
  int64_t image_size = 0, batch_size = 0, epochs = 0, steps = 0, checkpoint_steps = 0;
  int64_t compare_ranks = 0;
  double lr = 0;
  uint64_t seed = 0;
  int threads = 0, workers = 1, ranks = 0, restarts = 0;
  bool resume = false, shard_optimizer = false;
  bool explain = false;
  std::string explain_folder;  // for its files; may be empty

  std::map<std::string, std::string> extras;

  // Of an option of Program::extras.
  const std::string& extra(const std::string& name) const { return extras.at(name); }
  int64_t extra_number(const std::string& name) const { return std::stoll(extra(name)); }
  bool synthetic() const { return dataset == "synthetic"; }
  bool graph() const { return mode == "graph"; }
  nn::StepOptions step_options() const;
  // Steps of a synthetic run before the `steps` measured ones: as many as in a common benchmark,
  // the first of all included.
  int64_t warm_up_steps() const;
};

// Reads the arguments, sets seed and threads, runs `body` and turns what it throws into one line on
// standard error and an exit code: 0 done, 1 error, 2 wrong arguments, 130 interrupted.
int run_program(int argc, char** argv, const Program& program,
                const std::function<void(const Options&)>& body);

}  // namespace rutile::apps
