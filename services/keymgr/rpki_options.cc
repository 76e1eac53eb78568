#include "services/keymgr/rpki_options.h"

#include "lib/base/ip.h"
#include "lib/base/status.h"

namespace virp::keymgr {

void AddRpkiOptions(service::Options& options, RpkiConfig& config) {
  using std::chrono::hours;
  options.Add(&config.authority.base_uri, "rpki-base-uri",
              "rsync://HOST/MODULE/ under which relying parties find the RPKI publication. Without it there is none.",
              "URI");
  options.Add(&config.publication, "rpki-publication",
              "Folder for the publication; an rsync server's module is its `current`.", "DIR");
  options.Add(&config.as_numbers, "rpki-as",
              "AS number or range that certificates may be issued for: 64496, 64496-64511; several.", "RANGE");
  options.Add(&config.addresses, "rpki-address",
              "Address block of the authority; at least one, since validators doubt an authority without.", "PREFIX");
  options.Add(&config.authority.authority_life, "rpki-authority-life", "Life of the authorities' certificates.",
              hours(24 * 30));
  options.Add(&config.authority.roll_staging, "rpki-roll-staging",
              "How long relying parties are given to know a new key of the issuing authority.", hours(24),
              hours(24 * 30));
  options.Add(&config.authority.router_life, "rpki-certificate-life", "Life of router certificates.", hours(24 * 8));
  options.Add(&config.authority.point_life, "rpki-publication-life",
              "How long CRL and manifest are good; behind it relying parties drop all router keys.",
              std::chrono::minutes(10), hours(24 * 90));
  options.Add(&config.authority.refresh_before, "rpki-refresh-before", "How long before that they are replaced.",
              std::chrono::minutes(1), hours(24 * 89));
  options.Add(&config.webhook, "expiry-webhook",
              "URL that is told when certificates end: https, or http on the loopback.", "URL");
  options.AddSecretFile(&config.webhook_token, "expiry-webhook-token", "File with a bearer token for it.");
  options.Add(&config.webhook_roots, "expiry-webhook-roots",
              "PEM file with the authorities of its certificate; the system's when empty.", "FILE");
  options.Add(&config.calendar, "expiry-calendar", "iCalendar file with the ends of all certificates.", "FILE");
}

absl::Status FinishRpkiOptions(RpkiConfig& config) {
  if (config.authority.base_uri.empty()) {
    if (!config.publication.empty() || !config.as_numbers.empty() || !config.addresses.empty())
      return InvalidArgument("rpki-base-uri is needed beside rpki-publication, rpki-as and rpki-address");
    return absl::OkStatus();
  }
  if (!config.authority.base_uri.starts_with("rsync://") || !config.authority.base_uri.ends_with('/'))
    return InvalidArgument("rpki-base-uri: '{}' is not rsync://HOST/MODULE/", config.authority.base_uri);
  if (config.publication.empty()) return InvalidArgument("rpki-publication is needed beside rpki-base-uri");
  if (config.as_numbers.empty()) return InvalidArgument("rpki-as is needed beside rpki-base-uri");
  if (config.addresses.empty()) return InvalidArgument("rpki-address is needed beside rpki-base-uri");
  const auto numbers = rpki::AsResources::Parse(config.as_numbers);
  if (!numbers.ok()) return Annotate(numbers.status(), "rpki-as");
  config.authority.as_numbers = *numbers;
  std::vector<Prefix> prefixes;
  for (const std::string& text : config.addresses) {
    const auto prefix = Prefix::Parse(text);
    if (!prefix.ok()) return Annotate(prefix.status(), "rpki-address");
    prefixes.push_back(*prefix);
  }
  config.authority.addresses = rpki::IpResources::Of(std::move(prefixes));
  if (config.authority.refresh_before >= config.authority.point_life)
    return InvalidArgument("rpki-refresh-before is not less than rpki-publication-life");
  // Beside the log, which only some read (RFC 8635 section 10.1: more people are told as the end comes near).
  if (config.webhook.empty() && config.calendar.empty())
    return InvalidArgument(
        "expiry-webhook or expiry-calendar is needed beside rpki-base-uri: the log alone is not read");
  return absl::OkStatus();
}

}  // namespace virp::keymgr
