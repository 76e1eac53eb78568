// `router cacerts`, `router enrol`, `router renew`: a router that enrols by itself (RFC 8635 section 9, RFC 7030).
#include <thread>

#include "lib/base/bytes.h"
#include "lib/base/error_info.h"
#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/base/units.h"
#include "lib/crypto/sha256.h"
#include "lib/rpki/import.h"
#include "tools/virpctl/ceremony.h"
#include "tools/virpctl/commands.h"
#include "tools/virpctl/est_client.h"
#include "tools/virpctl/output.h"
#include "tools/virpctl/router_files.h"

namespace virp::virpctl {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

std::string PemOf(const std::vector<std::string>& certificates) {
  std::string out;
  for (const std::string& certificate : certificates) out += x509::PemBlock("CERTIFICATE", certificate);
  return out;
}

Exit PrintPending(const Options& options, seconds retry_after) {
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("result", "PENDING").Field("retryAfterSeconds", retry_after.count());
    PrintJson(json.EndObject());
  } else {
    Print(fmt::format("pending: an operator has to approve it; ask again in {}\n", FormatDuration(retry_after)));
  }
  return Exit::kCannotSay;
}

// Asks until it is decided or there is no time left to ask again in.
absl::StatusOr<EstClient::Answer> EnrolPatiently(const EstClient& client, est::Operation operation,
                                                 const RouterOptions& router, std::string_view request) {
  const auto until = steady_clock::now() + seconds(router.wait);
  while (true) {
    absl::StatusOr<EstClient::Answer> answer = client.Enrol(operation, router.asn, request);
    seconds pause{0};
    if (answer.ok() && answer->certificate.empty()) {
      pause = answer->retry_after;
    } else if (const auto delay = GetRetryAfter(answer.status()); !answer.ok() && delay) {
      pause = std::chrono::ceil<seconds>(*delay);
    } else {
      return answer;
    }
    const auto left = until - steady_clock::now();
    if (left <= left.zero()) return answer;
    std::this_thread::sleep_for(std::min<steady_clock::duration>(pause, left));
  }
}

// Sends the request, checks what comes as RFC 8635 section 8 has it, and keeps it when it is good.
absl::StatusOr<Exit> Obtain(const Options& options, const RouterOptions& router, est::Operation operation,
                            const crypto::P256PrivateKey& key, std::string_view request) {
  ASSIGN_OR_RETURN(const std::string anchor, LoadCertificate(router.trust_anchor));
  ASSIGN_OR_RETURN(const EstClient client, EstClient::Make(options.connection, router.est));
  ASSIGN_OR_RETURN(const EstClient::Answer answer, EnrolPatiently(client, operation, router, request));
  if (answer.certificate.empty()) return PrintPending(options, answer.retry_after);
  ASSIGN_OR_RETURN(std::vector<std::string> authorities, client.CaCertificates());
  std::erase(authorities, anchor);
  ASSIGN_OR_RETURN(const CertificateCheck check,
                   CheckInstalled(key, answer.certificate, authorities, anchor, router.asn));
  if (check.good()) {
    RETURN_IF_ERROR(ReplaceFile(router.file, PemOf({answer.certificate}) + PemOf(authorities), 0644));
  }
  if (options.json) {
    frame::JsonWriter json;
    json.BeginObject().Field("result", check.good() ? "INSTALLED" : "REFUSED");
    if (check.good()) json.Field("certificate", std::string_view(router.file));
    WriteCheck(json, check);
    PrintJson(json.EndObject());
  } else {
    Print(CheckTable(check));
    Print(check.good() ? "written to " + router.file + "\n" : "nothing was written\n");
  }
  return check.good() ? Exit::kYes : Exit::kNo;
}

// The key in `path`, made when it is not there: a repeat after an interruption goes on with the same one.
absl::StatusOr<crypto::P256PrivateKey> KeptKey(const std::string& path) {
  auto key = LoadRouterKey(path);
  return absl::IsNotFound(key.status()) ? MakeRouterKey(path) : std::move(key);
}

}  // namespace

