// Snapshots for tests, written as JSON: encodeJson() gives the msgpack that decodeSnapshot() reads.
//
//   auto snapshot = decodeSample(R"({
//     "listeners": [{"name": "public", "bind": "127.0.0.1:0"}],
//     "upstreams": [{"name": "origin", "endpoints": [
//       {"address": "a", "connectTo": "127.0.0.1:9000"}]}],
//     "routes": [{"match": {"name": "all"}, "upstream": 0}]
//   })");
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "snapshot/decode.h"

namespace tidegate::test {

// Writes msgpack as JavaScript's encoders do: whole numbers above 32 bits as floating point.
class MsgpackWriter {
 public:
  void nil() { bytes_.push_back(0xc0); }
  void boolean(bool value) { bytes_.push_back(value ? 0xc3 : 0xc2); }

  void number(double value) {
    if (value != std::floor(value) || value < -2147483648.0 || value > 4294967295.0) {
      bytes_.push_back(0xcb);
      bigEndian(std::bit_cast<std::uint64_t>(value), 8);
    } else if (value < 0) {
      bytes_.push_back(0xd2);
      bigEndian(static_cast<std::uint32_t>(static_cast<std::int32_t>(value)), 4);
    } else if (value < 128) {
      bytes_.push_back(static_cast<std::uint8_t>(value));
    } else {
      bytes_.push_back(0xce);
      bigEndian(static_cast<std::uint32_t>(value), 4);
    }
  }

  void text(std::string_view value) {
    if (value.size() < 32) {
      bytes_.push_back(static_cast<std::uint8_t>(0xa0 | value.size()));
    } else {
      bytes_.push_back(0xdb);
      bigEndian(value.size(), 4);
    }
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }

  void array(std::size_t count) { header(0x90, 0xdd, count); }
  void map(std::size_t count) { header(0x80, 0xdf, count); }
  void raw(const std::vector<std::uint8_t>& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  void header(std::uint8_t fixed, std::uint8_t wide, std::size_t count) {
    if (count < 16) {
      bytes_.push_back(static_cast<std::uint8_t>(fixed | count));
    } else {
      bytes_.push_back(wide);
      bigEndian(count, 4);
    }
  }

  void bigEndian(std::uint64_t value, int width) {
    for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) {
      bytes_.push_back(static_cast<std::uint8_t>(value >> shift));
    }
  }

  std::vector<std::uint8_t> bytes_;
};

// Reads just enough JSON for tests: no surrogate pairs. Ends the process at a syntax error, which
// is a mistake in the test.
class JsonEncoder {
 public:
  explicit JsonEncoder(std::string_view json) : rest_(json) {}

  std::vector<std::uint8_t> encode() {
    MsgpackWriter out;
    value(out);
    space();
    require(rest_.empty());
    return out.take();
  }

 private:
  void value(MsgpackWriter& out) {
    space();
    require(!rest_.empty());
    const char first = rest_.front();
    if (first == '{' || first == '[') {
      container(out, first == '{');
    } else if (first == '"') {
      out.text(string());
    } else if (word("true") || word("false")) {
      out.boolean(first == 't');
    } else if (word("null")) {
      out.nil();
    } else {
      const std::string copy(rest_.substr(0, 32));
      char* end = nullptr;
      const double number = std::strtod(copy.c_str(), &end);
      require(end != copy.c_str());
      rest_.remove_prefix(static_cast<std::size_t>(end - copy.c_str()));
      out.number(number);
    }
  }

  // The elements come first into a buffer of their own, since msgpack wants their number before
  // them.
  void container(MsgpackWriter& out, bool isMap) {
    rest_.remove_prefix(1);
    MsgpackWriter content;
    std::size_t count = 0;
    const char close = isMap ? '}' : ']';
    for (space(); !take(close); space()) {
      if (count > 0) require(take(','));
      if (isMap) {
        space();
        content.text(string());
        space();
        require(take(':'));
      }
      value(content);
      ++count;
    }
    isMap ? out.map(count) : out.array(count);
    out.raw(content.take());
  }

  std::string string() {
    require(take('"'));
    std::string text;
    while (!take('"')) {
      require(!rest_.empty());
      const char character = rest_.front();
      rest_.remove_prefix(1);
      text += character == '\\' ? escaped() : std::string(1, character);
    }
    return text;
  }

