// The access log: what a line says, rings, and sinks that block, fail and come back.
#include "observe/access_log.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "io/socket.h"

namespace tidegate {
namespace {

using namespace std::chrono_literals;

// ---- lines

AccessRecord sample() {
  AccessRecord record;
  record.wallMillis = 1'700'000'000'042;
  record.client = *IpAddress::parse("203.0.113.7");
  record.clientPort = 54321;
  record.listener = "public";
  record.method = "GET";
  record.host = "api.example.com";
  record.target = "/orders/7?x=1";
  record.status = 200;
  record.bytesIn = 5;
  record.bytesOut = 1234;
  record.route = "orders";
  record.upstream = "pool";
  record.endpoint = "10.0.0.11:9000";
  record.requestId = "0f3a";
  record.referer = "http://a.example/";
  record.userAgent = "curl/8.5.0";
  record.retries = 1;
  record.reused = true;
  record.queueMicros = 3;
  record.connectMicros = 0;
  record.firstByteMicros = 812;
  record.totalMicros = 1040;
  return record;
}

std::string format(AccessLogFormat kind, const AccessRecord& record) {
  // On the heap and exactly that large, so that a sanitizer sees a byte too many.
  std::vector<char> out(kMaxAccessLine);
  return {out.data(), formatAccess(kind, record, out.data(), out.size())};
}

TEST("a JSON line has every key in a fixed order") {
  CHECK_EQ(
      format(AccessLogFormat::Json, sample()),
      R"({"time":"2023-11-14T22:13:20.042Z","client":"203.0.113.7","port":54321,)"
      R"("listener":"public","method":"GET","host":"api.example.com",)"
      R"("target":"/orders/7?x=1","protocol":"HTTP/1.1","status":200,"bytes_in":5,)"
      R"("bytes_out":1234,"route":"orders","upstream":"pool","endpoint":"10.0.0.11:9000",)"
      R"("consumer":null,"policies":[],"request_id":"0f3a","referer":"http://a.example/","user_agent":"curl/8.5.0",)"
      R"("reason":"none","retries":1,"reused":true,"policy_us":null,"queue_us":3,"connect_us":0,)"
      R"("first_byte_us":812,"total_us":1040,)"
      R"("tls_version":null,"tls_cipher":null,"sni":null,"alpn":null,"tls_resumed":null,"early_data":null,)"
      R"("client_subject":null,"client_sans":null,"client_fingerprint":null,"client_verification":null,"ja4":null,)"
      R"("upstream_tls_error":null,"upstream_http2_error":null})"
      "\n");
}

TEST("what is not there is null in JSON") {
  AccessRecord record;
  record.clientIsUnix = true;
  record.minorVersion = 0;
  record.reason = Reason::BadRequest;
  CHECK_EQ(
      format(AccessLogFormat::Json, record),
      R"({"time":"1970-01-01T00:00:00.000Z","client":"unix:","port":null,"listener":null,)"
      R"("method":null,"host":null,"target":null,"protocol":"HTTP/1.0","status":null,)"
      R"("bytes_in":0,"bytes_out":0,"route":null,"upstream":null,"endpoint":null,)"
      R"("consumer":null,"policies":[],"request_id":null,"referer":null,"user_agent":null,"reason":"bad_request",)"
      R"("retries":0,"reused":false,"policy_us":null,"queue_us":null,"connect_us":null,)"
      R"("first_byte_us":null,"total_us":0,)"
      R"("tls_version":null,"tls_cipher":null,"sni":null,"alpn":null,"tls_resumed":null,"early_data":null,)"
      R"("client_subject":null,"client_sans":null,"client_fingerprint":null,"client_verification":null,"ja4":null,)"
      R"("upstream_tls_error":null,"upstream_http2_error":null})"
      "\n");
}

TEST("a line says of each policy how long it took, that it had no turn, or that it was replayed") {
  AccessRecord record = sample();
  const std::array<AccessPolicy, 2> ran = {
      {{.name = "api-key", .decides = true, .micros = 12},
       {.name = "quota \"a\"", .decides = true, .responds = true, .respondMicros = 7}}};
  record.policies = ran;
  record.consumer = "ann";
  record.policyMicros = 40;
  const std::string line = format(AccessLogFormat::Json, record);
  CHECK(line.find(R"("consumer":"ann","policies":[{"name":"api-key","us":12},)"
                  R"({"name":"quota \"a\"","us":null,"respond_us":7}],)") != std::string::npos);
  CHECK(line.find(R"("policy_us":40,)") != std::string::npos);
  record.replayed = true;
  CHECK(format(AccessLogFormat::Json, record)
            .find(R"("policies":[{"name":"api-key","replayed":true},)") != std::string::npos);
}

TEST("Common and Combined are those of NCSA and Apache") {
  CHECK_EQ(
      format(AccessLogFormat::Common, sample()),
      "203.0.113.7 - - [14/Nov/2023:22:13:20 +0000] \"GET /orders/7?x=1 HTTP/1.1\" 200 1234\n");
  CHECK_EQ(format(AccessLogFormat::Combined, sample()),
           "203.0.113.7 - - [14/Nov/2023:22:13:20 +0000] \"GET /orders/7?x=1 HTTP/1.1\" 200 1234 "
           "\"http://a.example/\" \"curl/8.5.0\"\n");
  AccessRecord nothing;
  nothing.clientIsUnix = true;
  CHECK_EQ(format(AccessLogFormat::Combined, nothing),
           "unix: - - [01/Jan/1970:00:00:00 +0000] \"-\" - 0 \"-\" \"-\"\n");
}

TEST("no format, no line") { CHECK_EQ(format(AccessLogFormat::Off, sample()), ""); }

TEST("IPv6 clients are written as RFC 5952 says") {
  AccessRecord record = sample();
  record.client = *IpAddress::parse("2001:db8:0:0::1");
  CHECK(format(AccessLogFormat::Json, record).find("\"client\":\"2001:db8::1\"") !=
        std::string::npos);
  CHECK(format(AccessLogFormat::Common, record).starts_with("2001:db8::1 - - ["));
}

TEST("dates agree with gmtime") {
  std::vector<std::uint64_t> seconds = {0,
                                        59,
                                        86'399,
                                        86'400,
                                        951'782'399,
                                        951'782'400,
                                        951'868'800,
                                        1'709'164'800,
                                        1'735'689'599,
                                        4'107'542'399,
                                        253'402'300'799};
  std::uint64_t random = 12345;
  for (int i = 0; i < 2000; ++i) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    seconds.push_back((random >> 20) % 253'402'300'800ULL);
  }
  for (const std::uint64_t second : seconds) {
    const auto time = static_cast<std::time_t>(second);
    std::tm parts;
    REQUIRE(gmtime_r(&time, &parts) != nullptr);
    char iso[64];
    char common[64];
    std::strftime(iso, sizeof iso, "{\"time\":\"%Y-%m-%dT%H:%M:%S.999Z\"", &parts);
    std::strftime(common, sizeof common, "[%d/%b/%Y:%H:%M:%S +0000]", &parts);
    // %Y is not padded.
    if (parts.tm_year + 1900 < 1000) continue;
    AccessRecord record = sample();
    record.wallMillis = second * 1000 + 999;
    CHECK_EQ(format(AccessLogFormat::Json, record).substr(0, 34), iso);
    CHECK_EQ(format(AccessLogFormat::Common, record).substr(16, 28), common);
  }
}

TEST("a time beyond the year 9999 still makes a line") {
  AccessRecord record = sample();
  record.wallMillis = ~std::uint64_t{0};
  CHECK(
      format(AccessLogFormat::Json, record).starts_with("{\"time\":\"9999-12-31T23:59:59.615Z\""));
}

TEST("numbers are written whole at their ends") {
  AccessRecord record = sample();
  for (const std::uint64_t number :
       {0ULL, 9ULL, 10ULL, 99ULL, 100ULL, 101ULL, 999ULL, 1000ULL, 12345ULL, 4294967295ULL,
        9999999999999999999ULL, 18446744073709551615ULL}) {
    record.bytesOut = number;
    CHECK(format(AccessLogFormat::Json, record)
              .find("\"bytes_out\":" + std::to_string(number) + ",") != std::string::npos);
  }
}

// What escaping has to come to, byte by byte.
std::string escapedBytes(std::string_view text, AccessLogFormat kind, bool ascii) {
  std::string result;
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    char escape[8];
    if (kind == AccessLogFormat::Json && (byte == '"' || byte == '\\')) {
      result += '\\';
      result += character;
    } else if (byte < 0x20 || byte == 0x7f || byte == '"' || byte == '\\' ||
               (ascii && byte >= 0x80)) {
      std::snprintf(escape, sizeof escape, kind == AccessLogFormat::Json ? "\\u%04x" : "\\x%02x",
                    byte);
      result += escape;
    } else {
      result += character;
    }
  }
  return result;
}

std::string between(const std::string& line, std::string_view before, std::string_view after) {
  const std::size_t begin = line.find(before) + before.size();
  return line.substr(begin, line.find(after, begin) - begin);
}

TEST("every byte is escaped at every place of a text of any length") {
  AccessRecord record = sample();
  record.referer = {};
  for (std::size_t length = 1; length <= 50; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (const unsigned byte : {0x00u, 0x0au, 0x1fu, 0x20u, 0x21u, 0x22u, 0x5bu, 0x5cu, 0x5du,
                                  0x7eu, 0x7fu, 0x80u, 0xc3u, 0xffu}) {
        const std::string plain =
            std::string("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
        std::string text = plain.substr(0, length);
        text[at] = static_cast<char>(byte);
        record.userAgent = text;
        record.route = text;
        const std::string json = format(AccessLogFormat::Json, record);
        CHECK_EQ(between(json, "\"user_agent\":\"", "\",\"reason\""),
                 escapedBytes(text, AccessLogFormat::Json, true));
        CHECK_EQ(between(json, "\"route\":\"", "\",\"upstream\""),
                 escapedBytes(text, AccessLogFormat::Json, false));
        CHECK_EQ(between(format(AccessLogFormat::Combined, record), "\"-\" \"", "\"\n"),
                 escapedBytes(text, AccessLogFormat::Combined, true));
      }
    }
  }
}

TEST("all 256 bytes in one text keep the line one line") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  AccessRecord record = sample();
  record.target = all;
  record.method = all;
  record.upstream = all;
  for (const auto kind :
       {AccessLogFormat::Json, AccessLogFormat::Common, AccessLogFormat::Combined}) {
    const std::string line = format(kind, record);
    CHECK_EQ(line.find('\n'), line.size() - 1);
    CHECK_EQ(line.find('\r'), std::string::npos);
  }
  CHECK_EQ(between(format(AccessLogFormat::Json, record), "\"target\":\"", "\",\"protocol\""),
           escapedBytes(all, AccessLogFormat::Json, true));
}

