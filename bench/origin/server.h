// One thread's event loop: edge-triggered epoll, one read and one write per request.
#pragma once

namespace tidegate::bench {

// Serves the listener's connections until the process ends. Threads share nothing but the listener.
// `tcp` says that the kernel can drop a body without copying it.
[[noreturn]] void serve(int listener, bool tcp);

}  // namespace tidegate::bench
