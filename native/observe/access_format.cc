// The text of an access log line. Runs once a request on the I/O threads, so every part is a copy
// of known length, a number by its digits, or a scan of 16 bytes at a time.
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "observe/access_log.h"

namespace tidegate {
namespace {

// ---- dates, remembered for the second that a thread last wrote

struct DateText {
  std::uint64_t second = ~std::uint64_t{0};
  char iso[19];     // 2026-11-25T07:18:04
  char common[26];  // 25/Nov/2026:07:18:04 +0000
};

void putTwo(char* out, unsigned value) {
  out[0] = static_cast<char>('0' + value / 10);
  out[1] = static_cast<char>('0' + value % 10);
}

void writeDate(DateText& date, std::uint64_t second) {
  constexpr std::uint64_t kLastOfYear9999 = 253'402'300'799;
  date.second = second;
  if (second > kLastOfYear9999) second = kLastOfYear9999;

  // Days to the civil calendar, in eras of 400 years that begin on 1 March (the leap day comes
  // last).
  const std::uint64_t days = second / 86'400 + 719'468;
  const auto ofDay = static_cast<unsigned>(second % 86'400);
  const auto ofEra = static_cast<unsigned>(days % 146'097);
  const unsigned yearOfEra = (ofEra - ofEra / 1'460 + ofEra / 36'524 - ofEra / 146'096) / 365;
  const unsigned ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
  const unsigned marchMonth = (5 * ofYear + 2) / 153;
  const unsigned day = ofYear - (153 * marchMonth + 2) / 5 + 1;
  const unsigned month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const auto year = static_cast<unsigned>(days / 146'097 * 400 + yearOfEra + (month <= 2 ? 1 : 0));

  char clock[8] = {0, 0, ':', 0, 0, ':', 0, 0};
  putTwo(clock, ofDay / 3600);
  putTwo(clock + 3, ofDay / 60 % 60);
  putTwo(clock + 6, ofDay % 60);

  putTwo(date.iso, year / 100);
  putTwo(date.iso + 2, year % 100);
  date.iso[4] = '-';
  putTwo(date.iso + 5, month);
  date.iso[7] = '-';
  putTwo(date.iso + 8, day);
  date.iso[10] = 'T';
  std::memcpy(date.iso + 11, clock, 8);

  constexpr char kMonths[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  putTwo(date.common, day);
  date.common[2] = '/';
  std::memcpy(date.common + 3, kMonths + 3 * (month - 1), 3);
  date.common[6] = '/';
  std::memcpy(date.common + 7, date.iso, 4);
  date.common[11] = ':';
  std::memcpy(date.common + 12, clock, 8);
  std::memcpy(date.common + 20, " +0000", 6);
}

const DateText& dateOf(std::uint64_t second) {
  thread_local DateText date;
  if (date.second != second) writeDate(date, second);
  return date;
}

// ---- texts

enum class Escape : std::uint8_t {
  JsonClient,  // what a client sent: \u00XX, also for bytes that are not ASCII
  JsonConfig,  // names of the configuration, which are UTF-8: \u00XX for control bytes
  Hex,         // \xXX
};

constexpr bool needsEscape(Escape escape, unsigned char byte) {
  if (byte < 0x20 || byte == 0x7f || byte == '"' || byte == '\\') return true;
  return byte >= 0x80 && escape != Escape::JsonConfig;
}

template <Escape E>
constexpr std::array<bool, 256> kNeedsEscape = [] {
  std::array<bool, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    table[byte] = needsEscape(E, static_cast<unsigned char>(byte));
  }
  return table;
}();

#if defined(__SSE2__)
// A bit for each byte that needs an escape.
template <Escape E>
unsigned escapeMask(__m128i bytes) {
  __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                               _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
  found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
  if constexpr (E == Escape::JsonConfig) {
    const __m128i control = _mm_set1_epi8(0x1f);
    found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
  } else {
    // Compared as signed, bytes that are not ASCII are below the space too.
    found = _mm_or_si128(found, _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)));
  }
  return static_cast<unsigned>(_mm_movemask_epi8(found));
}

// Copies `Half` bytes from each end of 2 * Half bytes or fewer; returns where the first byte stands
// that needs an escape, or `length`.
template <Escape E, typename Word>
std::size_t copyEnds(char* out, const char* in, std::size_t length) {
  constexpr std::size_t kHalf = sizeof(Word);
  Word first;
  Word last;
  std::memcpy(&first, in, kHalf);
  std::memcpy(&last, in + length - kHalf, kHalf);
  std::memcpy(out, &first, kHalf);
  std::memcpy(out + length - kHalf, &last, kHalf);
  // The two halves fill the lanes 0 and 1, whose other bytes are harmless spaces.
  const Word spaces = static_cast<Word>(0x2020202020202020);
  alignas(16) Word lanes[16 / kHalf];
  for (Word& lane : lanes) lane = spaces;
  lanes[0] = first;
  lanes[1] = last;
  __m128i bytes;
  std::memcpy(&bytes, lanes, 16);
  const unsigned mask = escapeMask<E>(bytes);
  if (mask == 0) [[likely]] {
    return length;
  }
  const auto at = static_cast<std::size_t>(std::countr_zero(mask));
  return at < kHalf ? at : length - kHalf + (at - kHalf);
}
#endif

// Copies up to the first byte that needs an escape; returns how many bytes that were. What stands
// in `out` after them, up to `length`, is undefined.
template <Escape E>
std::size_t copyPlain(char* out, const char* in, std::size_t length) {
  std::size_t i = 0;
#if defined(__SSE2__)
  if (length >= 16) {
    for (;;) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), bytes);
      const unsigned mask = escapeMask<E>(bytes);
      if (mask != 0) return i + static_cast<std::size_t>(std::countr_zero(mask));
      i += 16;
      if (i >= length) return length;
      // The last part overlaps with the one before it.
      if (i + 16 > length) i = length - 16;
    }
  }
  if (length >= 8) return copyEnds<E, std::uint64_t>(out, in, length);
  if (length >= 4) return copyEnds<E, std::uint32_t>(out, in, length);
#endif
  for (; i < length; ++i) {
    if (kNeedsEscape<E>[static_cast<unsigned char>(in[i])]) return i;
    out[i] = in[i];
  }
  return length;
}

// ---- the line

// Writes without looking at an end: a line is never longer than kMaxAccessLine.
class LineWriter {
 public:
  explicit LineWriter(char* out) : at_(out) {}

