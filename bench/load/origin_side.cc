#include "origin_side.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "../origin/request.h"
#include "tag.h"

namespace tidegate::bench {

OriginSide::OriginSide(Ring& ring, int listener) : ring_(ring), listener_(listener) {
  ring_.accept(listener_, tagOf(Operation::OriginAccept, 0));
}

void OriginSide::onAccept(std::int32_t result, std::uint32_t flags) {
  if (result >= 0) {
    const auto fd = static_cast<std::uint32_t>(result);
    if (fd >= connections_.size()) connections_.resize(fd + 1);
    connections_[fd] = {};
    connections_[fd].open = true;
    pump(fd);
  }
  if ((flags & IORING_CQE_F_MORE) == 0) {
    ring_.accept(listener_, tagOf(Operation::OriginAccept, 0));
  }
}

void OriginSide::onReceive(std::uint32_t fd, std::int32_t result, std::uint32_t flags) {
  Connection& connection = connections_[fd];
  if ((flags & IORING_CQE_F_MORE) == 0) connection.receiving = false;
  if (result > 0) {
    if (!connection.closing) consume(fd, ring_.received(result, flags));
    ring_.recycle(flags);
  } else if (result != -ENOBUFS) {
    connection.closing = true;
  }
  pump(fd);
}

void OriginSide::onSend(std::uint32_t fd, std::int32_t result) {
  Connection& connection = connections_[fd];
  connection.sending = false;
  if (result < 0) {
    connection.closing = true;
    connection.output.clear();
    connection.http2.reset();
  } else {
    connection.output.erase(connection.output.begin());
  }
  pump(fd);
}

void OriginSide::consume(std::uint32_t fd, std::string_view bytes) {
  Connection& connection = connections_[fd];
  if (connection.http2) return consumeHttp2(connection, bytes);
  std::string joined;
  if (!connection.input.empty()) {
    joined = std::move(connection.input.append(bytes));
    connection.input.clear();
    bytes = joined;
  }
  while (!bytes.empty() && !connection.closing) {
    if (connection.uploading) {
      const std::size_t here = std::min(connection.uploadLeft, bytes.size());
      bytes.remove_prefix(here);
      connection.uploadLeft -= here;
      if (connection.uploadLeft == 0) endUpload(connection);
      continue;
    }
    if (Http2Answers::beginsWith(bytes)) {
      connection.http2 = std::make_unique<Http2Answers>();
      return consumeHttp2(connection, bytes);
    }
    const Request request = readRequest(bytes);
    if (request.want == Want::Incomplete) {
      connection.input.assign(bytes);
      return;
    }
    bytes.remove_prefix(request.headLength);
    connection.closing = request.close;
    switch (request.want) {
      case Want::Body:
        connection.output.push_back(responses_.ofSize(request.bodySize));
        break;
      case Want::Upload:
        connection.uploading = true;
        connection.uploadSize = connection.uploadLeft = request.uploadLength;
        if (request.uploadLength == 0) endUpload(connection);
        break;
      case Want::Close:
        connection.closing = true;
        connection.output.push_back(responses_.closing());
        break;
      case Want::Refused:
      case Want::Incomplete:
        connection.closing = true;
        connection.answer = refusal("501 Not Implemented");
        connection.output.emplace_back(connection.answer);
        break;
    }
  }
}

void OriginSide::consumeHttp2(Connection& connection, std::string_view bytes) {
  if (!connection.http2->take(bytes)) connection.closing = true;
}

// One upload at a time: a peer that sends the next before it read this answer is not one we load.
void OriginSide::endUpload(Connection& connection) {
  connection.uploading = false;
  connection.answer = uploadAnswer(connection.uploadSize);
  connection.output.emplace_back(connection.answer);
}

// Queues what the connection needs next: a send, a receive, or its end.
void OriginSide::pump(std::uint32_t fd) {
  Connection& connection = connections_[fd];
  const int socket = static_cast<int>(fd);
  if (connection.http2 && !connection.sending && connection.output.empty()) {
    // All answers to what was received at once go out at once.
    const std::string_view batch = connection.http2->nextBatch();
    if (!batch.empty()) connection.output.push_back(batch);
  }
  if (!connection.output.empty()) {
    if (!connection.sending) {
      ring_.send(socket, connection.output.front(), tagOf(Operation::OriginSend, fd));
      connection.sending = true;
    }
  } else if (connection.closing && connection.open) {
    // The kernel keeps a socket for as long as a receive is with it, so the receive ends first.
    if (connection.receiving) ::shutdown(socket, SHUT_RDWR);
    connection.open = false;
  }
  if (!connection.receiving && connection.open && !connection.closing) {
    ring_.receive(socket, true, tagOf(Operation::OriginReceive, fd));
    connection.receiving = true;
  }
  if (!connection.open && !connection.receiving && !connection.sending) ring_.close(socket);
}

}  // namespace tidegate::bench
