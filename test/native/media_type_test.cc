// Media types and their patterns.
#include "http/media_type.h"

#include "check.h"

namespace tidegate {

TEST("media patterns are types, whole kinds, or suffixes") {
  for (const char* good : {"application/json", "text/*", "application/*+json", "*/*",
                           "application/vnd.acme.v1+json", "text/x-a!b"}) {
    CHECK(isMediaPattern(good));
  }
  for (const char* bad :
       {"", "json", "/", "*", "*/json", "text/", "/json", "Text/html", "text/*json", "text/a*",
        "te*t/html", "text/html; charset=utf-8", "text/ht ml", "text/html/x", "text/**"}) {
    CHECK(!isMediaPattern(bad));
  }
}

TEST("a media type is matched whatever its case and parameters") {
  CHECK(matchesMediaType("application/json", "application/json"));
  CHECK(matchesMediaType("application/json", "Application/JSON ; charset=utf-8"));
  CHECK(matchesMediaType("text/*", "text/html;charset=utf-8"));
  CHECK(matchesMediaType("application/*+json", "application/problem+json"));
  CHECK(matchesMediaType("*/*", "image/png"));
  CHECK(matchesMediaType("*/*", ""));
  for (const char* other : {"", "json", "application", "application/", "application/jsonx",
                            "application/xjson", "text/json", "application/json/x"}) {
    CHECK(!matchesMediaType("application/json", other));
  }
  CHECK(!matchesMediaType("application/*+json", "application/json"));
  CHECK(!matchesMediaType("application/*+json", "application/+json"));
  CHECK(!matchesMediaType("text/*", "text/"));
  CHECK(!matchesMediaType("text/*", ";text/html"));
}

}  // namespace tidegate