TEST("a long text is cut at 2 KiB and marked") {
  AccessRecord record = sample();
  const auto targetOf = [&](const std::string& target) {
    record.target = target;
    return between(format(AccessLogFormat::Json, record), "\"target\":\"", "\",\"protocol\"");
  };
  const std::string exact(kMaxAccessField, 'x');
  CHECK_EQ(targetOf(exact), exact);
  CHECK_EQ(targetOf(exact + "y"), exact + "...");
  CHECK_EQ(targetOf(std::string(60'000, 'x')), exact + "...");
  // Never in the middle of an escape.
  CHECK_EQ(targetOf(std::string(kMaxAccessField - 5, 'x') + "\n"),
           std::string(kMaxAccessField - 5, 'x') + "...");
  CHECK_EQ(targetOf(std::string(kMaxAccessField - 6, 'x') + "\n"),
           std::string(kMaxAccessField - 6, 'x') + "\\u000a");
  CHECK_EQ(targetOf(std::string(kMaxAccessField - 6, 'x') + "\ny"),
           std::string(kMaxAccessField - 6, 'x') + "\\u000a...");
}

TEST("the longest line there can be fits") {
  const std::string bad(64 * 1024, '\x01');
  const std::string good(64 * 1024, 'x');
  for (const std::string& text : {bad, good}) {
    AccessRecord record;
    record.wallMillis = ~std::uint64_t{0};
    record.client = *IpAddress::parse("2001:db8:1111:2222:3333:4444:5555:6666");
    record.clientPort = 65535;
    record.listener = record.method = record.host = record.target = record.route = text;
    record.upstream = record.endpoint = record.requestId = record.referer = text;
    record.userAgent = text;
    record.status = 65535;
    record.bytesIn = record.bytesOut = ~std::uint64_t{0};
    record.reason = Reason::UpstreamFirstByteTimeout;
    record.retries = 255;
    record.queueMicros = record.connectMicros = record.firstByteMicros = kNoTime - 1;
    record.totalMicros = kNoTime;
    const std::string line = format(AccessLogFormat::Json, record);
    CHECK(line.size() > 10 * (kMaxAccessField - 6));
    CHECK(line.size() < kMaxAccessLine);
    CHECK(line.ends_with("}\n"));
  }
}

TEST("a line is written whole or not at all") {
  const std::string whole = format(AccessLogFormat::Json, sample());
  std::vector<char> fits(whole.size());
  CHECK_EQ(formatAccess(AccessLogFormat::Json, sample(), fits.data(), fits.size()), whole.size());
  CHECK_EQ(std::string(fits.begin(), fits.end()), whole);
  std::vector<char> small(whole.size() - 1);
  CHECK_EQ(formatAccess(AccessLogFormat::Json, sample(), small.data(), small.size()), 0);
}

// ---- rings

std::string contents(const AccessRing& ring) {
  const auto parts = ring.peek();
  return std::string(parts[0]) + std::string(parts[1]);
}

TEST("a ring gives back what was pushed, also where it wraps") {
  AccessRing ring(16);
  REQUIRE(ring.push("0123456789\n"));
  CHECK_EQ(contents(ring), "0123456789\n");
  CHECK(!ring.push("abcdef\n"));
  CHECK_EQ(contents(ring), "0123456789\n");
  ring.release(11);
  CHECK_EQ(contents(ring), "");
  REQUIRE(ring.push("abcdefg\n"));
  CHECK_EQ(ring.peek()[0], "abcde");
  CHECK_EQ(ring.peek()[1], "fg\n");
  ring.release(3);
  CHECK_EQ(contents(ring), "defg\n");
  CHECK(ring.push("1234567890\n"));
  CHECK(!ring.push("\n"));
  CHECK(!AccessRing(16).push(std::string(17, 'x')));
}

TEST("a ring asks for one wake-up each time it was armed and filled that far") {
  AccessRing ring(64);
  REQUIRE(ring.push("a\n"));
  CHECK(!ring.shouldWake());
  CHECK(!ring.arm(1));
  CHECK(!ring.shouldWake());

  CHECK(ring.arm(6));
  REQUIRE(ring.push("b\n"));
  CHECK(!ring.shouldWake());
  REQUIRE(ring.push("c\n"));
  CHECK(ring.shouldWake());
  CHECK(!ring.shouldWake());
  REQUIRE(ring.push("d\n"));
  CHECK(!ring.shouldWake());

  ring.release(8);
  CHECK(ring.arm(1));
  ring.disarm();
  REQUIRE(ring.push("e\n"));
  CHECK(!ring.shouldWake());
}

TEST("lines cross between two threads whole and in order") {
  AccessRing ring(1024);
  constexpr int kLines = 100'000;
  std::thread producer([&] {
    for (int i = 0; i < kLines; ++i) {
      const std::string line = std::to_string(i) + "\n";
      while (!ring.push(line)) std::this_thread::yield();
    }
  });
  int next = 0;
  bool inOrder = true;
  while (next < kLines) {
    const std::string text = contents(ring);
    if (text.empty()) std::this_thread::yield();
    inOrder = inOrder && (text.empty() || text.back() == '\n');
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      inOrder = inOrder && std::atoi(text.c_str() + at) == next;
      ++next;
    }
    ring.release(text.size());
  }
  producer.join();
  CHECK(inOrder);
  CHECK_EQ(contents(ring), "");
}

// ---- sinks

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/tidegate-log-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TemporaryFolder() {
    for (const std::string& name : names_) ::unlink(at(name).c_str());
    ::rmdir(path_.c_str());
  }

  std::string at(const std::string& name) const { return path_ + "/" + name; }
  // The path of a file that is removed in the end.
  std::string file(const std::string& name) {
    names_.push_back(name);
    return at(name);
  }

 private:
  std::string path_;
  std::vector<std::string> names_;
};

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::string contentsOf(const std::string& path) {
  std::string text;
  const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[64 * 1024];
  for (ssize_t n = 0; (n = ::read(file.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

// All that a non-blocking descriptor has now.
std::string drain(int fd) {
  std::string text;
  char buffer[64 * 1024];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

// As an I/O thread does.
bool log(AccessLog& accessLog, std::size_t thread, const std::string& line) {
  const bool pushed = accessLog.ring(thread).push(line);
  accessLog.notify(thread);
  return pushed;
}

AccessLogConfig to(const std::string& path) {
  return {.format = AccessLogFormat::Json, .path = path};
}

// A line whose every byte tells whose it is and which.
std::string numbered(std::size_t thread, int number) {
  return "t" + std::to_string(thread) + " " + std::to_string(number) + " " +
         std::string(static_cast<std::size_t>(number % 300), static_cast<char>('a' + thread)) +
         "\n";
}

// Checks that `text` is whole lines of numbered() and those of each thread are in order; counts
// them.
std::size_t countNumbered(const std::string& text) {
  std::map<std::size_t, int> last;
  std::size_t lines = 0;
  for (std::size_t at = 0; at < text.size(); ++lines) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) {
      test::reportFailure(__FILE__, __LINE__, "the last line is cut off");
      return lines;
    }
    const std::string line = text.substr(at, end + 1 - at);
    unsigned thread = 0;
    int number = 0;
    const bool read = std::sscanf(line.c_str(), "t%u %d ", &thread, &number) == 2;
    if (!read || line != numbered(thread, number)) {
      test::reportFailure(__FILE__, __LINE__, "not a whole line: " + test::quoted(line));
      return lines;
    }
    const auto before = last.find(thread);
    if (before != last.end() && before->second >= number) {
      test::reportFailure(__FILE__, __LINE__, "out of order: " + test::quoted(line));
    }
    last[thread] = number;
    at = end + 1;
  }
  return lines;
}

TEST("lines reach the file without being asked for, readable by its group only") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  REQUIRE(log(accessLog, 0, "one\n"));
  CHECK(eventually([&] { return contentsOf(path) == "one\n"; }));
  // Once more from sleep.
  REQUIRE(log(accessLog, 0, "two\n"));
  CHECK(eventually([&] { return contentsOf(path) == "one\ntwo\n"; }));
  struct stat info;
  REQUIRE_EQ(::stat(path.c_str(), &info), 0);
  CHECK_EQ(info.st_mode & 0777 & ~0640u, 0);
  accessLog.stop();
  CHECK_EQ(accessLog.dropped(), 0);
}

TEST("a file that exists is appended to") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  for (const char* line : {"first\n", "second\n"}) {
    AccessLog accessLog(1);
    REQUIRE_EQ(accessLog.configure(to(path)), "");
    log(accessLog, 0, line);
    accessLog.stop();
    accessLog.stop();
  }
  CHECK_EQ(contentsOf(path), "first\nsecond\n");
}

TEST("lines of several threads are all written, whole and in each thread's order") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  constexpr std::size_t kThreads = 4;
  constexpr int kLines = 20'000;
  AccessLog accessLog(kThreads);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&accessLog, t] {
      for (int i = 0; i < kLines; ++i) {
        while (!log(accessLog, t, numbered(t, i))) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  accessLog.stop();
  CHECK_EQ(countNumbered(contentsOf(path)), kThreads * kLines);
  CHECK_EQ(accessLog.dropped(), 0);
}

TEST("the log moves on to a new file when the old one was renamed and it is reopened") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  const std::string old = folder.file("access.log.1");
  AccessLog accessLog(2);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  log(accessLog, 0, "before\n");
  CHECK(eventually([&] { return contentsOf(path) == "before\n"; }));
  REQUIRE_EQ(::rename(path.c_str(), old.c_str()), 0);
  log(accessLog, 1, "between\n");
  CHECK(eventually([&] { return contentsOf(old) == "before\nbetween\n"; }));
  REQUIRE_EQ(accessLog.reopen(), "");
  CHECK(eventually([&] {
    log(accessLog, 0, "after\n");
    return !contentsOf(path).empty();
  }));
  accessLog.stop();
}

TEST("reopening under load loses and tears nothing") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  constexpr int kLines = 30'000;
  AccessLog accessLog(2);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  std::atomic<int> running{2};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kLines; ++i) {
        while (!log(accessLog, t, numbered(t, i))) std::this_thread::yield();
      }
      --running;
    });
  }
  std::vector<std::string> rotated;
  while (running > 0) {
    std::string name = folder.file("old" + std::to_string(rotated.size()));
    ::rename(path.c_str(), name.c_str());
    rotated.push_back(std::move(name));
    CHECK_EQ(accessLog.reopen(), "");
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  accessLog.stop();
  std::string all;
  for (const std::string& name : rotated) {
    const std::string text = contentsOf(name);
    CHECK(text.empty() || text.back() == '\n');
    all += text;
  }
  CHECK_EQ(countNumbered(all + contentsOf(path)), 2 * kLines);
  CHECK_EQ(accessLog.dropped(), 0);
}

