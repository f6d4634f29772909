// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/launch.h"

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "rutile/ops/attrs.h"

namespace rutile::dist {

namespace {

const char* variable(const char* name) {
  const char* v = std::getenv(name);
  return v && *v ? v : nullptr;
}

Status parse_number(const char* name, const char* text, int low, int high, int* value) {
  const char* end = text + std::strlen(text);
  const auto [p, error] = std::from_chars(text, end, *value);
  if (error != std::errc() || p != end || *value < low || *value > high) {
    return value_error(cat(name, "='", text, "' is no number from ", low, " to ", high));
  }
  return Status();
}

constexpr int kMost = 1 << 20;

// What a launcher calls things; null where it says nothing.
struct Names {
  const char* launcher;
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
  const char* sign;  // without which these variables mean nothing
};
constexpr Names kLaunchers[] = {
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", nullptr},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE", nullptr},
    {"PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", nullptr},
    // A batch script sees the job's variables too, but no step's.
    {"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE",
     "SLURM_STEP_ID"},
    {"MindSpore", "RANK_ID", "RANK_SIZE", "DEVICE_ID", nullptr, nullptr},
    {"msrun", "MS_NODE_ID", "MS_WORKER_NUM", nullptr, nullptr, "MS_SCHED_HOST"},
};

// Slurm's pmi2 plugin sets variables of PMI too, which know nothing of hosts. mpiexec under Slurm
// says MPI_LOCALRANKID.
bool of_slurm(const Names& n) {
  return std::strcmp(n.launcher, "PMI") == 0 && variable("SLURM_STEP_ID") &&
         variable("SLURM_PROCID") && !variable("MPI_LOCALRANKID");
}

Status read_names(const Names& n, LaunchInfo* info) {
  const char *rank = variable(n.rank), *size = variable(n.size);
  if (!rank || !size) {
    return value_error(cat(rank ? n.size : n.rank, " is not set, but ", rank ? n.rank : n.size,
                           " is: both come from ", n.launcher));
  }
  RUTILE_RETURN_IF_ERROR(parse_number(n.size, size, 1, kMost, &info->size));
  RUTILE_RETURN_IF_ERROR(parse_number(n.rank, rank, 0, info->size - 1, &info->rank));
  info->local_rank = info->rank;
  info->local_size = info->size;
  const char* local = n.local_rank ? variable(n.local_rank) : nullptr;
  const char* locals = n.local_size ? variable(n.local_size) : nullptr;
  if (local) RUTILE_RETURN_IF_ERROR(parse_number(n.local_rank, local, 0, kMost, &info->local_rank));
  if (locals) {
    RUTILE_RETURN_IF_ERROR(parse_number(n.local_size, locals, 1, kMost, &info->local_size));
  } else if (local) {
    info->local_size = 1;  // nobody says
  }
  info->launcher = n.launcher;
  return Status();
}

// Ports that neither services nor the system's own choice use, by the number of a job.
int port_of_job(const char* job) {
  uint32_t h = 2166136261u;
  for (const char* c = job; c && *c; ++c) h = (h ^ static_cast<unsigned char>(*c)) * 16777619u;
  return 20000 + static_cast<int>(h % 10000);
}

Status missing(const LaunchInfo& info, const char* name, const char* cure) {
  return value_error(cat(name, " is not set: rank ", info.rank, " of ", info.size, " (started by ",
                         info.launcher, ") does not know where rank 0 is; ", cure));
}

Status read_meeting_point(LaunchInfo* info) {
  const char* address = variable("MASTER_ADDR");
  const char* port = variable("MASTER_PORT");
  if (info->launcher == "msrun") {
    if (!address) address = variable("MS_SCHED_HOST");
    if (!port) port = variable("MS_SCHED_PORT");
  }
  if (port) RUTILE_RETURN_IF_ERROR(parse_number("MASTER_PORT", port, 1, 65535, &info->port));
  if (address) info->address = address;
  if (info->launcher == "mpirun" || info->launcher == "PMI") {
    const char* job = variable("PMIX_NAMESPACE");
    if (!job) job = variable("OMPI_MCA_ess_base_jobid");
    if (!job) job = variable("PMI_PORT");
    if (info->address.empty() && info->local_size != info->size) {
      return missing(*info, "MASTER_ADDR", "pass it: mpirun -x MASTER_ADDR=<host of rank 0>");
    }
    if (info->address.empty()) info->address = "127.0.0.1";
    if (info->port == 0 && job) info->port = port_of_job(job);
  }
  if (info->launcher == "srun") {
    const char* hosts = variable("SLURM_STEP_NODELIST");
    if (!hosts) hosts = variable("SLURM_JOB_NODELIST");
    if (info->address.empty() && hosts) info->address = first_host(hosts);
    const char* job = variable("SLURM_JOB_ID");
    if (info->port == 0 && job) {
      info->port = port_of_job(cat(job, ".", variable("SLURM_STEP_ID")).c_str());
    }
  }
  if (info->address.empty()) {
    return missing(*info, "MASTER_ADDR", "set it to the address of rank 0's host");
  }
  if (info->port == 0) {
    return missing(*info, "MASTER_PORT", "set it to a free port of rank 0's host");
  }
  // torchrun's own store lives at MASTER_PORT and outlives the ranks.
  const char* agent = variable("TORCHELASTIC_USE_AGENT_STORE");
  if (agent && std::strcmp(agent, "True") == 0) {
    int restarts = 0;
    if (const char* text = variable("TORCHELASTIC_RESTART_COUNT")) {
      RUTILE_RETURN_IF_ERROR(parse_number("TORCHELASTIC_RESTART_COUNT", text, 0, kMost, &restarts));
    }
    info->port = 1024 + (info->port - 1024 + 1 + restarts) % (65536 - 1024);
  }
  return Status();
}

}  // namespace

