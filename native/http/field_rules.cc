#include "http/field_rules.h"

#include "base/byte_set.h"

namespace tidegate {
namespace {

constexpr ByteSet kPlain = ByteSet("").with(0x20, 0x7e).with(0x80, 0xff);
constexpr ByteSet kField = kPlain.with('\t', '\t');
constexpr ByteSet kToken = ByteSet("!#$%&'*+-.^_`|~").with('a', 'z').with('A', 'Z').with('0', '9');
constexpr ByteSet kLowerToken = ByteSet("!#$%&'*+-.^_`|~").with('a', 'z').with('0', '9');

}  // namespace

bool isPlainText(std::string_view text) { return kPlain.holds(text); }

bool isToken(std::string_view text) { return !text.empty() && kToken.holds(text); }

bool isLowerCaseToken(std::string_view text) { return !text.empty() && kLowerToken.holds(text); }

bool isFieldText(std::string_view text) { return kField.holds(text); }

bool isEditableField(FieldId id, std::string_view name) {
  switch (id) {
    case FieldId::Connection:
    case FieldId::ContentLength:
    case FieldId::Expect:
    case FieldId::Host:
    case FieldId::KeepAlive:
    case FieldId::ProxyConnection:
    case FieldId::Te:
    case FieldId::Trailer:
    case FieldId::TransferEncoding:
    case FieldId::Upgrade:
      return false;
    default:
      return isToken(name);
  }
}

bool isEditableField(std::string_view name) { return isEditableField(fieldIdOf(name), name); }

}  // namespace tidegate