TEST("a path that cannot be opened is an error, and the log stays where it was") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  CHECK_EQ(accessLog.configure(to("/nonexistent/folder/a.log")),
           "cannot open /nonexistent/folder/a.log: No such file or directory");
  CHECK_EQ(accessLog.configure(to("/tmp")), "cannot open /tmp: Is a directory");
  log(accessLog, 0, "still here\n");
  accessLog.stop();
  CHECK_EQ(contentsOf(path), "still here\n");
  CHECK_EQ(accessLog.reopen(), "the access log has ended");
}

TEST("switched off, the log writes what it has and closes the file") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  AccessLog accessLog(1);
  CHECK_EQ(accessLog.configure({.format = AccessLogFormat::Off, .path = {}}), "");
  CHECK_EQ(accessLog.reopen(), "");
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  log(accessLog, 0, "last\n");
  // The writer adopts the file before it sees the next order.
  CHECK(eventually([&] { return contentsOf(path) == "last\n"; }));
  CHECK_EQ(accessLog.configure({.format = AccessLogFormat::Off, .path = {}}), "");
  CHECK(eventually([&] {
    log(accessLog, 0, "nobody wants it\n");
    return accessLog.dropped() > 0;
  }));
  accessLog.stop();
  CHECK(contentsOf(path).starts_with("last\n"));
}

