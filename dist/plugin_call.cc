// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/plugin_call.h"

namespace rutile::dist {

Status call_plugin(const CommFunctions& f, void* comm, const Collective& c, void* stream) {
  const int64_t n = c.shape.numel();
  switch (c.kind) {
    case CollectiveKind::kAllReduce:
      return f.all_reduce(comm, c.in, c.out, n, c.dtype, c.reduce, stream);
    case CollectiveKind::kAllGather:
      return f.all_gather(comm, c.in, c.out, n, c.dtype, stream);
    case CollectiveKind::kReduceScatter:
      return f.reduce_scatter(comm, c.in, c.out, n, c.dtype, c.reduce, stream);
    case CollectiveKind::kAllToAll:
      return f.all_to_all(comm, c.in, c.out, n, c.dtype, stream);
    case CollectiveKind::kBroadcast:
      return f.broadcast(comm, c.out, n, c.dtype, c.peer, stream);
    case CollectiveKind::kBarrier:
    case CollectiveKind::kSend:
    case CollectiveKind::kRecv:
      break;
  }
  return Status(ErrorCode::kUnsupported, cat(collective_name(c.kind), " takes memory of the host"));
}

}  // namespace rutile::dist
