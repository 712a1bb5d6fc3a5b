// Sentences and statuses of parse errors.
#include "http1/parser.h"

namespace tidegate::http1 {

std::string_view parseErrorText(ParseError error) {
  switch (error) {
    case ParseError::None:
      return "no error";
    case ParseError::BadRequestLine:
      return "the request line is not a method, a target and a version with one space between each";
    case ParseError::BadMethod:
      return "the method is not a token of at most 32 bytes";
    case ParseError::BadTarget:
      return "the request target is malformed or of a form that the method does not allow";
    case ParseError::TargetTooLong:
      return "the request line exceeds the limit";
    case ParseError::BadVersion:
      return "the version is not HTTP/ with two digits";
    case ParseError::UnsupportedVersion:
      return "the version is not HTTP/1.x";
    case ParseError::BadStatusLine:
      return "the status line is not a version, a status from 100 to 599 and a reason";
    case ParseError::BadHeaderName:
      return "a field name is empty, not a token, or not followed by a colon at once";
    case ParseError::BadHeaderValue:
      return "a field value holds a control character";
    case ParseError::BareLineFeed:
      return "a line feed stands without a carriage return";
    case ParseError::BareCarriageReturn:
      return "a carriage return stands without a line feed";
    case ParseError::FoldedLine:
      return "a field line begins with white space";
    case ParseError::HeadTooLarge:
      return "the head exceeds the limit of bytes";
    case ParseError::TooManyHeaders:
      return "the head exceeds the limit of fields";
    case ParseError::BadContentLength:
      return "Content-Length is not a number below 2^63";
    case ParseError::ConflictingLength:
      return "Content-Length is given more than once";
    case ParseError::LengthWithTransferCoding:
      return "Content-Length and Transfer-Encoding are both given";
    case ParseError::BadTransferCoding:
      return "Transfer-Encoding leaves open where the body ends";
    case ParseError::UnsupportedTransferCoding:
      return "Transfer-Encoding names a coding other than chunked";
    case ParseError::BodyNotAllowed:
      return "a response without content announces a body";
    case ParseError::MissingHost:
      return "Host is missing";
    case ParseError::RepeatedHost:
      return "Host is given more than once";
    case ParseError::BadHost:
      return "Host is not a host with an optional port";
    case ParseError::HostMismatch:
      return "Host differs from the host of the request target";
    case ParseError::ConnectRefused:
      return "the method CONNECT is not supported";
    case ParseError::BadConnection:
      return "Connection is malformed or names a field that is meant for all recipients";
    case ParseError::BadExpect:
      return "Expect is not 100-continue";
    case ParseError::BadChunkSize:
      return "a chunk size is not a hexadecimal number below 2^63";
    case ParseError::BadChunkExtension:
      return "a chunk extension is malformed or exceeds the limit";
    case ParseError::BadChunkEnd:
      return "chunk data is not followed by CRLF";
    case ParseError::BadTrailer:
      return "a trailer field is malformed or not allowed in a trailer";
    case ParseError::TrailersTooLarge:
      return "the trailer section exceeds the limit";
  }
  return "unknown error";
}

std::uint16_t parseErrorStatus(ParseError error) {
  switch (error) {
    case ParseError::TargetTooLong:
      return 414;
    case ParseError::BadExpect:
      return 417;
    case ParseError::HeadTooLarge:
    case ParseError::TooManyHeaders:
    case ParseError::TrailersTooLarge:
      return 431;
    case ParseError::ConnectRefused:
    case ParseError::UnsupportedTransferCoding:
      return 501;
    case ParseError::UnsupportedVersion:
      return 505;
    default:
      return 400;
  }
}

}  // namespace tidegate::http1
