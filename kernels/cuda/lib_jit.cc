// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <mutex>

#include "rutile/core/device_runtime.h"
#include "rutile/core/log.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/jit.h"
#include "rutile/kernels/cuda/kernel_cache.h"
#include "rutile/kernels/cuda/rtc.h"
#include "rutile/kernels/cuda/runtime.h"

namespace rutile::cuda {
namespace {

int arch_of(Device device) {
  const DeviceInfo& info = device_runtime(device).info();
  return 10 * info.compute_major + info.compute_minor;
}

const KernelCache& cache() {
  static const KernelCache* const c = [] {
    auto* made = new KernelCache(default_cache_folder());
    if (!made->failure().empty()) {
      log_line(LogTopic::kDispatch, cat("compiled kernels are not kept: ", made->failure()));
    }
    return made;
  }();
  return *c;
}

// Threads of such blocks on one multiprocessor, in per cent of the most.
int occupancy(cudaKernel_t kernel, int threads, int most) {
  int blocks = 0;
  if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, reinterpret_cast<const void*>(kernel),
                                                    threads, 0) != cudaSuccess) {
    (void)cudaGetLastError();
    return 0;
  }
  return most > 0 ? 100 * blocks * threads / most : 0;
}

class Module final : public JitModule {
 public:
  Status load(const Generated& g, const Compiled& compiled, int device) {
    cudaLibrary_t library = nullptr;
    // Never unloaded: captured graphs refer to its kernels.
    RUTILE_RETURN_IF_ERROR(launch_status(cudaLibraryLoadData(
        &library, compiled.code.data(), nullptr, nullptr, 0, nullptr, nullptr, 0)));
    int most = 0;
    (void)cudaDeviceGetAttribute(&most, cudaDevAttrMaxThreadsPerMultiProcessor, device);
    const std::vector<KernelResources> resources = resources_of(compiled.log);
    for (const GeneratedLaunch& l : g.launches) {
      cudaKernel_t kernel = nullptr;
      RUTILE_RETURN_IF_ERROR(launch_status(cudaLibraryGetKernel(&kernel, library, l.name.c_str())));
      kernels_.push_back({kernel, {.x = l.blocks, .y = l.rows_of_blocks, .threads = l.threads}});
      for (const KernelResources& r : resources) {
        if (r.name != l.name) continue;
        resources_ += cat(resources_.empty() ? "" : "\n", describe(r), ", ",
                          occupancy(kernel, l.threads, most), " % of a multiprocessor's threads");
      }
    }
    return Status();
  }
  Status launch(size_t n, void** args, Stream stream) const override {
    const Kernel& k = kernels_[n];
    return launch_status(launch_raw(reinterpret_cast<const void*>(k.kernel), k.grid, stream, args));
  }
  std::string resources() const override { return resources_; }

 private:
  struct Kernel {
    cudaKernel_t kernel;
    Grid grid;
  };
  std::vector<Kernel> kernels_;
  std::string resources_;
};

}  // namespace

Status jit_ready(Device device) {
  if (arch_of(device) < 80) {
    return Status(ErrorCode::kUnsupported, "compiles kernels for compute capability 8.0 and newer");
  }
  return rtc_available();
}

Status jit_load(const Generated& g, Device device, std::shared_ptr<const JitModule>* out) {
  static std::mutex mutex;
  static auto* const all = new std::map<std::string, std::shared_ptr<const JitModule>>();
  const std::string key = cat(device.index, " ", g.name);
  const std::lock_guard lock(mutex);
  if (const auto at = all->find(key); at != all->end()) {
    *out = at->second;
    return Status();
  }
  const RelaxedCapture relaxed;
  const int arch = arch_of(device);
  const std::string conditions = rtc_conditions(arch) + g.source;
  Compiled compiled;
  auto module = std::make_shared<Module>();
  const bool kept = cache().find(conditions, &compiled);
  // What does not load is compiled anew.
  if (!kept || !module->load(g, compiled, device.index).ok()) {
    RUTILE_RETURN_IF_ERROR(rtc_compile(g.name, g.source, arch, &compiled));
    cache().put(conditions, compiled);
    module = std::make_shared<Module>();
    RUTILE_RETURN_IF_ERROR(module->load(g, compiled, device.index));
  }
  all->emplace(key, module);
  *out = std::move(module);
  return Status();
}

}  // namespace rutile::cuda
