// HTTP/1.1 (RFC 9112): a request, its answer, the next.
#include <algorithm>

#include "../common/head.h"
#include "asking.h"

namespace tidegate::bench {
namespace {

class Http1Asking final : public Asking {
 public:
  explicit Http1Asking(const Question& question)
      : request_("GET " + question.path + " HTTP/1.1\r\nHost: " + question.authority + "\r\n\r\n") {
  }

  void ask(std::uint64_t now) override {
    asked_ = now;
    output_.append(request_);
  }

  bool take(std::string_view bytes) override {
    input_.append(bytes);
    if (status_ == 0 && !takeHead()) return input_.size() < kLongestHead;
    // Every answer of the origin has a length, and there is one at a time.
    if (input_.size() > bodyLeft_) return false;
    bodyLeft_ -= input_.size();
    input_.clear();
    if (bodyLeft_ > 0) return true;
    answers_.push_back({asked_, status_});
    status_ = 0;
    return !last_;
  }

 private:
  static constexpr std::size_t kLongestHead = 64u << 10;

  bool takeHead() {
    const std::size_t length = headLength(input_);
    if (length == 0) return false;
    const std::string_view head = std::string_view(input_).substr(0, length);
    // "HTTP/1.1 200 ..."
    status_ = static_cast<int>(leadingNumber(head.substr(std::min<std::size_t>(9, length), 3)));
    last_ = saysClose(headerValue(head, "connection:"));
    bodyLeft_ = leadingNumber(headerValue(head, "content-length:"));
    input_.erase(0, length);
    return true;
  }

  const std::string request_;
  std::uint64_t asked_ = 0;
  std::string input_;
  int status_ = 0;  // of an answer whose head is complete
  std::size_t bodyLeft_ = 0;
  bool last_ = false;
};

}  // namespace

std::unique_ptr<Asking> askOverHttp1(const Question& question) {
  return std::make_unique<Http1Asking>(question);
}

}  // namespace tidegate::bench
