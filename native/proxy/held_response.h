// A response that waits for policies to look at it: its head, and as much of its body as they read.
#pragma once

#include <cstdint>

#include "http/message.h"
#include "io/buffer_pool.h"
#include "policy/verdict_store.h"
#include "proxy/collected_body.h"

namespace tidegate {

// One I/O thread owns it: the exchange, until its end.
class HeldResponse {
 public:
  explicit HeldResponse(BufferPool& pool) : body(pool), pool_(pool) {}

  // Copies the head; once.
  void keepHead(const ResponseHead& head);
  // It has been passed on: gives the memory of head and body back.
  void release();

  enum class Stage : std::uint8_t {
    Collecting,  // the body comes in first
    Asking,      // a worker has it
    Passed,
  };

  Stage stage = Stage::Asking;
  bool ended = false;    // all of it is here
  bool blocked = false;  // the client takes nothing at the moment
  StatusLine line;
  HeadFields fields{std::span<Field>{}};  // points into the copy
  CollectedBody body;
  // What the policies decided; none where they could not and the response passes as it is.
  VerdictRef verdict;

 private:
  BufferPool& pool_;
  Block head_;  // the table of fields, then the head's bytes
};

}  // namespace tidegate