TEST("a pipe that nobody reads stops no thread; when it is read again, lines are whole") {
  TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  REQUIRE_EQ(::mkfifo(path.c_str(), 0600), 0);
  const FileHandle reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  AccessLog accessLog(2);
  REQUIRE_EQ(accessLog.configure(to(path)), "");

  // Until both rings are full too.
  int next[2] = {0, 0};
  std::size_t pushed = 0;
  std::size_t refused = 0;
  CHECK(eventually([&] {
    for (std::size_t t = 0; t < 2; ++t) {
      for (int i = 0; i < 100; ++i) {
        const bool taken = log(accessLog, t, numbered(t, next[t]++));
        ++(taken ? pushed : refused);
      }
    }
    return refused > 20'000;
  }));

  std::string text;
  CHECK(eventually([&] {
    text += drain(reader.get());
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) == pushed;
  }));
  // And on it goes.
  CHECK(log(accessLog, 1, numbered(1, next[1])));
  CHECK(eventually([&] {
    text += drain(reader.get());
    return text.ends_with(numbered(1, next[1]));
  }));
  accessLog.stop();
  text += drain(reader.get());
  CHECK_EQ(countNumbered(text), pushed + 1);
  CHECK_EQ(accessLog.dropped(), 0);
}

TEST("stop gives a stuck pipe one second, and counts what was lost") {
  TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  REQUIRE_EQ(::mkfifo(path.c_str(), 0600), 0);
  const FileHandle reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  int lines = 0;
  while (log(accessLog, 0, numbered(0, lines))) ++lines;
  const auto begin = std::chrono::steady_clock::now();
  accessLog.stop();
  const auto taken = std::chrono::steady_clock::now() - begin;
  CHECK(taken >= 900ms);
  CHECK(taken < 60s);
  const std::string text = drain(reader.get());
  const auto whole = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  CHECK(whole > 0);
  CHECK_EQ(whole + accessLog.dropped(), lines);
}

