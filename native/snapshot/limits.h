// The ranges that everything in a snapshot keeps. The decoder enforces them, so the rest of the
// core relies on them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "http/message.h"
#include "observe/stats.h"
#include "snapshot/snapshot.h"

namespace tidegate {

// Both ends belong to it.
struct Range {
  std::int64_t min;
  std::int64_t max;
};

namespace limits {

inline constexpr std::int64_t kKiB = 1024;
inline constexpr std::int64_t kYearMillis = 366LL * 24 * 60 * 60 * 1000;

// Numbers.
inline constexpr Range kVersion = {0, INT64_MAX};
inline constexpr Range kRequestLineBytes = {64, kMaxHeadBytes};
inline constexpr Range kHeaderBytes = {1 * kKiB, kMaxHeadBytes};
inline constexpr Range kHeaderCount = {1, kMaxFields};
inline constexpr Range kBodyBytes = {0, INT64_MAX};    // or unlimited
inline constexpr Range kTimeout = {1, kYearMillis};    // milliseconds, or unlimited
inline constexpr Range kDownFor = {1, kYearMillis};    // milliseconds
inline constexpr Range kMaxRequests = {1, INT64_MAX};  // or unlimited
inline constexpr Range kStreams = {1, 4096};
inline constexpr Range kPriority = {-1000, 1000};
inline constexpr Range kRetries = {0, 10};
inline constexpr Range kWeight = {1, 256};
inline constexpr Range kPoolMaxIdle = {0, 65'535};
inline constexpr Range kPoolMaxStreams = {1, 10'000};
inline constexpr Range kPassiveFailures = {0, 1'000'000};
inline constexpr Range kRespondStatus = {200, 599};  // 1xx never ends an exchange
inline constexpr Range kRefusalStatus = {400, 599};
inline constexpr Range kRedirectStatus = {300, 399};
inline constexpr Range kChainId = {0, UINT32_MAX};
inline constexpr Range kChainTimeout = {1, 60LL * 60 * 1000};  // milliseconds
inline constexpr Range kCollectedBytes = {0, 128 * kKiB};
inline constexpr Range kChainDepth = {0, 32};
inline constexpr Range kHandshakes = {1, 1'000'000};
inline constexpr Range kMetricSlot = {0, kMaxSlots - 1};

// Elements of a list.
inline constexpr Range kListeners = {0, 1024};
inline constexpr Range kCertificates = {1, 1024};  // of a listener
inline constexpr Range kCertificateNames = {0, 1024};
inline constexpr Range kTicketKeys = {0, 16};
inline constexpr Range kAccess = {0, 1024};
inline constexpr Range kAccessSteps = {0, 16};  // of a route
inline constexpr Range kChains = {0, 65'536};
inline constexpr Range kPolicies = {0, 64};
inline constexpr Range kInputs = {0, 64};
inline constexpr Range kMediaTypes = {0, 32};
inline constexpr Range kRoutes = {0, 65'536};
inline constexpr Range kUpstreams = {0, 65'536};
inline constexpr Range kEndpoints = {1, 1024};  // kMaxEndpoints of the balancers
inline constexpr Range kNetworks = {0, 16'384};
inline constexpr Range kHosts = {0, 4096};
inline constexpr Range kPaths = {0, 4096};
inline constexpr Range kMethods = {0, 64};
inline constexpr Range kPredicates = {0, 64};  // header and query matches each
inline constexpr Range kEdits = {0, 64};       // set, add, remove each
inline constexpr Range kTemplateParts = {0, 128};

// Bytes of a text.
inline constexpr std::size_t kNameBytes = 256;
inline constexpr std::size_t kHostBytes = 255;
inline constexpr std::size_t kPatternBytes = 8 * 1024;  // paths, regular expressions, values
inline constexpr std::size_t kLiteralBytes = 8 * 1024;  // a literal of a template
inline constexpr std::size_t kBodyLiteralBytes = 1024 * 1024;
inline constexpr std::size_t kPemBytes = 1024 * 1024;
inline constexpr std::size_t kDetailBytes = 1024;
inline constexpr std::size_t kPrefixRules = 1'000'000;  // of one set, in a binary value
inline constexpr std::size_t kFilePathBytes = 4095;

// The whole encoding. What it decodes to is a small multiple of it, because each element of a list
// that holds more than a few bytes has a name or a value of its own.
inline constexpr std::size_t kSnapshotBytes = 64 * 1024 * 1024;

}  // namespace limits
}  // namespace tidegate
