// What is counted and logged of an exchange when it ends.
#include <algorithm>
#include <array>
#include <span>

#include "proxy/exchange.h"

namespace tidegate {

void Exchange::record() {
  const std::uint64_t micros = services_.loop.nowMicros() - startedMicros_;
  services_.stats.counters.reasons[static_cast<std::size_t>(reason_)].add();
  const bool failed = reason_ != Reason::None && reason_ != Reason::RouteRedirect &&
                      reason_ != Reason::RouteRespond && reason_ != Reason::PolicyAnswered &&
                      reason_ != Reason::PolicyDenied && reason_ != Reason::PolicyLimited &&
                      reason_ != Reason::AddressDenied;
  if (plan_ != nullptr) {
    const ExchangeSample sample(status_, failed, bytesIn_, bytesOut_, micros);
    sample.addTo(routeSlot());
    if (!plan_->has(PlanStep::Answer)) {
      const UpstreamConfig& upstream = upstreamConfig();
      sample.addTo(services_.stats.slot(upstream.metricSlot));
      if (endpoint_ != kNoEndpoint)
        sample.addTo(services_.stats.slot(upstream.endpoints[endpoint_].metricSlot));
    }
  }

  const AccessLogFormat format = snapshot_->tables().accessLog.format;
  if (format == AccessLogFormat::Off) return;
  AccessRecord entry;
  entry.wallMillis = services_.loop.wallMillis() - micros / 1000;
  entry.client = identity_.address;
  entry.clientPort = identity_.port;
  entry.clientIsUnix = client_.peer().isUnix && !trustedPeer_;
  entry.listener = listener().name;
  entry.status = status_;
  entry.bytesIn = bytesIn_;
  entry.bytesOut = bytesOut_;
  entry.requestId = requestId_;
  entry.reason = reason_;
  entry.retries = retries_;
  entry.reused = reused_;
  entry.policyMicros = policyMicros_;
  entry.queueMicros = queueMicros_;
  entry.connectMicros = connectMicros_;
  entry.firstByteMicros = firstByteMicros_;
  entry.tls = client_.peer().tls;
  entry.early = early_;
  entry.minorVersion = line_.minorVersion;
  entry.majorVersion = line_.majorVersion;
  entry.upstreamTlsError = tlsFailure_;
  entry.upstreamHttp2Error = http2Error_;
  entry.totalMicros = static_cast<std::uint32_t>(std::min<std::uint64_t>(micros, kNoTime - 1));
  if (hasHead_) {
    entry.method = isExtendedConnect() ? "CONNECT" : head_.view(line_.methodToken);
    entry.host = head_.view(line_.authority);
    entry.target = head_.view(line_.target);
    if (const Field* f = head_.find(FieldId::Referer)) entry.referer = head_.value(*f);
    if (const Field* f = head_.find(FieldId::UserAgent)) entry.userAgent = head_.value(*f);
  }
  if (plan_ != nullptr) {
    entry.route = routeConfig().match.name;
    if (!plan_->has(PlanStep::Answer)) {
      entry.upstream = upstreamConfig().name;
      if (endpoint_ != kNoEndpoint) entry.endpoint = upstreamConfig().endpoints[endpoint_].address;
    }
  }
  std::array<AccessPolicy, kMaxAccessPolicies> policies;
  if (plan_ != nullptr) describePolicies(entry, policies);
  const std::size_t length =
      formatAccess(format, entry, services_.logLine.data(), services_.logLine.size());
  if (length > 0 &&
      services_.log.ring(services_.threadIndex).push({services_.logLine.data(), length})) {
    services_.stats.counters.accessLogLines.add();
    services_.log.notify(services_.threadIndex);
  } else {
    services_.stats.counters.accessLogDropped.add();
  }
}

void Exchange::describePolicies(AccessRecord& entry, std::span<AccessPolicy> policies) const {
  std::size_t count = 0;
  for (; count < accessAsked_ && count < policies.size(); ++count) {
    const AccessConfig& access = snapshot_->tables().access[routeConfig().access[count]];
    policies[count].name = access.name;
    policies[count].access = isAllowed(access) ? AccessAnswer::Allowed : AccessAnswer::Denied;
  }
  if (plan_->has(PlanStep::Policies)) {
    std::size_t ran = count;
    for (const std::string& name : chain().policies) {
      if (count == policies.size()) break;
      policies[count].name = name;
      policies[count++].decides = true;
    }
    verdict().times.each([&](std::uint32_t micros) {
      if (ran < count) policies[ran++].micros = micros;
    });
  }
  if (plan_->has(PlanStep::Review)) count = describeReview(policies, count);
  entry.policies = policies.first(count);
  entry.replayed = replayed_;
  entry.consumer = verdict().consumer;
}

// Returns how many there are now.
std::size_t Exchange::describeReview(std::span<AccessPolicy> policies, std::size_t count) const {
  const std::vector<std::string>& names = review().policies;
  const auto placeOf = [&](std::string_view name) {
    for (std::size_t i = 0; i < count; ++i) {
      if (policies[i].name == name) return i;
    }
    return count;
  };
  for (const std::string& name : names) {
    const std::size_t place = placeOf(name);
    if (place == policies.size()) continue;
    policies[place].name = name;
    policies[place].responds = true;
    count = std::max(count, place + 1);
  }
  if (!held_ || !held_->verdict) return count;
  std::size_t ran = 0;
  held_->verdict->times.each([&](std::uint32_t micros) {
    const std::size_t place = ran < names.size() ? placeOf(names[ran++]) : count;
    if (place < count) policies[place].respondMicros = micros;
  });
  return count;
}

TemplateValues Exchange::templateValues() const {
  TemplateValues values;
  values.clientAddress = clientText_;
  values.clientPort = identity_.port;
  values.host = host_;
  values.scheme = client_.peer().scheme();
  values.method = head_.view(line_.methodToken);
  values.path = path_;
  values.query = head_.view(line_.query);
  values.hasQuery = line_.hasQuery;
  values.requestId = requestId_;
  values.match = &match_;
  values.fields = &head_;
  if (plan_ != nullptr) {
    values.route = &routeConfig();
    if (!plan_->has(PlanStep::Answer)) {
      values.upstream = &upstreamConfig();
      if (endpoint_ != kNoEndpoint) values.endpoint = &upstreamConfig().endpoints[endpoint_];
    }
  }
  return values;
}

}  // namespace tidegate