TEST("a pipe whose reader goes away and comes back loses and tears nothing") {
  TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  REQUIRE_EQ(::mkfifo(path.c_str(), 0600), 0);
  FileHandle reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  int lines = 0;
  // More than the pipe holds, so that it ends inside a line.
  for (; lines < 3000; ++lines) REQUIRE(log(accessLog, 0, numbered(0, lines)));
  std::string text;
  CHECK(eventually([&] {
    text += drain(reader.get());
    return text.size() > 64 * 1024;
  }));
  reader.reset();
  while (log(accessLog, 0, numbered(0, lines))) ++lines;

  reader = FileHandle(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  CHECK(eventually([&] {
    text += drain(reader.get());
    return std::count(text.begin(), text.end(), '\n') == lines;
  }));
  accessLog.stop();
  CHECK_EQ(countNumbered(text), lines);
  CHECK_EQ(accessLog.dropped(), 0);
}

TEST("a full disk holds lines back; another file gets them") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to("/dev/full")), "");
  for (int i = 0; i < 100; ++i) REQUIRE(log(accessLog, 0, numbered(0, i)));
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  CHECK(eventually([&] { return contentsOf(path).ends_with(numbered(0, 99)); }));
  accessLog.stop();
  CHECK_EQ(countNumbered(contentsOf(path)), 100);
  CHECK_EQ(accessLog.dropped(), 0);
}

