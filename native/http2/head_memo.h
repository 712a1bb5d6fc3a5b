// The response head that an endpoint sent last, with the block that stood for it. Like requests
// have like answers: where the same block comes again and means the same, as the table that it
// refers to has not changed, the head is copied and neither read nor checked anew.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "http/message.h"
#include "http1/parser.h"
#include "http2/hpack_decoder.h"

namespace tidegate::http2 {

// One I/O thread owns it: one for each connection. Takes a KiB once a head has come twice.
class HeadMemo {
 public:
  // What a block's meaning depends on beside its bytes.
  struct Circumstances {
    HpackDecoder::TableState table;
    std::uint32_t headBytes;  // of HeadLimits
    std::uint32_t fieldCount;
    bool endStream;
    bool toHead;  // it answers a HEAD
    bool operator==(const Circumstances&) const = default;
  };

  // Whether it is the head that is known; `head` is that one then, over `room`, of kHeadRoom.
  bool recall(std::span<const std::uint8_t> block, const Circumstances& now, ResponseHead& head,
              std::span<char> room) const;
  // `head` is what came of a block that recall() did not know, under circumstances that held before
  // it was read; `table` is as it is since. Good heads alone.
  void keep(std::span<const std::uint8_t> block, const Circumstances& before,
            const HpackDecoder::TableState& table, const ResponseHead& head);
  // Gives its memory back.
  void rest();

 private:
  static constexpr std::size_t kBlockBytes = 64;
  static constexpr std::size_t kFields = 16;
  static constexpr std::size_t kTextBytes = 640;

  struct Kept {
    StatusLine line;
    std::uint32_t size;
    std::size_t fieldCount;
    std::array<Field, kFields> fields;
    std::array<char, kTextBytes> text;
  };

  bool isLast(std::span<const std::uint8_t> block, const Circumstances& now) const;

  Circumstances last_;
  std::size_t blockSize_ = 0;
  std::array<std::uint8_t, kBlockBytes> block_;
  bool known_ = false;          // `kept_` is the head of the last block
  std::unique_ptr<Kept> kept_;  // none before a block has come twice
};

}  // namespace tidegate::http2
