// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/group.h"
#include "rutile/dist/process_group.h"
#include "rutile/ops/view.h"

namespace rutile::dist {

namespace {

void check_peer(const Communicator& g, int peer) {
  if (peer < 0 || peer >= g.size() || peer == g.rank()) {
    throw_error(ErrorCode::kValue, cat("expects another rank of group '", g.name(), "' (", g.size(),
                                       " ranks, this is ", g.rank(), "), got ", peer));
  }
}

Collective sending(const Tensor& plain, int to) {
  return {.kind = CollectiveKind::kSend,
          .dtype = plain.dtype(),
          .shape = plain.shape(),
          .in = plain.data(),
          .peer = to};
}

Collective receiving(const Tensor& x, int from) {
  return {.kind = CollectiveKind::kRecv,
          .dtype = x.dtype(),
          .shape = x.shape(),
          .out = x.impl()->data,
          .peer = from};
}

}  // namespace

struct Message::Impl {
  std::shared_ptr<ProcessGroup> group;
  ProcessGroup::Ticket ticket;
};

void Message::wait() const {
  if (impl_) throw_if_error(impl_->group->wait(impl_->ticket));
}
bool Message::done() const { return !impl_ || impl_->group->finished(impl_->ticket); }

void send(const Tensor& x, int to, const std::string& group) {
  const auto g = communicator(group);
  check_peer(*g, to);
  throw_if_error(g->run(sending(ops::contiguous(x.to(kCpu)), to)));
}

Tensor receive(const Shape& shape, DType dtype, int from, const std::string& group) {
  const auto g = communicator(group);
  check_peer(*g, from);
  Tensor x = Tensor::empty(shape, dtype);
  throw_if_error(g->run(receiving(x, from)));
  return x;
}

Message Message::start(const std::string& group, const Collective& c, const Tensor& memory) {
  auto impl = std::make_shared<Impl>();
  impl->group = std::dynamic_pointer_cast<ProcessGroup>(communicator(group));
  if (!impl->group) {
    throw_error(ErrorCode::kUnsupported,
                cat("group '", group, "' has no messages to wait for later"));
  }
  throw_if_error(impl->group->post(c, std::make_shared<Tensor>(memory), &impl->ticket));
  Message m;
  m.impl_ = std::move(impl);
  return m;
}

Message isend(const Tensor& x, int to, const std::string& group) {
  check_peer(*communicator(group), to);
  const Tensor plain = ops::contiguous(x.to(kCpu));
  return Message::start(group, sending(plain, to), plain);
}

Message ireceive(const Shape& shape, DType dtype, int from, Tensor* x, const std::string& group) {
  check_peer(*communicator(group), from);
  *x = Tensor::empty(shape, dtype);
  return Message::start(group, receiving(*x, from), *x);
}

}  // namespace rutile::dist
