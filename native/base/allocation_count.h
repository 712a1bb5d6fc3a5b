// Counts the heap allocations of each thread, so that "a keep-alive request allocates nothing" can
// be measured in a running gateway.
#pragma once

#include <cstdint>

namespace tidegate {

// False in sanitizer builds, whose own operator new must see every allocation.
bool allocationsAreCounted();

// Calls of operator new by the calling thread since it began; always 0 when allocations are not
// counted. Direct calls of malloc are not seen. An executable counts what libstdc++ allocates for
// it too; a shared object (below) counts the calls of its own code.
std::uint64_t threadAllocations();

}  // namespace tidegate

// A shared object says this once, at namespace scope of any of its own sources: its calls of
// operator new then stay inside it. Without it the dynamic linker binds them to those of the
// process that has loaded it, and nothing is counted. (The headers of libstdc++ forbid the usual
// attribute.)
#define TIDEGATE_LOCAL_OPERATOR_NEW                                  \
  __asm__(                                                           \
      ".hidden _Znwm\n.hidden _Znam\n"                               \
      ".hidden _ZnwmRKSt9nothrow_t\n.hidden _ZnamRKSt9nothrow_t\n"   \
      ".hidden _ZnwmSt11align_val_t\n.hidden _ZnamSt11align_val_t\n" \
      ".hidden _ZnwmSt11align_val_tRKSt9nothrow_t\n"                 \
      ".hidden _ZnamSt11align_val_tRKSt9nothrow_t\n")
