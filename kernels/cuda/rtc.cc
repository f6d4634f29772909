// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/cuda/rtc.h"

#include <cstdlib>
#include <mutex>
#include <vector>

#include "rutile/core/strings.h"
#include "rutile/kernels/cuda/codegen_text.h"
#include "rutile/kernels/cuda/libraries.h"

namespace rutile::cuda {
namespace {

constexpr const char* kFile = "libnvrtc.so.13";
constexpr const char* kOptions[] = {"--std=c++20", "--device-as-default-execution-space",
                                    "-Xptxas=-v"};

// As nvrtc.h declares them.
using Program = struct ProgramTag*;
struct Nvrtc {
  Status status;
  int (*version)(int*, int*) = nullptr;
  int (*create)(Program*, const char*, const char*, int, const char* const*,
                const char* const*) = nullptr;
  int (*destroy)(Program*) = nullptr;
  int (*compile)(Program, int, const char* const*) = nullptr;
  int (*code_size)(Program, size_t*) = nullptr;
  int (*code)(Program, char*) = nullptr;
  int (*log_size)(Program, size_t*) = nullptr;
  int (*log)(Program, char*) = nullptr;
  int (*count_archs)(int*) = nullptr;
  int (*archs)(int*) = nullptr;
};

Nvrtc open_nvrtc() {
  Nvrtc n;
  const Library& l = open_library(kFile);
  if (!l.handle) {
    n.status = Status(ErrorCode::kUnsupported, cat("compiling kernels ", l.failure));
    return n;
  }
  const auto get = [&](auto& f, const char* name) {
    f = reinterpret_cast<std::remove_reference_t<decltype(f)>>(library_symbol(l, name));
    if (!f && n.status.ok()) {
      n.status = Status(ErrorCode::kUnsupported, cat(kFile, " lacks ", name));
    }
  };
  get(n.version, "nvrtcVersion");
  get(n.create, "nvrtcCreateProgram");
  get(n.destroy, "nvrtcDestroyProgram");
  get(n.compile, "nvrtcCompileProgram");
  get(n.code_size, "nvrtcGetCUBINSize");
  get(n.code, "nvrtcGetCUBIN");
  get(n.log_size, "nvrtcGetProgramLogSize");
  get(n.log, "nvrtcGetProgramLog");
  get(n.count_archs, "nvrtcGetNumSupportedArchs");
  get(n.archs, "nvrtcGetSupportedArchs");
  return n;
}

const Nvrtc& nvrtc() {
  static const Nvrtc* const n = new Nvrtc(open_nvrtc());
  return *n;
}

bool knows(int arch) {
  int n = 0;
  if (nvrtc().count_archs(&n) != 0 || n <= 0) return false;
  std::vector<int> all(static_cast<size_t>(n));
  if (nvrtc().archs(all.data()) != 0) return false;
  for (const int a : all) {
    if (a == arch) return true;
  }
  return false;
}

// The number in front of `what`; 0 if there is none.
int number_before(const std::string& line, const char* what) {
  const size_t at = line.find(what);
  if (at == std::string::npos || at == 0) return 0;
  size_t begin = at;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  return std::atoi(line.substr(begin, at - begin).c_str());
}

}  // namespace

Status rtc_available() {
  const Status& s = nvrtc().status;
  return s.ok() ? Status() : Status(s.code(), s.message());
}

std::string rtc_version() {
  int major = 0, minor = 0;
  if (!nvrtc().status.ok() || nvrtc().version(&major, &minor) != 0) return "";
  return cat(major, ".", minor);
}

std::string rtc_conditions(int arch) {
  std::string text = cat("sm_", arch, " nvrtc ", rtc_version());
  for (const char* o : kOptions) text += cat(" ", o);
  std::string headers;
  for (const RtcHeader& h : rtc_headers()) headers += cat(h.name, "\n", h.text, "\n");
  return cat(text, " headers ", hash_name(headers), "\n");
}

Status rtc_compile(const std::string& name, const std::string& source, int arch, Compiled* out) {
  RUTILE_RETURN_IF_ERROR(rtc_available());
  const Nvrtc& n = nvrtc();
  if (!knows(arch)) {
    return Status(ErrorCode::kUnsupported, cat(kFile, " ", rtc_version(), " knows no sm_", arch));
  }
  std::vector<const char*> names, texts;
  for (const RtcHeader& h : rtc_headers()) {
    names.push_back(h.name);
    texts.push_back(h.text);
  }
  Program p = nullptr;
  const std::string file = name + ".cu", gpu = cat("--gpu-architecture=sm_", arch);
  if (n.create(&p, source.c_str(), file.c_str(), static_cast<int>(names.size()), texts.data(),
               names.data()) != 0) {
    return Status(ErrorCode::kInternal, cat("NVRTC takes no source of ", name));
  }
  std::vector<const char*> options{gpu.c_str()};
  options.insert(options.end(), std::begin(kOptions), std::end(kOptions));
  const int code = n.compile(p, static_cast<int>(options.size()), options.data());
  size_t size = 0;
  if (n.log_size(p, &size) == 0 && size > 1) {
    out->log.resize(size);
    if (n.log(p, out->log.data()) != 0) out->log.clear();
    while (!out->log.empty() && out->log.back() == '\0') out->log.pop_back();
  }
  Status s;
  if (code != 0) {
    s = Status(ErrorCode::kInternal,
               cat("NVRTC compiles ", name, " not (please report it): ", out->log.substr(0, 2000)));
  } else if (n.code_size(p, &size) == 0 && size > 0) {
    out->code.resize(size);
    if (n.code(p, out->code.data()) != 0) out->code.clear();
  }
  if (s.ok() && out->code.empty()) {
    s = Status(ErrorCode::kInternal, cat("NVRTC gives no code of ", name));
  }
  (void)n.destroy(&p);
  return s;
}

std::vector<KernelResources> resources_of(const std::string& log) {
  std::vector<KernelResources> all;
  for (size_t begin = 0; begin < log.size();) {
    const size_t end = std::min(log.find('\n', begin), log.size());
    const std::string line = log.substr(begin, end - begin);
    begin = end + 1;
    constexpr std::string_view kEntry = "Compiling entry function '";
    if (const size_t at = line.find(kEntry); at != std::string::npos) {
      const size_t name = at + kEntry.size();
      all.emplace_back().name = line.substr(name, line.find('\'', name) - name);
    } else if (!all.empty()) {
      KernelResources& r = all.back();
      r.stack_bytes = std::max(r.stack_bytes, number_before(line, " bytes stack frame"));
      r.spilled_bytes = std::max(r.spilled_bytes, number_before(line, " bytes spill stores"));
      r.registers = std::max(r.registers, number_before(line, " registers"));
      r.shared_bytes = std::max(r.shared_bytes, number_before(line, " bytes smem"));
    }
  }
  return all;
}

std::string describe(const KernelResources& r) {
  return cat(r.name, ": ", r.registers, " registers, ", r.spilled_bytes, " bytes spilled, ",
             r.shared_bytes, " bytes of shared memory");
}

}  // namespace rutile::cuda