  char* end() const { return at_; }

  template <std::size_t N>
  void literal(const char (&text)[N]) {
    std::memcpy(at_, text, N - 1);
    at_ += N - 1;
  }

  void bytes(const char* data, std::size_t length) {
    std::memcpy(at_, data, length);
    at_ += length;
  }

  void number(std::uint64_t value) {
    char digits[20];
    char* first = digits + sizeof digits;
    while (value >= 100) {
      first -= 2;
      std::memcpy(first, kPairs + 2 * (value % 100), 2);
      value /= 100;
    }
    if (value >= 10) {
      first -= 2;
      std::memcpy(first, kPairs + 2 * value, 2);
    } else {
      *--first = static_cast<char>('0' + value);
    }
    bytes(first, static_cast<std::size_t>(digits + sizeof digits - first));
  }

  void address(const IpAddress& address) { at_ += address.format(at_); }

  template <Escape E>
  void text(std::string_view value) {
    const char* in = value.data();
    std::size_t left = value.size();
    std::size_t room = kMaxAccessField;
    for (;;) {
      const std::size_t part = left < room ? left : room;
      const std::size_t copied = copyPlain<E>(at_, in, part);
      at_ += copied;
      if (copied == left) [[likely]] {
        return;
      }
      in += copied;
      left -= copied;
      room -= copied;
      const std::size_t escaped = room == 0 ? 0 : escape<E>(static_cast<unsigned char>(*in), room);
      if (escaped == 0) break;
      ++in;
      --left;
      room -= escaped;
    }
    literal("...");
  }

 private:
  static constexpr char kPairs[] =
      "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445"
      "46"
      "47484950515253545556575859606162636465666768697071727374757677787980818283848586878889909192"
      "93"
      "949596979899";

  // One byte's escape; how long it is, or 0 when there is no room for it.
  template <Escape E>
  std::size_t escape(unsigned char byte, std::size_t room) {
    constexpr char kHex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
    std::size_t length = 6;
    if (E == Escape::Hex) {
      text[1] = 'x';
      text[2] = text[4];
      text[3] = text[5];
      length = 4;
    } else if (byte == '"' || byte == '\\') {
      text[1] = static_cast<char>(byte);
      length = 2;
    }
    if (length > room) return 0;
    bytes(text, length);
    return length;
  }

