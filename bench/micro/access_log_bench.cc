// What formatting one access log line and pushing it into a ring costs: ns a line, the best of
// many rounds.
//
//   build/release/access_log_bench
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

#include "observe/access_log.h"

namespace tidegate {
namespace {

AccessRecord typical() {
  AccessRecord record;
  record.wallMillis = 1'700'000'000'000;
  record.client = *IpAddress::parse("203.0.113.195");
  record.clientPort = 54'312;
  record.listener = "public";
  record.method = "GET";
  record.host = "api.example.com";
  record.target = "/v1/orders/84215?expand=items&currency=EUR";
  record.status = 200;
  record.bytesOut = 1834;
  record.route = "orders";
  record.upstream = "orders";
  record.endpoint = "10.0.0.11:9000";
  record.requestId = "0192f0c1-6a5e-7d3b-9c44-2f1e8a7b6c5d";
  record.userAgent =
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
      "Safari/537.36";
  record.reused = true;
  record.queueMicros = 3;
  record.connectMicros = 0;
  record.firstByteMicros = 812;
  record.totalMicros = 934;
  return record;
}

template <typename Line>
double bestNanos(Line line) {
  // Short ones: some of them run without being interrupted, also on a busy machine.
  constexpr int kRounds = 1000;
  constexpr std::uint64_t kLines = 2'000;
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < kLines; ++i) line(i);
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;
    best = std::min(best, taken.count() / kLines);
  }
  return best;
}

// 50,000 lines a second, so that the second changes as often as it does in service.
void advance(AccessRecord& record, std::uint64_t i) {
  record.wallMillis = 1'700'000'000'000 + i / 50;
  record.totalMicros = 900 + static_cast<std::uint32_t>(i % 128);
}

void benchFormat(const char* name, AccessLogFormat format, AccessRecord record) {
  std::vector<char> out(kMaxAccessLine);
  std::size_t bytes = 0;
  const double nanos = bestNanos([&](std::uint64_t i) {
    advance(record, i);
    bytes = formatAccess(format, record, out.data(), out.size());
    __asm__ volatile("" : : "r"(out.data()) : "memory");
  });
  std::printf("%-28s %7.1f ns  %4zu bytes\n", name, nanos, bytes);
}

void benchPush() {
  AccessRecord record = typical();
  std::vector<char> out(kMaxAccessLine);
  AccessRing ring(1024 * 1024);
  const double nanos = bestNanos([&](std::uint64_t i) {
    advance(record, i);
    const std::size_t length = formatAccess(AccessLogFormat::Json, record, out.data(), out.size());
    if (!ring.push({out.data(), length})) {
      // What the writer thread does, at no cost here.
      for (const std::string_view part : ring.peek()) ring.release(part.size());
    }
  });
  std::printf("%-28s %7.1f ns\n", "json and push", nanos);
}

int run() {
  AccessRecord escaped = typical();
  escaped.userAgent = "curl/8.5.0 \"\xc3\xa9\" \\ (a b c d e f g h i j k l m n o p)";
  AccessRecord v6 = typical();
  v6.client = *IpAddress::parse("2001:db8:85a3::8a2e:370:7334");

  benchFormat("json", AccessLogFormat::Json, typical());
  benchFormat("json, IPv6", AccessLogFormat::Json, v6);
  benchFormat("json, five escapes", AccessLogFormat::Json, escaped);
  benchFormat("common", AccessLogFormat::Common, typical());
  benchFormat("combined", AccessLogFormat::Combined, typical());
  benchPush();
  return 0;
}

}  // namespace
}  // namespace tidegate

int main() { return tidegate::run(); }
