// Edits of a query by policies.
#pragma once

#include <string_view>

#include "policy/verdict.h"
#include "proxy/text_arena.h"

namespace tidegate {

// The query after the edits, in their order. Parameters that none of them names stay byte for byte
// as they were sent; what is added is percent-encoded but for the unreserved characters of RFC 3986
// 2.3. `query` itself where there are no edits, else of the arena.
std::string_view editQuery(std::string_view query, const VerdictEdits& edits, TextArena& arena);

}  // namespace tidegate