std::string first_host(const std::string& nodelist) {
  const size_t end = nodelist.find_first_of(",[");
  const std::string prefix = nodelist.substr(0, end);
  if (end == std::string::npos || nodelist[end] == ',') return prefix;
  const size_t stop = nodelist.find_first_of(",-]", end);
  const size_t close = nodelist.find(']', end);
  if (stop == std::string::npos || close == std::string::npos) return prefix;
  const size_t next = nodelist.find(',', close);
  const std::string suffix =
      nodelist.substr(close + 1, next == std::string::npos ? next : next - close - 1);
  return prefix + nodelist.substr(end + 1, stop - end - 1) + suffix;
}

int restart_count() {
  for (const char* name : {"TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"}) {
    int n = 0;
    const char* text = variable(name);
    if (text && parse_number(name, text, 0, kMost, &n).ok()) return n;
  }
  return 0;
}

Status read_launch(LaunchInfo* info) {
  *info = LaunchInfo();
  if (const char* v = variable("RUTILE_SOCKET_IFNAME")) info->interface = v;
  if (const char* v = variable("GLOO_SOCKET_IFNAME"); v && info->interface.empty()) {
    info->interface = v;
  }
  if (const char* v = variable("RUTILE_SECRET")) info->secret = v;
  for (const Names& n : kLaunchers) {
    if (n.sign ? !variable(n.sign) : !variable(n.rank) && !variable(n.size)) continue;
    if (of_slurm(n)) continue;
    RUTILE_RETURN_IF_ERROR(read_names(n, info));
    break;
  }
  if (info->size == 1 && info->launcher != "torchrun") return Status();
  if (const char* v = std::getenv("RUTILE_SECRET"); v && !*v) {
    return value_error("RUTILE_SECRET is set, but empty: give it a value, or unset it");
  }
  if (const char* store = variable("RUTILE_STORE")) {
    if (std::strncmp(store, "file://", 7) != 0) {
      return value_error(cat("RUTILE_STORE='", store, "' expects file:///path/of/a/folder"));
    }
    info->folder = store + 7;
    // Each start of a job meets in a folder that nobody has used.
    if (const int n = restart_count(); n > 0) info->folder += cat("/restart-", n);
    return Status();
  }
  return info->size == 1 ? Status() : read_meeting_point(info);
}

}  // namespace rutile::dist
