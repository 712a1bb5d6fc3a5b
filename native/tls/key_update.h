// The one message that a client may send behind the handshake where nobody asks it for another: its
// next records are sealed with its next key (RFC 8446 4.6.3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidegate::tls {

// Of either side; `request`: the other side is to renew its key as well.
constexpr std::array<char, 5> keyUpdate(bool request) {
  constexpr char kType = 24;
  return {kType, 0, 0, 1, request ? char{1} : char{0}};
}

class KeyUpdateReader {
 public:
  enum class Result : std::uint8_t {
    Incomplete,  // its rest is in the next record
    Renew,       // the peer's key, and no more
    RenewBoth,   // ours as well
    Unexpected,  // another message, or more behind it in its record
    BadLength,
    BadRequest,
  };

  // What a record of type handshake holds. After anything but Incomplete the next message begins.
  Result read(std::string_view content) {
    constexpr std::string_view::size_type kHeaderBytes = 4;
    constexpr std::array<char, 5> kMessage = keyUpdate(false);
    // RFC 8446 5.1: no record of a message is empty.
    if (content.empty()) return Result::Unexpected;
    for (; !content.empty() && at_ < kHeaderBytes; content.remove_prefix(1)) {
      if (content.front() != kMessage[at_])
        return at_ == 0 ? Result::Unexpected : Result::BadLength;
      ++at_;
    }
    if (content.empty()) return Result::Incomplete;
    // RFC 8446 5.1: a key does not change within a record.
    if (content.size() > 1) return Result::Unexpected;
    at_ = 0;
    switch (content.front()) {
      case 0:
        return Result::Renew;
      case 1:
        return Result::RenewBoth;
      default:
        return Result::BadRequest;
    }
  }

  // Nothing else may come before its rest.
  bool incomplete() const { return at_ > 0; }

 private:
  std::uint8_t at_ = 0;  // bytes that have come
};

}  // namespace tidegate::tls
