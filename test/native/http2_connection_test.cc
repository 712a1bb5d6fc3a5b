// The HTTP/2 server connection by itself: what goes out in which order, windows, back-pressure,
// priorities, and its end.
#include "check.h"
#include "http2_harness.h"

namespace tidegate::http2 {

namespace {

using test::blockOf;
using test::FakeExchange;
using test::frameOf;
using test::Http2Harness;
using test::number32;
using test::requestFrame;
using test::settingOf;
using test::WrittenFrame;

const std::string kSettings = frameOf(FrameType::Settings, 0, 0);

std::string windowUpdate(std::uint32_t stream, std::uint32_t bytes) {
  return frameOf(FrameType::WindowUpdate, 0, stream, number32(bytes));
}

// Bytes of DATA by stream, in the order of the frames: "1:100 3:50 ".
std::string dataOf(const std::vector<WrittenFrame>& frames) {
  std::string text;
  for (const WrittenFrame& frame : frames) {
    if (frame.header.type != FrameType::Data || frame.header.length == 0) continue;
    text += std::to_string(frame.header.stream) + ":" + std::to_string(frame.header.length) + " ";
  }
  return text;
}

std::size_t countOf(const std::vector<WrittenFrame>& frames, FrameType type) {
  return static_cast<std::size_t>(std::ranges::count_if(
      frames, [type](const WrittenFrame& frame) { return frame.header.type == type; }));
}

const WrittenFrame* findOf(const std::vector<WrittenFrame>& frames, FrameType type) {
  for (const WrittenFrame& frame : frames) {
    if (frame.header.type == type) return &frame;
  }
  return nullptr;
}

}  // namespace

TEST("http2 connection: SETTINGS come first, and are acknowledged") {
  Http2Harness harness;
  harness.begin(kSettings);
  const auto frames = harness.takeFrames();
  REQUIRE_EQ(frames.size(), std::size_t{3});
  CHECK(frames[0].header.type == FrameType::Settings);
  CHECK(frames[1].header.type == FrameType::WindowUpdate);
  CHECK(frames[2].header.type == FrameType::Settings);
  CHECK(frames[2].header.has(kAck));
}

TEST("http2 connection: a whole response is one HEADERS and one DATA that ends it") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a"));
  harness.takeFrames();
  FakeExchange& exchange = *harness.exchanges.at(0);
  CHECK_EQ(exchange.target, "/a");
  exchange.respond(200);
  exchange.send("hello");
  exchange.finish();
  harness.turn();
  const auto frames = harness.takeFrames();
  REQUIRE_EQ(frames.size(), std::size_t{2});
  CHECK(!frames[0].header.has(kEndStream));
  CHECK_EQ(frames[1].payload, "hello");
  CHECK(frames[1].header.has(kEndStream));
  CHECK(exchange.done);
}

TEST("http2 connection: a response without a body ends with its HEADERS") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a"));
  harness.takeFrames();
  harness.exchanges.at(0)->respond(204, BodyKind::None);
  harness.exchanges.at(0)->finish();
  harness.turn();
  const auto frames = harness.takeFrames();
  REQUIRE_EQ(frames.size(), std::size_t{1});
  CHECK(frames[0].header.has(kEndStream));
}

TEST("http2 connection: a response whose end comes late ends with empty DATA") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a"));
  FakeExchange& exchange = *harness.exchanges.at(0);
  exchange.respond(200);
  exchange.send("hello");
  harness.turn();
  harness.takeFrames();
  exchange.finish();
  harness.turn();
  const auto frames = harness.takeFrames();
  REQUIRE_EQ(frames.size(), std::size_t{1});
  CHECK(frames[0].header.type == FrameType::Data);
  CHECK(frames[0].header.has(kEndStream));
}

