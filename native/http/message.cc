// Method tokens to methods.
#include "http/message.h"

namespace tidegate {

// Methods are case-sensitive (RFC 9110 9.1): "get" is a method that we do not know.
Method methodOf(std::string_view token) {
  switch (token.size()) {
    case 3:
      if (token == "GET") return Method::Get;
      if (token == "PUT") return Method::Put;
      break;
    case 4:
      if (token == "POST") return Method::Post;
      if (token == "HEAD") return Method::Head;
      break;
    case 5:
      if (token == "PATCH") return Method::Patch;
      if (token == "TRACE") return Method::Trace;
      break;
    case 6:
      if (token == "DELETE") return Method::Delete;
      break;
    case 7:
      if (token == "OPTIONS") return Method::Options;
      if (token == "CONNECT") return Method::Connect;
      break;
    default:
      break;
  }
  return Method::Other;
}

}  // namespace tidegate
