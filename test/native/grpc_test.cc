// What the gateway knows of gRPC.
#include "http/grpc.h"

#include <array>
#include <string>

#include "check.h"

namespace tidegate {
namespace {

TEST("gRPC is known by its media type, with a format or without, and gRPC-Web is not it") {
  for (const std::string_view type :
       {"application/grpc", "application/grpc+proto", "Application/gRPC+json",
        "application/grpc;charset=utf-8", "application/grpc ; x=y"})
    CHECK(isGrpc(type));
  for (const std::string_view type :
       {"", "application/grp", "application/grpc-web", "application/grpc-web+proto",
        "application/grpcx", "text/plain"})
    CHECK(!isGrpc(type));
}

TEST("a gRPC timeout is up to eight digits and a unit, in milliseconds rounded up") {
  CHECK_EQ(grpcTimeoutMillis("1S"), 1'000);
  CHECK_EQ(grpcTimeoutMillis("100m"), 100);
  CHECK_EQ(grpcTimeoutMillis("2M"), 120'000);
  CHECK_EQ(grpcTimeoutMillis("99999999H"), 99'999'999ULL * 3'600'000);
  CHECK_EQ(grpcTimeoutMillis("1500u"), 2);
  CHECK_EQ(grpcTimeoutMillis("1n"), 1);
  CHECK_EQ(grpcTimeoutMillis("0S"), 0);
  for (const std::string_view bad : {"", "S", "5", "5s", "-1S", "1.5S", "123456789S", " 1S", "1 S"})
    CHECK_EQ(grpcTimeoutMillis(bad), kNoGrpcTimeout);
}

TEST("every status that the gateway answers with has a status of gRPC") {
  CHECK_EQ(grpcStatus(401), std::string_view("16"));
  CHECK_EQ(grpcStatus(429), std::string_view("8"));
  CHECK_EQ(grpcStatus(504), std::string_view("4"));
  CHECK_EQ(grpcStatus(503), std::string_view("14"));
  CHECK_EQ(grpcStatus(418), std::string_view("2"));
}

TEST("a gRPC message is printable ASCII, and the rest is escaped") {
  std::array<char, 64> room{};
  const std::string text = "100 % \xc3\xa4\n~";
  const std::size_t size = writeGrpcMessage(text, room.data());
  CHECK_EQ(std::string_view(room.data(), size), std::string_view("100 %25 %C3%A4%0A~"));
  CHECK_EQ(writeGrpcMessage("", room.data()), 0);
}

}  // namespace
}  // namespace tidegate
