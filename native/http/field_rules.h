// What names and values of header fields may hold when they come from elsewhere than a message: the
// configuration, or a policy. Every function answers for the whole text, the empty one included.
#pragma once

#include <string_view>

#include "http/field_id.h"

namespace tidegate {

// No control character (C0, DEL).
bool isPlainText(std::string_view text);

// RFC 9110 5.6.2; at least one character.
bool isToken(std::string_view text);
bool isLowerCaseToken(std::string_view text);

// RFC 9110 5.5: visible characters, spaces, tabs, and bytes above 0x7f.
bool isFieldText(std::string_view text);

// A name that edits may touch: a token, and no field that frames the message, speaks for one
// hop only, or has a rule of its own (Host, Expect).
bool isEditableField(std::string_view name);
// The same of a name whose id is known.
bool isEditableField(FieldId id, std::string_view name);

}  // namespace tidegate
