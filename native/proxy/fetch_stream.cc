// Order of this file: the request, the response, the ends.
#include "proxy/fetch_stream.h"

#include <cstring>
#include <memory>

#include "proxy/exchange.h"
#include "proxy/thread_services.h"

namespace tidegate {

namespace {

// Puts a head together in one block, as a parser would have left it.
class HeadBuilder {
 public:
  HeadBuilder(BufferPool& pool, std::size_t size) : bytes_(pool.acquire(size)) {
    head.rebase(bytes_.data());
  }

  Slice put(std::string_view text) {
    if (!text.empty()) std::memcpy(bytes_.data() + head.size, text.data(), text.size());
    const Slice slice{head.size, static_cast<std::uint32_t>(text.size())};
    head.size += slice.length;
    return slice;
  }

  RequestHead head;

 private:
  Block bytes_;
};

Slice joined(Slice first, Slice last) {
  return {first.offset, last.offset + last.length - first.offset};
}

}  // namespace

FetchStream::FetchStream(ThreadServices& services, const FetchAsker& asker)
    : services_(services),
      snapshot_(asker.snapshot),
      listener_(asker.listener),
      client_(asker.client),
      requestId_(asker.requestId),
      early_(asker.early),
      body_(services.pool) {}

// The request

void FetchStream::begin(const FetchMessage& message) {
  const Snapshot& tables = snapshot_->tables();
  const std::uint32_t upstream = tables.upstreamIndex(message.upstream);
  if (upstream == kNoUpstream || tables.upstreams[upstream].fetchRoute == kNoRoute) {
    refuse(Reason::FetchUnknownUpstream);
    return;
  }
  start(message, tables.upstreams[upstream].fetchRoute);
}

void FetchStream::start(const FetchMessage& message, std::uint32_t route) {
  HeadBuilder builder(services_.pool, message.method.size() + message.path.size() + 1 +
                                          message.query.size() + message.fields.bytes() +
                                          requestId_.size());
  RequestHead& head = builder.head;
  RequestLine& line = head.line;
  line.method = methodOf(message.method);
  line.methodToken = builder.put(message.method);
  line.path = builder.put(message.path);
  line.target = line.path;
  line.hasQuery = message.hasQuery;
  if (message.hasQuery) {
    builder.put("?");
    line.query = builder.put(message.query);
    line.target = joined(line.path, line.query);
  }
  if (message.hasBody || expectsBody(line.method)) {
    line.body = BodyKind::Length;
    line.contentLength = message.body.size();
  }
  message.fields.each([&](std::string_view name, std::string_view value) {
    Field field;
    field.name = builder.put(name);
    field.value = builder.put(value);
    field.id = fieldIdOf(name);
    head.add(field);
  });
  const OwnRequest own{route, builder.put(requestId_), message.body, message.timeoutMillis, early_};
  exchange_ = services_.exchanges->create(services_, snapshot_, listener_, *this);
  exchange_->startOwn(head, own);
}

void FetchStream::refuse(Reason reason) {
  failure_ = reason;
  reply();
}

// The response

void FetchStream::sendHead(const OutgoingResponse& head) {
  if (replied_ || exchange_->reason() != Reason::None) return;
  status_ = head.status;
  if (head.body == BodyKind::Length && head.contentLength > kMaxFetchBody) {
    overflow();
    return;
  }
  const std::size_t room = fetchFieldsRoom(head.fields);
  fields_ = services_.pool.acquire(room);
  fieldBytes_ =
      packFetchFields(head.fields, std::as_writable_bytes(std::span(fields_.data(), room)));
}

bool FetchStream::sendBody(std::string_view bytes) {
  if (replied_ || exchange_->reason() != Reason::None) return true;
  if (body_.size() + bytes.size() > kMaxFetchBody) {
    overflow();
  } else {
    body_.append(bytes);
  }
  return true;
}

// Nobody reads the rest.
void FetchStream::overflow() {
  failure_ = Reason::FetchTooLarge;
  reply();
  services_.loop.goOnLater(*this);
}

void FetchStream::finish(const HeadFields*) {
  services_.loop.goOnLater(*this);
  if (replied_) return;
  // What the gateway answered in the upstream's place is for clients; policies get the reason.
  failure_ = exchange_->reason();
  reply();
}

void FetchStream::abort() {
  if (failure_ == Reason::None) failure_ = exchange_->reason();
  exchange_ = nullptr;
  reply();
  disposeWhenDone();
}

void FetchStream::reply() {
  if (!inCall_ || replied_) return;
  replied_ = true;
  services_.policies.reply(*this);
}

std::size_t FetchStream::describe(const FetchId& id, std::span<std::byte> out) {
  if (failure_ != Reason::None) return writeFetchFailure(id, failure_, out);
  return writeFetchResponse(id, status_, {fields_.data(), fieldBytes_}, body_.bytes(), out);
}

// The ends

void FetchStream::onReady() {
  Exchange* const exchange = std::exchange(exchange_, nullptr);
  if (exchange != nullptr) {
    if (failure_ == Reason::FetchTooLarge) {
      exchange->onClientGone(failure_);
    } else {
      exchange->onClientDone();
    }
  }
  disposeWhenDone();
}

void FetchStream::onReplied() { leaveCall(); }

void FetchStream::onUnwanted() {
  // After finish() the exchange ends by itself.
  if (exchange_ != nullptr && !Pollable::ListNode<ReadyLink>::linked())
    std::exchange(exchange_, nullptr)->onClientGone(Reason::FetchAborted);
  leaveCall();
}

void FetchStream::leaveCall() {
  inCall_ = false;
  disposeWhenDone();
}

void FetchStream::disposeWhenDone() {
  if (!inCall_ && exchange_ == nullptr) services_.loop.disposeLater(*this);
}

void FetchStream::onDispose() { services_.fetches.destroy(this); }

}  // namespace tidegate