TEST("http2 connection: a flag is not added to what the transport has seen") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a"));
  harness.takeFrames();
  FakeExchange& exchange = *harness.exchanges.at(0);
  exchange.respond(200);
  exchange.send("hello");
  harness.bytes.room = 3;
  harness.turn();
  exchange.finish();
  harness.drainOutput();
  const auto frames = harness.takeFrames();
  REQUIRE_EQ(frames.size(), std::size_t{3});
  CHECK(!frames[1].header.has(kEndStream));
  CHECK(frames[2].header.has(kEndStream));
}

TEST("http2 connection: windows bound what is sent, and the exchange is told") {
  Http2Harness harness;
  harness.begin(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 1'000)) +
                requestFrame(1, "/a"));
  FakeExchange& exchange = *harness.exchanges.at(0);
  exchange.respond(200);
  exchange.send(std::string(10'000, 'x'));
  CHECK(!exchange.blocked);
  exchange.send(std::string(10'000, 'x'));
  CHECK(exchange.blocked);
  harness.turn();
  CHECK_EQ(dataOf(harness.takeFrames()), "1:1000 ");
  CHECK(exchange.blocked);
  harness.give(windowUpdate(1, 500));
  CHECK_EQ(dataOf(harness.takeFrames()), "1:500 ");
  CHECK(exchange.blocked);
  // Smaller by more than is left, then larger again (RFC 9113 6.9.2).
  harness.give(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 0)));
  harness.give(windowUpdate(1, 600));
  CHECK_EQ(dataOf(harness.takeFrames()), "");
  harness.give(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 1'000)));
  CHECK_EQ(dataOf(harness.takeFrames()), "1:600 ");
  harness.give(windowUpdate(1, 100'000));
  CHECK_EQ(dataOf(harness.takeFrames()), "1:16384 1:1516 ");
  CHECK(!exchange.blocked);
}

TEST("http2 connection: the window of the connection bounds all streams together") {
  Http2Harness harness;
  harness.begin(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 1 << 20)) +
                requestFrame(1, "/a") + requestFrame(3, "/b"));
  for (const auto& exchange : harness.exchanges) {
    exchange->respond(200);
    exchange->send(std::string(50'000, 'x'));
  }
  harness.turn();
  CHECK_EQ(dataOf(harness.takeFrames()), "1:16384 1:16384 1:16384 1:848 3:15535 ");
  harness.give(windowUpdate(0, 40'000));
  CHECK_EQ(dataOf(harness.takeFrames()), "3:16384 3:16384 3:1697 ");
}

TEST("http2 connection: urgent ones first, whole ones in order, incremental ones by turns") {
  Http2Harness harness;
  harness.begin(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 1 << 20)) +
                requestFrame(1, "/hog", true, "u=7") + requestFrame(3, "/i", true, "u=3, i") +
                requestFrame(5, "/j", true, "i") + requestFrame(7, "/w", true, "u=2") +
                requestFrame(9, "/now", true, "u=0"));
  for (const auto& exchange : harness.exchanges) exchange->respond(200);
  // The window of the connection is used up by the first.
  harness.exchanges.at(0)->send(std::string(65'535, 'x'));
  harness.turn();
  harness.takeFrames();
  for (const auto& exchange : harness.exchanges) exchange->send(std::string(20'000, 'x'));
  harness.give(windowUpdate(0, 1'000'000));
  CHECK_EQ(dataOf(harness.takeFrames()),
           "9:16384 9:3616 7:16384 7:3616 3:16384 5:16384 3:3616 5:3616 1:16384 1:3616 ");
}

TEST("http2 connection: PRIORITY_UPDATE changes the order") {
  Http2Harness harness;
  harness.begin(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 1 << 20)) +
                requestFrame(1, "/a") + requestFrame(3, "/b"));
  for (const auto& exchange : harness.exchanges) exchange->respond(200);
  harness.exchanges.at(0)->send(std::string(65'535, 'x'));
  harness.turn();
  harness.takeFrames();
  for (const auto& exchange : harness.exchanges) exchange->send(std::string(1'000, 'x'));
  harness.give(frameOf(FrameType::PriorityUpdate, 0, 0, number32(3) + "u=1") +
               windowUpdate(0, 1'000'000));
  CHECK_EQ(dataOf(harness.takeFrames()), "3:1000 1:1000 ");
}

TEST("http2 connection: PRIORITY_UPDATE ahead of its request counts, and more than its field") {
  Http2Harness harness;
  harness.begin(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 1 << 20)) +
                frameOf(FrameType::PriorityUpdate, 0, 0, number32(5) + "u=7") +
                frameOf(FrameType::PriorityUpdate, 0, 0, number32(5) + "u=1") +
                frameOf(FrameType::PriorityUpdate, 0, 0, number32(7) + "u=0") +
                requestFrame(1, "/hog", true, "u=7") + requestFrame(3, "/b") +
                requestFrame(5, "/c", true, "u=6") + requestFrame(7, "/d"));
  for (const auto& exchange : harness.exchanges) exchange->respond(200);
  harness.exchanges.at(0)->send(std::string(65'535, 'x'));
  harness.turn();
  harness.takeFrames();
  for (const auto& exchange : harness.exchanges) exchange->send(std::string(1'000, 'x'));
  harness.give(windowUpdate(0, 1'000'000));
  CHECK_EQ(dataOf(harness.takeFrames()), "7:1000 5:1000 3:1000 1:1000 ");
}

TEST("http2 connection: of priorities ahead of their requests the last few are kept") {
  Http2Harness harness;
  std::string ahead;
  for (std::uint32_t id = 3; id < 3 + 2 * 9; id += 2)
    ahead += frameOf(FrameType::PriorityUpdate, 0, 0, number32(id) + "u=1");
  harness.begin(frameOf(FrameType::Settings, 0, 0, settingOf(Setting::InitialWindowSize, 1 << 20)) +
                ahead + requestFrame(1, "/hog", true, "u=7") + requestFrame(3, "/oldest") +
                requestFrame(5, "/kept"));
  for (const auto& exchange : harness.exchanges) exchange->respond(200);
  harness.exchanges.at(0)->send(std::string(65'535, 'x'));
  harness.turn();
  harness.takeFrames();
  for (const auto& exchange : harness.exchanges) exchange->send(std::string(1'000, 'x'));
  harness.give(windowUpdate(0, 1'000'000));
  CHECK_EQ(dataOf(harness.takeFrames()), "5:1000 3:1000 1:1000 ");
}

TEST("http2 connection: its transport rests when it has been idle for a second, and not before") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a"));
  for (std::uint32_t next = 3; next < 9; next += 2) {
    harness.exchanges.back()->respond(200);
    harness.exchanges.back()->finish();
    harness.turn();
    harness.give(requestFrame(next, "/b"));
  }
  harness.exchanges.back()->respond(200);
  harness.exchanges.back()->finish();
  harness.turn();
  CHECK_EQ(harness.bytes.rests, 0);
  while (harness.bytes.rests == 0 && !harness.closed()) harness.loop.turn();
  CHECK_EQ(harness.bytes.rests, 1);
  CHECK(!harness.closed());
}

TEST("http2 connection: a body that nobody takes is held back, and only it") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a", false) + requestFrame(3, "/b", false));
  FakeExchange& stalled = *harness.exchanges.at(0);
  FakeExchange& reading = *harness.exchanges.at(1);
  reading.resume();
  harness.takeFrames();
  const std::string piece(16'384, 'x');
  for (int i = 0; i < 8; ++i) harness.give(frameOf(FrameType::Data, 0, 1, piece));
  CHECK(stalled.body.empty());
  CHECK_EQ(countOf(harness.takeFrames(), FrameType::WindowUpdate), std::size_t{0});
  for (int i = 0; i < 100; ++i) harness.give(frameOf(FrameType::Data, 0, 3, piece));
  CHECK_EQ(reading.body.size(), 100 * piece.size());
  CHECK(!reading.gone);
  harness.takeFrames();
  stalled.resume();
  harness.turn();
  CHECK_EQ(stalled.body.size(), 8 * piece.size());
  CHECK(countOf(harness.takeFrames(), FrameType::WindowUpdate) > 0);
  harness.give(frameOf(FrameType::Data, kEndStream, 1));
  CHECK(stalled.requestEnded);
}

TEST("http2 connection: more than the window of a stream resets it") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a", false));
  const std::string piece(16'384, 'x');
  for (int i = 0; i < 9; ++i) harness.give(frameOf(FrameType::Data, 0, 1, piece));
  const auto frames = harness.takeFrames();
  const WrittenFrame* reset = findOf(frames, FrameType::RstStream);
  CHECK(reset != nullptr &&
        load32(reset->payload.data()) == static_cast<std::uint32_t>(ErrorCode::FlowControlError));
  CHECK(harness.exchanges.at(0)->gone);
}

TEST("http2 connection: trailers that wait behind a body come after it") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a", false));
  FakeExchange& exchange = *harness.exchanges.at(0);
  harness.give(frameOf(FrameType::Data, 0, 1, "body"));
  harness.give(frameOf(FrameType::Headers, kEndHeaders | kEndStream, 1, blockOf({{"x-a", "b"}})));
  CHECK(exchange.body.empty());
  CHECK(!exchange.requestEnded);
  exchange.resume();
  harness.turn();
  CHECK_EQ(exchange.body, "body");
  CHECK(exchange.requestEnded);
  CHECK_EQ(exchange.trailerCount, std::size_t{1});
}

TEST("http2 connection: an early response resets what is left of its request, without an error") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a", false));
  harness.takeFrames();
  harness.exchanges.at(0)->respond(403, BodyKind::None);
  harness.exchanges.at(0)->finish();
  harness.turn();
  const auto frames = harness.takeFrames();
  REQUIRE_EQ(frames.size(), std::size_t{2});
  CHECK(frames[0].header.has(kEndStream));
  CHECK(frames[1].header.type == FrameType::RstStream);
  CHECK_EQ(load32(frames[1].payload.data()), 0U);
  CHECK(harness.exchanges.at(0)->done);
  // What was on its way is passed over.
  harness.give(frameOf(FrameType::Data, kEndStream, 1, "late"));
  CHECK_EQ(countOf(harness.takeFrames(), FrameType::RstStream), std::size_t{0});
}

TEST("http2 connection: everything of a turn goes out in one write") {
  Http2Harness harness;
  std::string requests = kSettings;
  for (std::uint32_t i = 0; i < 50; ++i) requests += requestFrame(2 * i + 1, "/a");
  harness.begin(requests);
  harness.takeFrames();
  const std::uint64_t before = harness.counters.clientBytesWritten.get();
  for (const auto& exchange : harness.exchanges) {
    exchange->respond(200);
    exchange->send("hello");
    exchange->finish();
    CHECK_EQ(harness.counters.clientBytesWritten.get(), before);
  }
  harness.turn();
  CHECK_EQ(countOf(harness.takeFrames(), FrameType::Data), std::size_t{50});
}

TEST("http2 connection: a drain says first that it ends, then where") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a"));
  harness.takeFrames();
  harness.connection().drain();
  harness.turn();
  auto frames = harness.takeFrames();
  const WrittenFrame* goAway = findOf(frames, FrameType::GoAway);
  const WrittenFrame* ping = findOf(frames, FrameType::Ping);
  REQUIRE(goAway != nullptr && ping != nullptr);
  CHECK_EQ(load32(goAway->payload.data()), kMaxStreamId);
  // One that was on its way is still taken.
  harness.give(requestFrame(3, "/b"));
  CHECK_EQ(harness.exchanges.size(), std::size_t{2});
  harness.give(frameOf(FrameType::Ping, kAck, 0, ping->payload));
  frames = harness.takeFrames();
  goAway = findOf(frames, FrameType::GoAway);
  REQUIRE(goAway != nullptr);
  CHECK_EQ(load32(goAway->payload.data()), 3U);
  harness.give(requestFrame(5, "/c"));
  CHECK_EQ(harness.exchanges.size(), std::size_t{2});
  for (const auto& exchange : harness.exchanges) {
    exchange->respond(200, BodyKind::None);
    exchange->finish();
  }
  harness.turn();
  CHECK(harness.exchanges.at(1)->done);
  harness.bytes.ended = true;
  harness.give("");
  CHECK(harness.closed());
}

TEST("http2 connection: one whose client sends no more serves what is complete, and ends") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a") + requestFrame(3, "/b", false));
  harness.bytes.ended = true;
  harness.give("");
  CHECK(!harness.closed());
  CHECK(!harness.exchanges.at(0)->gone);
  CHECK(harness.exchanges.at(1)->gone);
  CHECK(harness.exchanges.at(1)->reason == Reason::ClientClosed);
  const std::vector<WrittenFrame> frames = harness.takeFrames();
  CHECK(findOf(frames, FrameType::GoAway) != nullptr);
  const WrittenFrame* const reset = findOf(frames, FrameType::RstStream);
  REQUIRE(reset != nullptr);
  CHECK_EQ(reset->header.stream, 3U);
  harness.exchanges.at(0)->respond(200, BodyKind::None);
  harness.exchanges.at(0)->finish();
  harness.turn();
  CHECK(harness.exchanges.at(0)->done);
  harness.give("");
  CHECK(harness.closed());
}

TEST("http2 connection: one that the client leaves takes its streams with it") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a", false) + requestFrame(3, "/b", false));
  harness.bytes.ended = true;
  harness.give("");
  CHECK(harness.closed());
  for (const auto& exchange : harness.exchanges) {
    CHECK(exchange->gone);
    CHECK(exchange->reason == Reason::ClientClosed);
  }
}

TEST("http2 connection: a request that is taken back in what was read with it never begins") {
  Http2Harness harness;
  harness.begin(kSettings + requestFrame(1, "/a") + requestFrame(3, "/b", false) +
                requestFrame(5, "/c") + requestFrame(7, "/d") +
                frameOf(FrameType::RstStream, 0, 1, number32(8)) +
                frameOf(FrameType::Data, 0, 3, "body") +
                frameOf(FrameType::RstStream, 0, 3, number32(8)) + windowUpdate(5, 0));
  REQUIRE_EQ(harness.exchanges.size(), std::size_t{4});
  for (const std::size_t i : {0U, 1U, 2U}) {
    CHECK(!harness.exchanges[i]->begun);
    CHECK(harness.exchanges[i]->gone);
  }
  CHECK(harness.exchanges[3]->begun);
}

TEST("http2 connection: a request begins with the body and the end that came with it") {
  Http2Harness harness;
  harness.resumeAtBegin = true;
  harness.begin(kSettings + requestFrame(1, "/a", false) + frameOf(FrameType::Data, 0, 1, "bo") +
                frameOf(FrameType::Data, kEndStream, 1, "dy"));
  FakeExchange& exchange = *harness.exchanges.at(0);
  CHECK_EQ(exchange.body, "body");
  CHECK(exchange.requestEnded);
}

TEST("http2 connection: requests beyond a share of the turn wait, and can be taken back") {
  Http2Harness harness;
  harness.begin(kSettings);
  std::string bytes;
  for (std::uint32_t i = 0; i < 100; ++i) bytes += requestFrame(2 * i + 1, "/a");
  const auto begun = [&harness] {
    return std::ranges::count_if(harness.exchanges, [](const auto& e) { return e->begun; });
  };
  harness.readOnce(bytes);
  CHECK_EQ(harness.exchanges.size(), std::size_t{100});
  CHECK_EQ(begun(), std::ptrdiff_t{64});
  harness.turn();
  CHECK_EQ(begun(), std::ptrdiff_t{100});
  // The streams that wait end with their connection.
  bytes.clear();
  for (std::uint32_t i = 0; i < 100; ++i)
    bytes += frameOf(FrameType::RstStream, 0, 2 * i + 1, number32(8));
  harness.give(bytes);
  harness.turns();
  bytes.clear();
  for (std::uint32_t i = 100; i < 200; ++i) bytes += requestFrame(2 * i + 1, "/a");
  harness.readOnce(bytes);
  harness.connection().closeNow();
  CHECK_EQ(begun(), std::ptrdiff_t{164});
  harness.turn();
  for (const auto& exchange : harness.exchanges) CHECK(exchange->gone);
}

TEST("http2 connection: of streams that are reset a turn takes a share, in their order") {
  constexpr std::uint32_t kPairs = 100;
  Http2Harness harness;
  harness.begin(kSettings);
  std::string bytes;
  for (std::uint32_t i = 0; i < kPairs; ++i)
    bytes += requestFrame(2 * i + 1, "/a") + windowUpdate(2 * i + 1, 0);
  // Half a frame at the end of what is read, and the rest of it later.
  const std::string last = requestFrame(2 * kPairs + 1, "/last");
  harness.readOnce(bytes + last.substr(0, 12));
  std::size_t before = 0;
  for (int turn = 0; turn < 4; ++turn) {
    const std::size_t now = harness.exchanges.size();
    CHECK(now > before && now - before <= 32);
    before = now;
    // What comes meanwhile does not make it more.
    harness.connection().onEvents(1);
    CHECK_EQ(harness.exchanges.size(), now);
    harness.turn();
  }
  harness.turns();
  CHECK_EQ(harness.exchanges.size(), std::size_t{kPairs});
  std::uint32_t next = 1;
  for (const WrittenFrame& frame : harness.takeFrames()) {
    if (frame.header.type != FrameType::RstStream) continue;
    CHECK_EQ(frame.header.stream, next);
    next += 2;
  }
  CHECK_EQ(next, 2 * kPairs + 1);
  harness.give(last.substr(12));
  REQUIRE_EQ(harness.exchanges.size(), std::size_t{kPairs + 1});
  CHECK(harness.exchanges.back()->begun);
  CHECK_EQ(harness.exchanges.back()->target, "/last");
}

TEST("http2 connection: what is left of a read takes back requests of before") {
  Http2Harness harness;
  harness.begin(kSettings);
  std::string bytes;
  for (std::uint32_t i = 0; i < 90; ++i) bytes += requestFrame(2 * i + 1, "/a");
  for (std::uint32_t i = 0; i < 89; ++i)
    bytes += frameOf(FrameType::RstStream, 0, 2 * i + 1, number32(8));
  harness.readOnce(bytes);
  harness.turns();
  REQUIRE_EQ(harness.exchanges.size(), std::size_t{90});
  for (std::size_t i = 0; i < 89; ++i) {
    CHECK(!harness.exchanges[i]->begun);
    CHECK(harness.exchanges[i]->gone);
  }
  CHECK(harness.exchanges[89]->begun);
}

TEST("http2 connection: requests begin where the turn was used up by the last byte of a read") {
  Http2Harness harness;
  harness.begin(kSettings);
  std::string bytes;
  for (std::uint32_t i = 0; i < 40; ++i) bytes += requestFrame(2 * i + 1, "/a");
  for (std::uint32_t i = 0; i < 32; ++i)
    bytes += frameOf(FrameType::RstStream, 0, 2 * i + 1, number32(8));
  harness.readOnce(bytes);
  harness.turns();
  for (std::size_t i = 32; i < 40; ++i) CHECK(harness.exchanges[i]->begun);
}

TEST(
    "http2 connection: what was sent before the client closed is seen, however many turns it "
    "takes") {
  Http2Harness harness;
  harness.begin(kSettings);
  std::string bytes;
  for (std::uint32_t i = 0; i < 100; ++i)
    bytes += requestFrame(2 * i + 1, "/a") + windowUpdate(2 * i + 1, 0);
  harness.bytes.ended = true;
  harness.give(bytes);
  CHECK(!harness.closed());
  harness.turns();
  CHECK_EQ(harness.exchanges.size(), std::size_t{100});
  CHECK(harness.closed());
}

TEST("http2 connection: the streams of one that ends are ended a share at a time") {
  enum class End : std::uint8_t { Closed, Broken, Stopped };
  for (const End end : {End::Closed, End::Broken, End::Stopped}) {
    Http2Harness harness;
    std::string bytes = kSettings;
    for (std::uint32_t i = 0; i < 100; ++i) bytes += requestFrame(2 * i + 1, "/a");
    harness.begin(bytes);
    harness.turns();
    const auto gone = [&harness] {
      return std::ranges::count_if(harness.exchanges, [](const auto& e) { return e->gone; });
    };
    CHECK_EQ(gone(), 0);
    if (end == End::Broken) {
      // Not the stream's: the connection ends.
      harness.readOnce(frameOf(FrameType::Ping, 0, 0, "short"));
    } else {
      harness.hangUp();
    }
    std::ptrdiff_t before = 0;
    for (int turn = 0; turn < 3; ++turn) {
      harness.turn();
      CHECK(gone() > before && gone() - before <= 16);
      before = gone();
    }
    // Meanwhile an exchange does what it may.
    FakeExchange& other = *harness.exchanges.back();
    other.respond(200);
    other.send(std::string(30'000, 'x'));
    other.finish();
    harness.exchanges[98]->abort();
    if (end == End::Stopped) {
      harness.connection().closeNow();
    } else {
      harness.turns();
    }
    CHECK_EQ(gone(), 99);
    harness.turn();
    CHECK_EQ(harness.closed(), end != End::Broken);
    if (end != End::Broken) continue;
    const std::vector<WrittenFrame> frames = harness.takeFrames();
    CHECK(findOf(frames, FrameType::GoAway) != nullptr);
    CHECK(findOf(frames, FrameType::Data) == nullptr);
  }
}

TEST("http2 connection: a reset costs twice as much where the request has begun") {
  const auto calmed = [](std::uint32_t count, bool begun) {
    Http2Harness harness(400);
    harness.begin(kSettings);
    std::string requests;
    std::string resets;
    for (std::uint32_t id = 1; id < 2 * count; id += 2) {
      requests += requestFrame(id, "/a");
      resets += frameOf(FrameType::RstStream, 0, id, number32(8));
    }
    if (begun) {
      harness.give(requests);
      while (!harness.exchanges.back()->begun) harness.turn();
      requests.clear();
    }
    harness.readOnce(requests + resets);
    harness.turns();
    return findOf(harness.takeFrames(), FrameType::GoAway) != nullptr;
  };
  // With room for the tokens that seconds give on a busy machine.
  CHECK(!calmed(300, false));
  CHECK(calmed(400, false));
  CHECK(!calmed(150, true));
  CHECK(calmed(250, true));
}

TEST("http2 connection: what waits for the client is bounded") {
  Http2Harness harness;
  harness.begin(kSettings);
  harness.bytes.room = 0;
  const std::string ping = frameOf(FrameType::Ping, 0, 0, "12345678");
  for (int i = 0; i < 100; ++i)
    harness.give(ping + requestFrame(2 * static_cast<std::uint32_t>(i) + 1, "/a"));
  CHECK(harness.pool.bytesInUse() < 1024 * 1024);
  harness.drainOutput();
  CHECK_EQ(countOf(harness.takeFrames(), FrameType::Ping), std::size_t{100});
}

}  // namespace tidegate::http2
