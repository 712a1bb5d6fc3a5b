// The codec seam on the client's side: what a listener and the codecs of its connections say to
// each other.
#pragma once

#include <string_view>

#include "base/intrusive_list.h"
#include "http/reason.h"
#include "http/stream.h"
#include "io/event_loop.h"
#include "io/transport.h"

namespace tidegate {

struct ConnectionLink;

// One connection that a listener accepted, whatever is on it at the moment. Owned by the I/O thread
// that accepted it.
class AcceptedConnection : public Pollable, public ListNode<ConnectionLink> {
 public:
  // No further request: closes now when none is under way, else after it.
  virtual void drain() = 0;
  // Closes at once, whatever is under way.
  virtual void closeNow() = 0;

 protected:
  ~AcceptedConnection() = default;
};

// What is spoken on a connection.
enum class Protocol : std::uint8_t { Http1, Http2 };

// What one codec has read of a connection that another goes on with.
struct Received {
  std::string_view bytes;  // not used yet; borrowed for the call
  // No more is there for now. The loop tells the next codec of what comes later, and of an end that
  // came before.
  bool drained = false;
};

// The listener: takes requests, and connections at the end of one codec's part in them.
class ServerHost {
 public:
  // A complete head. The returned exchange gets the stream's events from now on, and does nothing
  // before onClientBegin(). `head` is borrowed for the call.
  virtual ClientStreamEvents& onRequest(ClientStream& stream, RequestHead& head) = 0;
  // A head that is refused or did not come in time: the exchange shall answer with the reason's
  // status and close.
  virtual ClientStreamEvents& onRefused(ClientStream& stream, Protocol protocol, Reason reason) = 0;
  // `from` ends here, and another codec goes on: the host makes a connection of what it hands over,
  // and of which `from` has nothing any more. onClosed(from) does not follow.
  virtual void onProtocol(AcceptedConnection& from, Transport transport, const PeerInfo& peer,
                          Protocol protocol, const Received& received) = 0;
  // The connection is closed. It gives its memory back itself, right after the call.
  virtual void onClosed(AcceptedConnection& connection) = 0;

 protected:
  ~ServerHost() = default;
};

}  // namespace tidegate
