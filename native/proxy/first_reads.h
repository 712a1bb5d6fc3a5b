// When it is worth reading from a connection before the loop has said that there is something.
#pragma once

namespace tidegate {

// Whether the first bytes of a listener's clients are here by the time their connections are
// accepted, as they are on a busy node: then it is. One I/O thread's.
class FirstReads {
 public:
  bool worthIt() { return hits_ >= kMany / 2 || ++sinceTried_ >= kTryEach; }
  void note(bool hit) {
    sinceTried_ = 0;
    if (hit && hits_ < kMany) ++hits_;
    if (!hit && hits_ > 0) --hits_;
  }

 private:
  static constexpr int kMany = 8;
  static constexpr int kTryEach = 8;

  int hits_ = 0;
  int sinceTried_ = 0;
};

}  // namespace tidegate
