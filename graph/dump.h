// SPDX-License-Identifier: Apache-2.0
// The IR after each pass, in files: RUTILE_DUMP=<folder>, or CompileOptions::dump. Each compilation
// gets a folder of its own, <folder>/training_step_1, with 00_traced.txt and .dot, 01_dce.txt, ...
#pragma once

#include <string>
#include <string_view>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

class Dump {
 public:
  // `folder` empty: that of RUTILE_DUMP; without one nothing is written. A folder that cannot be
  // written is a warning, and nothing more is written: a compilation never fails for its dump.
  Dump(std::string folder, std::string_view name);
  bool on() const { return !path_.empty(); }
  // <number>_<step>.txt and .dot, each complete or absent.
  void write(std::string_view step, const Graph& g);

 private:
  std::string path_;
  int next_ = 0;
};

// `name` as part of a file name: letters, digits, '-', '.' and '_'.
RUTILE_API std::string file_name_of(std::string_view name);

}  // namespace rutile::graph
