// SPDX-License-Identifier: Apache-2.0
// Which rank this process is, and where to meet the others, as the program that started it says by
// environment variables. Read in this order, the first launcher that set any of its own counts:
//
//   torchrun, rutile.launch   RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT
//   Open MPI's mpirun         OMPI_COMM_WORLD_RANK _SIZE _LOCAL_RANK _LOCAL_SIZE
//   MPICH and others (PMI)    PMI_RANK PMI_SIZE (MPI_LOCALRANKID MPI_LOCALNRANKS)
//   srun                      SLURM_PROCID SLURM_NTASKS SLURM_LOCALID (with SLURM_STEP_ID; under
//   its
//                             pmi2 plugin too, which sets PMI_RANK and PMI_SIZE)
//   MindSpore                 RANK_ID RANK_SIZE DEVICE_ID; msrun: MS_WORKER_NUM MS_NODE_ID
//                             MS_SCHED_HOST MS_SCHED_PORT
//
// MASTER_ADDR and MASTER_PORT always say where rank 0 is. Without them mpirun's ranks on one host
// meet at 127.0.0.1, srun's on the first host of the job, both at a port made of the job's number;
// MPICH's mpiexec gives its jobs none, so there MASTER_PORT has to be set.
// RUTILE_STORE=file:///shared/folder meets there instead.
#pragma once

#include <string>

#include "rutile/core/api.h"
#include "rutile/core/error.h"

namespace rutile::dist {

struct LaunchInfo {
  std::string launcher = "none";  // "torchrun", "mpirun", "PMI", "srun", "MindSpore"
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // among the ranks of this host
  std::string address;                 // of rank 0
  int port = 0;
  std::string folder;     // of RUTILE_STORE
  std::string interface;  // RUTILE_SOCKET_IFNAME, GLOO_SOCKET_IFNAME
  std::string secret;     // RUTILE_SECRET
  bool operator==(const LaunchInfo&) const = default;
};

// Without any launcher: rank 0 of 1. Error{kValue} that names a variable which is missing, one that
// is no number or out of range, or a secret that is empty.
RUTILE_API Status read_launch(LaunchInfo* info);

// How often the launcher has started this job before, because a rank failed: of torchrun,
// rutile.launch and the programs' --restarts TORCHELASTIC_RESTART_COUNT, of Slurm's requeue
// SLURM_RESTART_COUNT. 0 where nothing says so, as in an MPIJob, whose programs look for a
// checkpoint whenever they start.
RUTILE_API int restart_count();

// "node[03-05,07],login" -> "node03"
RUTILE_API std::string first_host(const std::string& nodelist);

}  // namespace rutile::dist
