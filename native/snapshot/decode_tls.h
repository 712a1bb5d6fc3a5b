// TLS of a listener, as a snapshot says it.
#pragma once

#include "snapshot/snapshot.h"
#include "snapshot/value_reader.h"

namespace tidegate {

// The member `tls` of a listener.
bool decodeListenerTls(ValueReader& reader, ListenerConfig& listener);

// Makes ListenerConfig::tls of what was read, once the whole listener was; the reader is at the
// listener.
bool buildListenerTls(ValueReader& reader, ListenerConfig& listener);

// The member `tls` of an upstream, and `authorities` of the snapshot.
bool decodeUpstreamTls(ValueReader& reader, UpstreamConfig& upstream);
bool decodeAuthorities(ValueReader& reader, Snapshot& snapshot);

// Makes UpstreamConfig::tls of what was read, once the whole snapshot was. The error, or an empty
// text.
std::string buildUpstreamTls(Snapshot& snapshot);

}  // namespace tidegate