absl::StatusOr<Exit> RouterCaCerts(const Options& options, const RouterOptions& router) {
  ASSIGN_OR_RETURN(const EstClient client, EstClient::Make(options.connection, router.est));
  ASSIGN_OR_RETURN(const std::vector<std::string> certificates, client.CaCertificates());
  if (!router.file.empty()) RETURN_IF_ERROR(ReplaceFile(router.file, PemOf(certificates), 0644));
  frame::JsonWriter json;
  Table table({"CERTIFICATE", "SHA-256", "VALID UNTIL"});
  json.BeginObject().Key("certificates").BeginArray();
  for (const std::string& certificate : certificates) {
    ASSIGN_OR_RETURN(const x509::Certificate parsed, x509::ParseCertificate(certificate));
    // Who issued itself is a trust anchor: whether it is ours, its digest says, which the operator has on paper.
    const std::string_view kind = parsed.issuer == parsed.subject ? "TRUST_ANCHOR" : "AUTHORITY";
    const std::string digest = HexEncode(View(crypto::Sha256(certificate)));
    const std::string until = der::TimeText(parsed.not_after);
    table.Add({std::string(kind), digest, until});
    json.BeginObject().Field("kind", kind).Field("sha256", std::string_view(digest));
    json.Field("notAfter", std::string_view(until)).EndObject();
  }
  json.EndArray().EndObject();
  if (options.json) {
    PrintJson(json);
  } else {
    Print(table.ToString());
  }
  return Exit::kYes;
}

absl::StatusOr<Exit> RouterEnrol(const Options& options, const RouterOptions& router) {
  RETURN_IF_ERROR(Announce(
      router.yes, "Enrolment of this router (RFC 8635 section 9, RFC 7030)",
      {fmt::format("takes the key {} and the request {}; makes what is missing", router.key, router.request),
       fmt::format("sends the request to {}, as the identity of {}", router.est, options.connection.certificate),
       "checks the certificate that comes: for this key, and to the installed trust anchor",
       fmt::format("writes it, with the authorities above it, to {}", router.file)}));
  ASSIGN_OR_RETURN(const crypto::P256PrivateKey key, KeptKey(router.key));
  ASSIGN_OR_RETURN(const std::string request, KeptRequest(router.request, key));
  return Obtain(options, router, est::Operation::kSimpleEnroll, key, request);
}

absl::StatusOr<Exit> RouterRenew(const Options& options, const RouterOptions& router) {
  ASSIGN_OR_RETURN(const std::chrono::nanoseconds before, ParseDuration(router.before));
  ASSIGN_OR_RETURN(const std::string file, ReadFile(router.file, rpki::kMaxImport));
  const auto present = rpki::ImportCertificates(file);
  if (!present.ok()) return Annotate(present.status(), router.file);
  ASSIGN_OR_RETURN(const rpki::RouterFacts facts, rpki::RouterFactsOf(present->router));
  const auto due = facts.validity.not_after - std::chrono::floor<seconds>(before);
  if (SecondsNow() < due) {
    if (options.json) {
      frame::JsonWriter json;
      json.BeginObject().Field("result", "NOT_DUE").Field("due", der::TimeText(due));
      PrintJson(json.Field("notAfter", der::TimeText(facts.validity.not_after)).EndObject());
    } else {
      Print(fmt::format("not due before {}\n", der::TimeText(due)));
    }
    return Exit::kYes;
  }
  RouterOptions renewal = router;
  if (renewal.asn == 0) renewal.asn = facts.asn;
  ASSIGN_OR_RETURN(const crypto::P256PrivateKey key, LoadRouterKey(router.key));
  // A new request each time: for the same key they are renewals, not one that is waited for.
  ASSIGN_OR_RETURN(const std::string request,
                   rpki::MakeRouterRequest(key.public_key().spki(), std::nullopt, [&key](std::string_view message) {
                     return key.SignDigest(crypto::Sha256(message));
                   }));
  return Obtain(options, renewal, est::Operation::kSimpleReenroll, key, request);
}

}  // namespace virp::virpctl
