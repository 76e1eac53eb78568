// `rtr validate`: what becomes of routes at a router that filters by a cache, an export, or the bridge.
#include <charconv>
#include <iostream>
#include <memory>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/ip.h"
#include "lib/base/status.h"
#include "lib/base/text.h"
#include "lib/vrp/set.h"
#include "lib/vrp/validate.h"
#include "tools/virpctl/interrupt.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/rtr_bridge_session.h"
#include "tools/virpctl/rtr_options.h"
#include "tools/virpctl/rtr_payloads.h"
#include "tools/virpctl/session.h"

namespace virp::virpctl {
namespace {

namespace pb = ::virp::rtr::v1;
using Answer = pb::ValidateRoutesResponse;

constexpr std::size_t kBatch = 1'000;  // what the bridge takes at once

struct Route {
  Prefix prefix;
  std::uint32_t as = 0;
};

std::optional<std::uint32_t> ParseAs(std::string_view text) {
  if (text.size() > 2 && (text.starts_with("AS") || text.starts_with("as"))) text.remove_prefix(2);
  std::uint32_t as = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), as);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return as;
}

// In either order.
absl::StatusOr<Route> ParseRoute(std::string_view one, std::string_view other) {
  if (one.find('/') == std::string_view::npos) std::swap(one, other);
  const auto as = ParseAs(other);
  if (!as) return InvalidArgument("'{}' is no AS number", other);
  ASSIGN_OR_RETURN(const Prefix prefix, Prefix::Parse(one));
  return Route{prefix, *as};
}

// Where answers come from, one batch after the other.
class Judge {
 public:
  virtual ~Judge() = default;
  virtual absl::StatusOr<Answer> Check(const std::vector<Route>& routes) = 0;
};

void Put(const vrp::CoveringVrp& from, pb::Vrp& to) {
  to.set_prefix(from.prefix.ToString());
  to.set_max_length(static_cast<std::uint32_t>(from.max_length));
  to.set_asn(from.as);
}

class LocalJudge final : public Judge {
 public:
  explicit LocalJudge(const std::shared_ptr<const vrp::Payloads>& set)
      : validator_(set), sha256_(View(vrp::HashOf(*set))) {}

  absl::StatusOr<Answer> Check(const std::vector<Route>& routes) override {
    Answer answer;
    answer.set_sha256(sha256_);
    for (const Route& route : routes) {
      const vrp::RouteValidity validity = validator_.Explain(route.prefix, route.as);
      pb::RouteValidity& out = *answer.add_validities();
      out.mutable_route()->set_prefix(route.prefix.ToString());
      out.mutable_route()->set_origin_asn(route.as);
      const vrp::RouteState state = validity.answer.state;
      out.set_state(state == vrp::RouteState::kValid     ? pb::VALIDITY_STATE_VALID
                    : state == vrp::RouteState::kInvalid ? pb::VALIDITY_STATE_INVALID
                                                         : pb::VALIDITY_STATE_NOT_FOUND);
      const vrp::InvalidReason reason = validity.answer.reason;
      if (reason == vrp::InvalidReason::kAs) out.set_reason(pb::INVALID_REASON_AS);
      if (reason == vrp::InvalidReason::kLength) out.set_reason(pb::INVALID_REASON_LENGTH);
      for (const auto& vrp : validity.matched) Put(vrp, *out.add_matched());
      for (const auto& vrp : validity.unmatched_as) Put(vrp, *out.add_unmatched_as());
      for (const auto& vrp : validity.unmatched_length) Put(vrp, *out.add_unmatched_length());
      out.set_left_out(validity.left_out);
    }
    return answer;
  }

 private:
  vrp::RouteValidator validator_;
  std::string sha256_;
};

// Over one stream, each batch with a call's time.
class BridgeJudge final : public Judge {
 public:
  explicit BridgeJudge(const Connection& connection, std::shared_ptr<grpc::Channel> channel)
      : connection_(connection), stub_(std::move(channel)) {}

  absl::StatusOr<Answer> Check(const std::vector<Route>& routes) override {
    pb::ValidateRouteRequest request;
    for (const Route& route : routes) {
      pb::Route& out = *request.add_routes();
      out.set_prefix(route.prefix.ToString());
      out.set_origin_asn(route.as);
    }
    pb::ValidateRouteResponse response;
    RETURN_IF_ERROR(Call(connection_, stub_, &pb::RtrService::Stub::ValidateRoute, request, response));
    Answer answer;
    answer.mutable_validities()->Swap(response.mutable_validities());
    answer.set_generation(response.generation());
    answer.set_sha256(response.sha256());
    return answer;
  }

