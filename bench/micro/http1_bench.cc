// What parsing costs: nanoseconds per head and per chunked body, as the median of many short
// samples.
//
//   http1_bench [samples, default 501]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http1/parser.h"

namespace tidegate::http1 {
namespace {

constexpr std::string_view kSmallRequest = "GET /b/64 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

constexpr std::string_view kWrkRequest =
    "GET /b/64 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\n"
    "Accept: */*\r\nUser-Agent: bench\r\n\r\n";

constexpr std::string_view kBrowserRequest =
    "GET /catalog/items/4711?colour=blue&size=m&page=2 HTTP/1.1\r\n"
    "Host: shop.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: "
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://shop.example.com/catalog?colour=blue\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=necessary%2Cstatistics; "
    "_ga=GA1.2.1234567890.1700000000; cart=c81e728d9d4c2f636f067f89cc14862c\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-User: ?1\r\n"
    "Priority: u=0, i\r\n"
    "\r\n";

constexpr std::string_view kSmallResponse =
    "HTTP/1.1 200 OK\r\nContent-Length: 64\r\nContent-Type: text/plain\r\n\r\n";

constexpr std::string_view kNodeResponse =
    "HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\nContent-Type: application/json; charset=utf-8\r\n"
    "Content-Length: 1024\r\nETag: W/\"400-kq3VxT5xHb3V2xvYxv0mZ4sYb0Y\"\r\n"
    "Date: Tue, 25 Nov 2025 07:28:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: "
    "timeout=5\r\n\r\n";

// Keeps the compiler from dropping what it is told was used.
template <typename T>
void use(T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

double nowNanos() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

// Prints the median and the fastest tenth of `samples` samples, each of a fixed number of calls.
template <typename Operation>
void measure(const char* name, std::size_t bytes, std::size_t samples, Operation operation) {
  constexpr int kWarmUp = 20'000;
  constexpr double kSampleNanos = 100'000;
  const double warmUpBegin = nowNanos();
  for (int i = 0; i < kWarmUp; ++i) operation();
  const double each = (nowNanos() - warmUpBegin) / kWarmUp;
  const auto calls = static_cast<std::uint64_t>(std::max(1.0, kSampleNanos / each));
  std::vector<double> nanos;
  nanos.reserve(samples);
  for (std::size_t sample = 0; sample < samples; ++sample) {
    const double begin = nowNanos();
    for (std::uint64_t i = 0; i < calls; ++i) operation();
    nanos.push_back((nowNanos() - begin) / static_cast<double>(calls));
  }
  std::sort(nanos.begin(), nanos.end());
  const double median = nanos[samples / 2];
  std::printf("%-24s %6zu bytes  %8.1f ns  (p10 %8.1f)  %6.2f GB/s\n", name, bytes, median,
              nanos[samples / 10], static_cast<double>(bytes) / median);
}

void measureRequest(const char* name, std::string_view text, std::size_t samples) {
  static RequestHead head;
  const std::string bytes(text);
  if (parseRequestHead(bytes, HeadLimits(), head).status != ParseStatus::Complete) std::abort();
  measure(name, bytes.size(), samples, [&bytes] {
    const ParseOutcome outcome = parseRequestHead(bytes, HeadLimits(), head);
    use(outcome);
    use(head);
  });
}

void measureResponse(const char* name, std::string_view text, std::size_t samples) {
  static ResponseHead head;
  const std::string bytes(text);
  const auto parse = [&bytes] { return parseResponseHead(bytes, HeadLimits(), Method::Get, head); };
  if (parse().status != ParseStatus::Complete) std::abort();
  measure(name, bytes.size(), samples, [&parse] {
    const ParseOutcome outcome = parse();
    use(outcome);
    use(head);
  });
}

void measureChunked(const char* name, std::size_t chunks, std::size_t chunkBytes,
                    std::size_t samples) {
  std::string bytes;
  char size[32];
  for (std::size_t i = 0; i < chunks; ++i) {
    std::snprintf(size, sizeof size, "%zx\r\n", chunkBytes);
    bytes += size + std::string(chunkBytes, 'x') + "\r\n";
  }
  bytes += "0\r\n\r\n";
  measure(name, bytes.size(), samples, [&bytes] {
    ChunkedDecoder decoder;
    std::string_view rest = bytes;
    for (;;) {
      const ChunkedDecoder::Step step = decoder.decode(rest);
      use(step);
      if (step.status != ChunkedDecoder::Status::Data) break;
      rest.remove_prefix(step.consumed);
    }
  });
}

void measureFieldId(std::size_t samples) {
  const std::vector<std::string> names = {
      "Host",       "User-Agent", "Accept",         "Accept-Language", "Accept-Encoding", "Referer",
      "Connection", "Cookie",     "Sec-Fetch-Dest", "Sec-Fetch-Mode",  "Priority",        "Via"};
  std::size_t bytes = 0;
  for (const std::string& name : names) bytes += name.size();
  measure("12 field names", bytes, samples, [&names] {
    for (const std::string& name : names) {
      const FieldId id = fieldIdOf(name);
      use(id);
    }
  });
}

void measureAll(std::size_t samples) {
  measureRequest("request, small", kSmallRequest, samples);
  measureRequest("request, wrk", kWrkRequest, samples);
  measureRequest("request, browser", kBrowserRequest, samples);
  measureResponse("response, small", kSmallResponse, samples);
  measureResponse("response, node", kNodeResponse, samples);
  measureChunked("chunked, 16 x 64 B", 16, 64, samples);
  measureChunked("chunked, 4 x 16 KiB", 4, 16 * 1024, samples);
  measureFieldId(samples);
}

}  // namespace
}  // namespace tidegate::http1

int main(int argumentCount, char** arguments) {
  const long given = argumentCount > 1 ? std::strtol(arguments[1], nullptr, 10) : 0;
  tidegate::http1::measureAll(given > 0 ? static_cast<std::size_t>(given) : 501);
  return 0;
}