  std::string escaped() {
    require(!rest_.empty());
    const char kind = rest_.front();
    rest_.remove_prefix(1);
    constexpr std::string_view kShort = "nrtbf";
    constexpr std::string_view kMeaning = "\n\r\t\b\f";
    if (const auto i = kShort.find(kind); i != std::string_view::npos) return {kMeaning[i]};
    if (kind != 'u') return {kind};
    require(rest_.size() >= 4);
    const auto point = static_cast<std::uint32_t>(
        std::strtoul(std::string(rest_.substr(0, 4)).c_str(), nullptr, 16));
    rest_.remove_prefix(4);
    if (point < 0x80) return {static_cast<char>(point)};
    if (point < 0x800) {
      return {static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))};
    }
    return {static_cast<char>(0xe0 | point >> 12), static_cast<char>(0x80 | (point >> 6 & 0x3f)),
            static_cast<char>(0x80 | (point & 0x3f))};
  }

  void space() {
    while (!rest_.empty() &&
           std::string_view(" \n\r\t").find(rest_.front()) != std::string_view::npos) {
      rest_.remove_prefix(1);
    }
  }

  bool take(char character) {
    if (!rest_.starts_with(character)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool word(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  void require(bool condition) const {
    if (condition) return;
    std::fprintf(stderr, "a test's JSON is wrong before: %s\n", std::string(rest_).c_str());
    std::abort();
  }

  std::string_view rest_;
};

inline std::vector<std::uint8_t> encodeJson(std::string_view json) {
  return JsonEncoder(json).encode();
}

// The error's text, or empty when the snapshot is accepted.
inline std::string decodeError(std::string_view json) {
  auto snapshot = decodeSnapshot(encodeJson(json));
  return snapshot.ok() ? std::string() : snapshot.error().message;
}

// Null, and the running test failed, when the snapshot is refused.
inline std::shared_ptr<const Snapshot> decodeSample(std::string_view json) {
  auto snapshot = decodeSnapshot(encodeJson(json));
  if (snapshot.ok()) return snapshot.value();
  reportFailure(__FILE__, __LINE__, "the sample is refused: " + snapshot.error().message);
  return nullptr;
}

// One listener on any free port, one upstream with one endpoint, one route for everything.
inline std::string sampleJson(std::string_view connectTo = "127.0.0.1:9000") {
  return R"({
    "version": 1,
    "accessLog": {"format": "off"},
    "listeners": [{"name": "public", "bind": "127.0.0.1:0"}],
    "upstreams": [{"name": "origin", "endpoints": [{"address": ")" +
         std::string(connectTo) + R"(", "connectTo": ")" + std::string(connectTo) + R"("}]}],
    "routes": [{"match": {"name": "all"}, "upstream": 0}]
  })";
}

// A snapshot in which every key is there, and hardly any value is its default.
inline std::string fullJson() {
  return R"({
    "version": 3,
    "accessLog": {"format": "combined", "path": "/var/log/access.log"},
    "listeners": [
      {"name": "public", "bind": "0.0.0.0:8080", "requestLineBytes": 4096, "headerBytes": 8192,
       "headerCount": 50, "bodyBytes": 10737418240, "headTimeout": 5000, "bodyTimeout": null,
       "idleTimeout": 61000, "writeTimeout": 31000, "maxRequests": 1000, "http1": false,
       "http2": true, "streams": 64,
       "paths": {"mergeSlashes": false, "escapedSlashes": "decode"}, "trace": true,
       "trustedProxies": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"],
       "xForwarded": "replace", "forwarded": "append", "via": "edge-1",
       "requestIdHeader": "x-request-id", "requestIdAccept": "always", "server": "overwrite"},
      {"name": "public", "bind": "unix:/run/tidegate.sock"}
    ],
    "upstreams": [
      {"name": "orders", "metricSlot": 1, "balance": "leastConnections",
       "protocol": "http2", "hostHeader": "literal",
       "hostLiteral": "orders.internal", "endpoints": [
         {"address": "a.internal:9000", "connectTo": "10.0.0.11:9000", "weight": 2,
          "metricSlot": 2},
         {"address": "[::1]:9000", "connectTo": "[::1]:9000"},
         {"address": "unix:/run/app.sock", "connectTo": "unix:/run/app.sock"}],
       "connectTimeout": 2500, "firstByteTimeout": null, "idleTimeout": 62000, "poolMaxIdle": 5,
       "poolIdleTimeout": 7000, "poolMaxAge": null, "poolMaxRequests": 100,
       "poolMaxStreams": 50, "poolPingInterval": null, "poolPingTimeout": 3000,
       "responseHeaderBytes": 16384, "responseHeaderCount": 90, "retries": 2,
       "passiveFailures": 0, "passiveDownFor": 9000}
    ],
    "routes": [
      {"match": {"name": "orders", "priority": -5, "listeners": [0, 1],
                 "hosts": ["api.example.com", "*.example.net"],
                 "paths": [{"kind": "template", "text": "/orders/:id"},
                           {"kind": "prefix", "text": "/v1/*"}],
                 "methods": ["GET", "POST"],
                 "headers": [{"name": "x-tenant", "test": "exact", "value": "blue"},
                             {"name": "x-debug", "test": "present"}],
                 "query": [{"name": "version", "test": "regex", "value": "^2"}],
                 "clients": ["10.1.0.0/16"]},
       "metricSlot": 3, "action": "proxy", "upstream": 0, "requestTimeout": 90000,
       "firstByteTimeout": 1000, "idleTimeout": 2000, "tunnelTimeout": null, "retries": 3,
       "bodyBytes": 1048576, "stripPrefix": "", "rewritePath": ["/items/", {"param": "id"}],
       "rewriteHost": ["app.", {"host": ""}],
       "requestEdits": {"set": [{"name": "X-Route", "value": ["r ", {"routeName": ""}]}],
                        "add": [{"name": "x-tenant", "value": [{"header": "x-t"}]}],
                        "remove": ["cookie"]},
       "responseEdits": {"remove": ["server"]}},
      {"match": {"name": "moved"}, "action": "redirect", "status": 308,
       "location": ["https://", {"host": ""}, {"path": ""}, {"questionQuery": ""}]},
      {"match": {"name": "hello", "paths": [{"kind": "exact", "text": "/hello"}]},
       "action": "respond", "status": 200, "body": ["hello\n", {"clientAddress": ""}],
       "responseEdits": {"set": [{"name": "content-type", "value": ["text/plain"]}]}}
    ]
  })";
}

inline std::vector<std::uint8_t> sampleSnapshot(std::string_view connectTo = "127.0.0.1:9000") {
  return encodeJson(sampleJson(connectTo));
}

}  // namespace tidegate::test