  char* at_;
};

template <Escape E>
void jsonText(LineWriter& line, std::string_view value) {
  if (value.empty()) {
    line.literal("null");
    return;
  }
  line.literal("\"");
  line.text<E>(value);
  line.literal("\"");
}

void jsonClientText(LineWriter& line, std::string_view value) {
  jsonText<Escape::JsonClient>(line, value);
}

void jsonConfigText(LineWriter& line, std::string_view value) {
  jsonText<Escape::JsonConfig>(line, value);
}

void jsonMicros(LineWriter& line, std::uint32_t micros) {
  if (micros == kNoTime) {
    line.literal("null");
  } else {
    line.number(micros);
  }
}

// The longest name that a policy can have is shorter.
constexpr std::size_t kMaxPolicyName = 128;

void jsonPolicies(LineWriter& line, const AccessRecord& record) {
  const std::size_t count = std::min(record.policies.size(), kMaxAccessPolicies);
  for (std::size_t i = 0; i < count; ++i) {
    const AccessPolicy& policy = record.policies[i];
    if (i > 0) line.literal(",");
    line.literal("{\"name\":");
    jsonConfigText(line, policy.name.substr(0, kMaxPolicyName));
    if (policy.access != AccessAnswer::None) {
      if (policy.access == AccessAnswer::Allowed) {
        line.literal(",\"allowed\":true}");
      } else {
        line.literal(",\"allowed\":false}");
      }
      continue;
    }
    if (policy.decides && record.replayed) {
      line.literal(",\"replayed\":true");
    } else if (policy.decides) {
      line.literal(",\"us\":");
      jsonMicros(line, policy.micros);
    }
    if (policy.responds) {
      line.literal(",\"respond_us\":");
      jsonMicros(line, policy.respondMicros);
    }
    line.literal("}");
  }
}

void jsonTls(LineWriter& line, const AccessRecord& record) {
  const TlsFacts* const tls = record.tls;
  if (tls == nullptr) {
    line.literal(
        ",\"tls_version\":null,\"tls_cipher\":null,\"sni\":null,\"alpn\":null,\"tls_resumed\":null,"
        "\"early_data\":null,\"client_subject\":null,\"client_sans\":null,\"client_fingerprint\":"
        "null,\"client_verification\":null,\"ja4\":null");
    return;
  }
  line.literal(",\"tls_version\":");
  jsonClientText(line, tls->version);
  line.literal(",\"tls_cipher\":");
  jsonClientText(line, tls->cipher);
  line.literal(",\"sni\":");
  jsonClientText(line, tls->sni);
  line.literal(",\"alpn\":");
  jsonClientText(line, tls->alpn);
  if (tls->resumed) {
    line.literal(",\"tls_resumed\":true");
  } else {
    line.literal(",\"tls_resumed\":false");
  }
  if (record.early) {
    line.literal(",\"early_data\":true,\"client_subject\":");
  } else {
    line.literal(",\"early_data\":false,\"client_subject\":");
  }
  jsonClientText(line, tls->subject);
  line.literal(",\"client_sans\":");
  jsonClientText(line, tls->sans);
  line.literal(",\"client_fingerprint\":");
  jsonClientText(line, tls->fingerprint);
  line.literal(",\"client_verification\":");
  jsonClientText(line, tls->verification);
  line.literal(",\"ja4\":");
  jsonClientText(line, tls->ja4);
}

void writeJson(LineWriter& line, const AccessRecord& record) {
  line.literal("{\"time\":\"");
  line.bytes(dateOf(record.wallMillis / 1000).iso, sizeof DateText::iso);
  const auto millis = static_cast<unsigned>(record.wallMillis % 1000);
  const char fraction[] = {'.', static_cast<char>('0' + millis / 100),
                           static_cast<char>('0' + millis / 10 % 10),
                           static_cast<char>('0' + millis % 10), 'Z'};
  line.bytes(fraction, sizeof fraction);
  if (record.clientIsUnix) {
    line.literal("\",\"client\":\"unix:\",\"port\":null");
  } else {
    line.literal("\",\"client\":\"");
    line.address(record.client);
    line.literal("\",\"port\":");
    line.number(record.clientPort);
  }
  line.literal(",\"listener\":");
  jsonConfigText(line, record.listener);
  line.literal(",\"method\":");
  jsonClientText(line, record.method);
  line.literal(",\"host\":");
  jsonClientText(line, record.host);
  line.literal(",\"target\":");
  jsonClientText(line, record.target);
  if (record.majorVersion == 2) {
    line.literal(",\"protocol\":\"HTTP/2.0\",\"status\":");
  } else if (record.minorVersion == 0) {
    line.literal(",\"protocol\":\"HTTP/1.0\",\"status\":");
  } else {
    line.literal(",\"protocol\":\"HTTP/1.1\",\"status\":");
  }
  if (record.status == 0) {
    line.literal("null");
  } else {
    line.number(record.status);
  }
  line.literal(",\"bytes_in\":");
  line.number(record.bytesIn);
  line.literal(",\"bytes_out\":");
  line.number(record.bytesOut);
  line.literal(",\"route\":");
  jsonConfigText(line, record.route);
  line.literal(",\"upstream\":");
  jsonConfigText(line, record.upstream);
  line.literal(",\"endpoint\":");
  jsonConfigText(line, record.endpoint);
  line.literal(",\"consumer\":");
  jsonClientText(line, record.consumer);
  line.literal(",\"policies\":[");
  jsonPolicies(line, record);
  line.literal("],\"request_id\":");
  jsonClientText(line, record.requestId);
  line.literal(",\"referer\":");
  jsonClientText(line, record.referer);
  line.literal(",\"user_agent\":");
  jsonClientText(line, record.userAgent);
  line.literal(",\"reason\":\"");
  const std::string_view reason = reasonCode(record.reason);
  line.bytes(reason.data(), reason.size());
  line.literal("\",\"retries\":");
  line.number(record.retries);
  if (record.reused) {
    line.literal(",\"reused\":true,\"policy_us\":");
  } else {
    line.literal(",\"reused\":false,\"policy_us\":");
  }
  jsonMicros(line, record.policyMicros);
  line.literal(",\"queue_us\":");
  jsonMicros(line, record.queueMicros);
  line.literal(",\"connect_us\":");
  jsonMicros(line, record.connectMicros);
  line.literal(",\"first_byte_us\":");
  jsonMicros(line, record.firstByteMicros);
  line.literal(",\"total_us\":");
  line.number(record.totalMicros);
  jsonTls(line, record);
  line.literal(",\"upstream_tls_error\":");
  jsonConfigText(line, record.upstreamTlsError);
  line.literal(",\"upstream_http2_error\":");
  jsonConfigText(line, record.upstreamHttp2Error);
  line.literal("}\n");
}

void quotedOrDash(LineWriter& line, std::string_view value) {
  line.literal("\"");
  if (value.empty()) {
    line.literal("-");
  } else {
    line.text<Escape::Hex>(value);
  }
  line.literal("\"");
}

// NCSA: %h %l %u %t "%r" %>s %b. There are no user names here.
void writeCommon(LineWriter& line, const AccessRecord& record) {
  if (record.clientIsUnix) {
    line.literal("unix:");
  } else {
    line.address(record.client);
  }
  line.literal(" - - [");
  line.bytes(dateOf(record.wallMillis / 1000).common, sizeof DateText::common);
  line.literal("] \"");
  if (record.method.empty()) {
    line.literal("-\" ");
  } else {
    line.text<Escape::Hex>(record.method);
    line.literal(" ");
    line.text<Escape::Hex>(record.target);
    if (record.majorVersion == 2) {
      line.literal(" HTTP/2.0\" ");
    } else if (record.minorVersion == 0) {
      line.literal(" HTTP/1.0\" ");
    } else {
      line.literal(" HTTP/1.1\" ");
    }
  }
  if (record.status == 0) {
    line.literal("-");
  } else {
    line.number(record.status);
  }
  line.literal(" ");
  line.number(record.bytesOut);
}

void writeCombined(LineWriter& line, const AccessRecord& record) {
  writeCommon(line, record);
  line.literal(" ");
  quotedOrDash(line, record.referer);
  line.literal(" ");
  quotedOrDash(line, record.userAgent);
}

// Thirteen texts, quoted and cut; all else is shorter than this. Each byte of a policy's name may
// be escaped.
constexpr std::size_t kMaxRest = 2048 + kMaxAccessPolicies * (2 * kMaxPolicyName + 64);
static_assert(13 * (kMaxAccessField + sizeof "\"...\"") + kMaxRest <= kMaxAccessLine);

// `out` has room for kMaxAccessLine.
std::size_t writeLine(AccessLogFormat format, const AccessRecord& record, char* out) {
  LineWriter line(out);
  switch (format) {
    case AccessLogFormat::Off:
      break;
    case AccessLogFormat::Json:
      writeJson(line, record);
      break;
    case AccessLogFormat::Common:
      writeCommon(line, record);
      line.literal("\n");
      break;
    case AccessLogFormat::Combined:
      writeCombined(line, record);
      line.literal("\n");
      break;
  }
  return static_cast<std::size_t>(line.end() - out);
}

}  // namespace

std::size_t formatAccess(AccessLogFormat format, const AccessRecord& record, char* out,
                         std::size_t capacity) {
  if (capacity >= kMaxAccessLine) [[likely]] {
    return writeLine(format, record, out);
  }
  char whole[kMaxAccessLine];
  const std::size_t length = writeLine(format, record, whole);
  if (length > capacity) return 0;
  std::memcpy(out, whole, length);
  return length;
}

}  // namespace tidegate