TEST("stop does not wait for a full disk, and counts what was lost") {
  AccessLog accessLog(2);
  REQUIRE_EQ(accessLog.configure(to("/dev/full")), "");
  for (int i = 0; i < 50; ++i) REQUIRE(log(accessLog, static_cast<std::size_t>(i % 2), "x\n"));
  const auto begin = std::chrono::steady_clock::now();
  accessLog.stop();
  CHECK(std::chrono::steady_clock::now() - begin < 900ms);
  CHECK_EQ(accessLog.dropped(), 50);
}

// Files of this process may have so many bytes, for as long as it lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST("a line that a full disk has cut is completed when there is room again") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  AccessLog accessLog(2);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  {
    const FileSizeLimit limit(10'001);
    for (int i = 0; i < 200; ++i) {
      for (std::size_t t = 0; t < 2; ++t) REQUIRE(log(accessLog, t, numbered(t, i)));
    }
    CHECK(eventually([&] { return contentsOf(path).size() == 10'001; }));
  }
  accessLog.stop();
  CHECK_EQ(countNumbered(contentsOf(path)), 400);
  CHECK_EQ(accessLog.dropped(), 0);
}

TEST("a cut line goes on in the same file when that is opened again") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  AccessLog accessLog(2);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  {
    const FileSizeLimit limit(10'001);
    for (int i = 0; i < 200; ++i) {
      for (std::size_t t = 0; t < 2; ++t) REQUIRE(log(accessLog, t, numbered(t, i)));
    }
    CHECK(eventually([&] { return contentsOf(path).size() == 10'001; }));
    CHECK_EQ(accessLog.reopen(), "");
  }
  accessLog.stop();
  CHECK_EQ(countNumbered(contentsOf(path)), 400);
}

TEST("a cut line does not go on in another file") {
  TemporaryFolder folder;
  const std::string path = folder.file("access.log");
  const std::string other = folder.file("other.log");
  AccessLog accessLog(2);
  REQUIRE_EQ(accessLog.configure(to(path)), "");
  std::string cut;
  {
    const FileSizeLimit limit(10'001);
    for (int i = 0; i < 200; ++i) {
      for (std::size_t t = 0; t < 2; ++t) REQUIRE(log(accessLog, t, numbered(t, i)));
    }
    CHECK(eventually([&] { return contentsOf(path).size() == 10'001; }));
    CHECK_EQ(accessLog.configure(to(other)), "");
    CHECK(eventually([&] { return contentsOf(other).size() == 10'001; }));
    cut = contentsOf(path);
  }
  accessLog.stop();
  REQUIRE(cut.back() != '\n');
  const auto inFirst = static_cast<std::size_t>(std::count(cut.begin(), cut.end(), '\n'));
  CHECK_EQ(inFirst + countNumbered(contentsOf(other)), 399);
  CHECK_EQ(accessLog.dropped(), 1);
}

// ---- standard output

// Standard output is another file for as long as it lives.
class StandardOutputIs {
 public:
  explicit StandardOutputIs(int fd) : before_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)) {
    std::fflush(stdout);
    ::dup2(fd, STDOUT_FILENO);
  }
  ~StandardOutputIs() { ::dup2(before_.get(), STDOUT_FILENO); }

 private:
  FileHandle before_;
};

struct Pipe {
  FileHandle reader;
  FileHandle writer;
};

Pipe makePipe() {
  int ends[2] = {-1, -1};
  CHECK_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {FileHandle(ends[0]), FileHandle(ends[1])};
}

TEST("standard output that is a pipe is written without blocking, and stays blocking for others") {
  Pipe pipe = makePipe();
  const StandardOutputIs output(pipe.writer.get());
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to("")), "");
  CHECK_EQ(::fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
  int lines = 0;
  while (log(accessLog, 0, numbered(0, lines))) ++lines;
  std::string text;
  CHECK(eventually([&] {
    text += drain(pipe.reader.get());
    return std::count(text.begin(), text.end(), '\n') == lines;
  }));
  accessLog.stop();
  CHECK_EQ(countNumbered(text), lines);
  CHECK_EQ(::fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
}

TEST("standard output that is a socket is written without blocking") {
  int ends[2] = {-1, -1};
  REQUIRE_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  FileHandle reader(ends[0]);
  const FileHandle writer(ends[1]);
  ::fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  const StandardOutputIs output(writer.get());
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to("")), "");
  int lines = 0;
  while (log(accessLog, 0, numbered(0, lines))) ++lines;
  std::string text;
  CHECK(eventually([&] {
    text += drain(reader.get());
    return std::count(text.begin(), text.end(), '\n') == lines;
  }));
  // A peer that is gone ends nothing.
  reader.reset();
  log(accessLog, 0, "lost\n");
  accessLog.stop();
  CHECK_EQ(countNumbered(text), lines);
  CHECK_EQ(accessLog.dropped(), 1);
}

TEST("standard output that is a file is appended to where it stands") {
  TemporaryFolder folder;
  const std::string path = folder.file("out");
  const FileHandle file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  REQUIRE_EQ(::write(file.get(), "banner\n", 7), 7);
  const StandardOutputIs output(file.get());
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to("")), "");
  log(accessLog, 0, "line\n");
  accessLog.stop();
  CHECK_EQ(contentsOf(path), "banner\nline\n");
}

TEST("standard output that cannot be opened anew is written with care") {
  Pipe pipe = makePipe();
  const StandardOutputIs output(pipe.writer.get());
  // A pipe without a reader cannot be opened without waiting.
  pipe.reader.reset();
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to("")), "");
  int lines = 0;
  while (log(accessLog, 0, numbered(0, lines))) ++lines;
  const FileHandle reader(::open("/proc/self/fd/1", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(static_cast<bool>(reader));
  std::string text;
  CHECK(eventually([&] {
    text += drain(reader.get());
    return std::count(text.begin(), text.end(), '\n') == lines;
  }));
  CHECK_EQ(countNumbered(text), lines);

  // Stuck, it costs stop() one second.
  while (log(accessLog, 0, numbered(0, lines))) ++lines;
  const auto begin = std::chrono::steady_clock::now();
  accessLog.stop();
  CHECK(std::chrono::steady_clock::now() - begin < 60s);
  CHECK(accessLog.dropped() > 0);
}

TEST("standard output that is closed is an error") {
  const FileHandle before(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  std::fflush(stdout);
  ::close(STDOUT_FILENO);
  {
    AccessLog accessLog(1);
    // The eventfd may have become descriptor 1; standard output is then that, and no error.
    const std::string error = accessLog.configure(to(""));
    accessLog.stop();
    CHECK(error.empty() || error == "cannot open standard output: Bad file descriptor");
  }
  ::dup2(before.get(), STDOUT_FILENO);
}

TEST("signals of the process never run in the writer thread") {
  TemporaryFolder folder;
  static std::atomic<bool> handledHere{false};
  static std::thread::id mainThread;
  mainThread = std::this_thread::get_id();
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) { handledHere = std::this_thread::get_id() == mainThread; };
  ::sigaction(SIGUSR1, &action, &before);
  AccessLog accessLog(1);
  REQUIRE_EQ(accessLog.configure(to(folder.file("access.log"))), "");
  for (int i = 0; i < 20; ++i) {
    handledHere = false;
    ::kill(::getpid(), SIGUSR1);
    CHECK(eventually([] { return handledHere.load(); }));
  }
  accessLog.stop();
  ::sigaction(SIGUSR1, &before, nullptr);
}

}  // namespace
}  // namespace tidegate
