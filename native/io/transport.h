// The transport seam: bytes to and from one peer, in the clear or through a layer such as TLS. The
// codecs above it do not learn which.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "io/socket.h"

namespace tidegate {

// What stands between a connection and its socket. Belongs to one connection, and so to its I/O
// thread. None of the calls blocks, throws or calls back.
class TransportLayer {
 public:
  virtual ~TransportLayer() = default;

  // Goes on with what both sides have to say before the first byte of a message. Ok when that is
  // done, `drained` where nothing of a message came with it; WouldBlock: call again at the next
  // event of the socket.
  virtual IoResult establish(Socket& socket) = 0;

  // As Socket::read(). End only where the peer has said that it ends; a connection that just stops
  // is Failed. Tells `drained` when neither the layer nor the socket holds more.
  virtual IoResult read(Socket& socket, std::span<char> into) = 0;

  // As Socket::write(): bytes count as written when the kernel has them. After a short write the
  // caller gives what is left again, the same bytes first, maybe at another address.
  virtual IoResult write(Socket& socket, std::span<const iovec> parts) = 0;

  // Whether bytes of a message or an end wait to be read, here or in the socket. What is the
  // layer's own is dealt with.
  virtual bool hasInput(Socket& socket) = 0;

  // Says that nothing more will be written. The socket is shut down by the caller.
  virtual void sayEnd(Socket& socket) = 0;

  // The next write ends what there is to say: where all of it goes, sayEnd() may go with it.
  virtual void expectLastWrite() {}

  // Nothing is under way and nothing is expected soon: memory that is not needed meanwhile may go.
  virtual void rest() = 0;

  // Why it failed, in words that live for ever; empty where there are none.
  virtual std::string_view failure() const { return {}; }

  // What establish() has agreed on for the bytes above it, by the name that ALPN has for it;
  // empty: nothing. Lives as long as the layer.
  virtual std::string_view protocol() const { return {}; }
};

// Owns the socket and the layer, if there is one. Plain connections pay one branch.
class Transport {
 public:
  Transport() = default;
  explicit Transport(Socket socket, std::unique_ptr<TransportLayer> layer = nullptr)
      : socket_(std::move(socket)), layer_(std::move(layer)) {}
  // Of a connection that a peer opened: it is there.
  static Transport accepted(Socket socket, std::unique_ptr<TransportLayer> layer) {
    Transport transport(std::move(socket), std::move(layer));
    transport.connected_ = true;
    return transport;
  }

  bool open() const { return socket_.open(); }
  int fd() const { return socket_.fd(); }

  // Whether a connection that we opened is there, and the layer's part of it. Ok, WouldBlock (call
  // again at the next event), or Failed with the errno (0: the layer refused).
  IoResult establish() {
    if (!connected_) {
      const int error = socket_.connectError();
      if (error != 0) return {.status = IoResult::Status::Failed, .error = error};
      connected_ = true;
    }
    return layer_ == nullptr ? IoResult{.drained = true} : layer_->establish(socket_);
  }

  IoResult read(std::span<char> into) {
    return layer_ == nullptr ? socket_.read(into) : layer_->read(socket_, into);
  }

  IoResult write(std::span<const iovec> parts) {
    return layer_ == nullptr ? socket_.write(parts) : layer_->write(socket_, parts);
  }

  bool hasInput() { return layer_ == nullptr ? socket_.hasInput() : layer_->hasInput(socket_); }

  // The next write ends what there is to say, and close() or shutdownWrite() follows as soon as all
  // of it is written: the end may go out with it.
  void expectLastWrite() {
    if (layer_ != nullptr) layer_->expectLastWrite();
    socket_.expectEnd();
  }

  // The peer reads an end; reading goes on.
  void shutdownWrite() {
    if (layer_ != nullptr) layer_->sayEnd(socket_);
    socket_.shutdownWrite();
  }

  // Orderly: the peer can tell that nothing is missing. The layer stays, and with it what it knows
  // of the peer: whoever hears of the end may still look at that.
  void close() {
    if (layer_ != nullptr && socket_.open()) layer_->sayEnd(socket_);
    socket_.close();
  }

  // Ends with a reset instead: what the peer has must not look complete.
  void abort() { socket_.abort(); }

  // See TransportLayer::failure().
  std::string_view failure() const {
    return layer_ == nullptr ? std::string_view{} : layer_->failure();
  }

  // See TransportLayer::protocol().
  std::string_view protocol() const {
    return layer_ == nullptr ? std::string_view{} : layer_->protocol();
  }

  // Whether rest() has anything to give back.
  bool layered() const { return layer_ != nullptr; }

  // See TransportLayer::rest().
  void rest() {
    if (layer_ != nullptr) layer_->rest();
  }

 private:
  Socket socket_;
  std::unique_ptr<TransportLayer> layer_;
  bool connected_ = false;
};

}  // namespace tidegate
