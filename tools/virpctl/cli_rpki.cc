// The key manager's own RPKI.
#include "tools/virpctl/cli.h"

namespace virp::virpctl {

void AddRpki(CLI::App& keys, State& s) {
  using Run = absl::StatusOr<Exit> (*)(const Options&, const RpkiOptions&);
  CLI::App* const rpki = Group(keys, "rpki", "The key manager's own RPKI: authority, publication, feed, expiry");
  const auto add = [&](const char* name, const char* help, Run run) {
    return Command(*rpki, s, name, help, [&s, run] { return run(s.options, s.rpki); });
  };
  CLI::App* const set_up = add("set-up", "Makes the trust anchor and the issuing authority, for ever", &RpkiSetUp);
  CLI::App* const anchor = add("trust-anchor", "What relying parties and routers install", &RpkiTrustAnchor);
  add("publication", "What is published, and until when", &RpkiPublication);
  CLI::App* const publish = add("publish", "Publishes now", &RpkiPublish);
  CLI::App* const roll = add("roll-authority", "The issuing authority comes to a new key, by itself, in a day or more",
                             &RpkiRollAuthority);
  CLI::App* const expiring = add("expiring", "Certificates that end, and routers without one", &RpkiExpiring);
  CLI::App* const acknowledge = add("acknowledge", "Takes the warning about a certificate in hand", &RpkiAcknowledge);
  CLI::App* const calendar = add("calendar", "The ends of certificates as an iCalendar", &RpkiCalendar);
  CLI::App* const router_keys = add("export", "The published router keys as files", &RpkiExport);
  add("watch", "The published router keys, then each change", &RpkiWatch);
  AddChange({set_up, publish, roll, acknowledge}, s.rpki.reason, s.rpki.request_id);
  AddYes({set_up, roll}, s.rpki.yes);
  for (CLI::App* const command : {set_up, anchor}) {
    command->add_option("--save", s.rpki.save, "File for the certificate, DER");
    command->add_option("--tal", s.rpki.tal, "File for the trust anchor locator");
  }
  expiring->add_option("--days", s.rpki.days, "How far to look")->capture_default_str()->check(CLI::Range(1, 3'650));
  expiring->add_option("--limit", s.rpki.limit, "At most this many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000));
  acknowledge->add_option("--kind", s.rpki.kind, "As `expiring` shows it")
      ->required()
      ->check(CLI::IsMember({"router_certificate", "imported_certificate", "rpki_authority"}));
  acknowledge->add_option("--id", s.rpki.id, "The same")->required();
  calendar->add_option("--save", s.rpki.save, "File for it; standard output when left out");
  router_keys->add_option("--format", s.rpki.format, "rpki-client, slurm or bgp-srx")
      ->capture_default_str()
      ->check(CLI::IsMember({"rpki-client", "slurm", "bgp-srx"}));
  router_keys->add_option("--save", s.rpki.save, "Folder for the files")->required();
}

}  // namespace virp::virpctl
