// One connection's worth of requests and answers, whatever it speaks: bytes in, bytes out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::bench {

// What is asked for again and again.
struct Question {
  std::string authority;
  std::string path;
  bool encrypted = false;
  bool grpc = false;  // a unary call with a message of 64 bytes; HTTP/2 only
};

struct Answer {
  std::uint64_t asked = 0;  // when, in nanoseconds
  int status = 0;           // 0: it broke off
};

class Asking {
 public:
  virtual ~Asking() = default;

  // One request more, to output().
  virtual void ask(std::uint64_t now) = 0;
  // What came from the peer; complete answers go to answers(). False: the connection is of no use
  // any more.
  virtual bool take(std::string_view bytes) = 0;

  // Whoever sends it takes it.
  std::string& output() { return output_; }
  // Whoever counts them takes them.
  std::vector<Answer>& answers() { return answers_; }

 protected:
  std::string output_;
  std::vector<Answer> answers_;
};

// One request at a time. `question` outlives both.
std::unique_ptr<Asking> askOverHttp1(const Question& question);
// At most `streams` at a time.
std::unique_ptr<Asking> askOverHttp2(const Question& question, std::uint32_t streams);

}  // namespace tidegate::bench