 private:
  Connection connection_;
  pb::RtrService::Stub stub_;
};

absl::StatusOr<std::unique_ptr<Judge>> MakeJudge(const Options& options, const RtrOptions& rtr) {
  if (rtr.place.empty()) {
    const Connection to = ToRtrBridge(options);
    ASSIGN_OR_RETURN(auto channel, Connect(to));
    return std::make_unique<BridgeJudge>(to, std::move(channel));
  }
  ASSIGN_OR_RETURN(RtrSource source, RtrSource::Make(options, rtr.place, rtr.access, rtr.patience));
  const Interrupt interrupt;  // not beyond this: whoever waits for standard input is ended as usual
  RETURN_IF_ERROR(source.Read(interrupt.token()));
  return std::make_unique<LocalJudge>(source.payloads());
}

template <typename Vrps>
void Append(std::string& out, const Vrps& vrps, std::string_view why) {
  for (const pb::Vrp& vrp : vrps)
    out += fmt::format("{}{}-{} AS{}{}", out.empty() ? "" : ", ", vrp.prefix(), vrp.max_length(), vrp.asn(), why);
}

std::string TableOf(const Answer& answer) {
  Table table({"PREFIX", "ORIGIN", "STATE", "MATCHED", "NOT MATCHED"});
  for (const pb::RouteValidity& validity : answer.validities()) {
    std::string matched, unmatched;
    Append(matched, validity.matched(), "");
    Append(unmatched, validity.unmatched_length(), " (length)");
    Append(unmatched, validity.unmatched_as(), " (AS)");
    if (validity.left_out() > 0) unmatched += fmt::format(", and {} more that cover it", validity.left_out());
    table.Add({validity.route().prefix(), fmt::format("AS{}", validity.route().origin_asn()),
               Short(pb::ValidityState_Name(validity.state()), "VALIDITY_STATE_"), matched.empty() ? "-" : matched,
               unmatched.empty() ? "-" : unmatched});
  }
  return table.ToString();
}

// What scripts branch on, over all answers.
class Verdict {
 public:
  void Add(const Answer& answer) {
    for (const pb::RouteValidity& validity : answer.validities()) {
      if (validity.state() == pb::VALIDITY_STATE_INVALID) invalid_ = true;
      if (validity.state() != pb::VALIDITY_STATE_VALID) unknown_ = true;
    }
  }
  Exit exit() const { return invalid_ ? Exit::kNo : unknown_ ? Exit::kCannotSay : Exit::kYes; }

 private:
  bool invalid_ = false, unknown_ = false;
};

absl::Status Flush(const Options& options, Judge& judge, std::vector<Route>& routes, Verdict& verdict) {
  if (routes.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Answer answer, judge.Check(routes));
  routes.clear();
  verdict.Add(answer);
  if (options.json) return PrintJsonLine(answer);
  Print(TableOf(answer));
  return absl::OkStatus();
}

absl::StatusOr<Exit> CheckLines(const Options& options, Judge& judge) {
  Verdict verdict;
  std::vector<Route> routes;
  std::size_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    ++number;
    const auto words = SplitWords(std::string_view(line).substr(0, line.find('#')), " \t\r,;");
    if (words.empty()) continue;
    if (words.size() != 2) return InvalidArgument("line {}: a line is PREFIX AS", number);
    const auto route = ParseRoute(words[0], words[1]);
    if (!route.ok()) return Annotate(route.status(), fmt::format("line {}", number));
    routes.push_back(*route);
    if (routes.size() == kBatch) RETURN_IF_ERROR(Flush(options, judge, routes, verdict));
  }
  RETURN_IF_ERROR(Flush(options, judge, routes, verdict));
  return verdict.exit();
}

}  // namespace

absl::StatusOr<Exit> RtrValidate(const Options& options, const RtrOptions& rtr) {
  const bool lines = rtr.routes.size() == 1 && rtr.routes[0] == "-";
  if (!lines && rtr.routes.size() % 2 != 0)
    return InvalidArgument("routes are PREFIX AS, or - for lines of standard input");
  std::vector<Route> routes;
  for (std::size_t i = 0; !lines && i < rtr.routes.size(); i += 2) {
    ASSIGN_OR_RETURN(const Route route, ParseRoute(rtr.routes[i], rtr.routes[i + 1]));
    routes.push_back(route);
  }
  ASSIGN_OR_RETURN(const auto judge, MakeJudge(options, rtr));
  if (lines) return CheckLines(options, *judge);
  Verdict verdict;
  RETURN_IF_ERROR(Flush(options, *judge, routes, verdict));
  return verdict.exit();
}

}  // namespace virp::virpctl
