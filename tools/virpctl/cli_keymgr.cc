// O-Keys of a key manager, and the key manager itself.
#include "tools/virpctl/cli.h"

namespace virp::virpctl {
namespace {

void AddHolders(CLI::App& command, State& s) {
  command.add_option("--signer", s.o_key.signers, "SPIFFE id that signs for the source; may be repeated")
      ->allow_extra_args(false);
  command
      .add_option("--carrier", s.o_key.carriers, "SPIFFE id that relays its frames and checks them; may be repeated")
      ->allow_extra_args(false);
}

void AddOverlap(CLI::App& command, State& s) {
  command.add_option("--sign-for", s.o_key.sign_for, "How long the version before may still sign; 1h when left out");
  command.add_option("--accept-for", s.o_key.accept_for, "How long its frames may still arrive; 24h when left out");
}

}  // namespace

void AddOKeys(CLI::App& keys, State& s) {
  using Do = absl::StatusOr<Exit> (*)(const Options&, const OKeyOptions&);
  CLI::App* const o_keys = Group(keys, "o-keys", "O-Keys of a key manager");
  const auto add = [&](const char* name, const char* help, Do run, bool source = true) {
    CLI::App* const command = Command(*o_keys, s, name, help, [&s, run] { return run(s.options, s.o_key); });
    CLI::Option* const option = command->add_option("source", s.o_key.source, "Name of the source");
    if (source) option->required();
    return command;
  };
  CLI::App* const list = Command(*o_keys, s, "list", "All sources and where their keys stand",
                                 [&s] { return OKeysList(s.options, s.o_key); });
  list->add_flag("--pending", s.o_key.pending, "Only those with a version that waits for approval");
  add("show", "One source with its versions", &OKeysShow);
  CLI::App* const create = add("create", "Makes a source known, without a key yet", &OKeysCreate);
  CLI::App* const holders = add("holders", "Changes who signs for a source and who relays it", &OKeysHolders);
  CLI::App* const prepare = add("prepare", "Makes the next version, or asks who signs for it", &OKeysPrepare);
  CLI::App* const approve = add("approve", "Lets a version be used that somebody else asked for", &OKeysApprove);
  CLI::App* const activate = add("activate", "Has a prepared version used from now on", &OKeysActivate);
  CLI::App* const roll = add("roll", "All steps to the next version, one after the other", &OKeysRoll);
  CLI::App* const taint = add("taint", "Marks a version compromised", &OKeysTaint);
  CLI::App* const revoke = add("revoke", "Destroys a version's secret", &OKeysRevoke);
  CLI::App* const copy = add("export", "A foreign producer's key as its file", &OKeysExport);
  CLI::App* const fetch = add("fetch", "What there is for this certificate", &OKeysFetch);
  CLI::App* const watch = add("watch", "Shows a source each time it changes", &OKeysWatch, false);
  for (CLI::App* const command : {create, holders}) AddHolders(*command, s);
  create->add_option("--form", s.o_key.form, "How its producer reads the key: platform, hex or raw")
      ->check(CLI::IsMember({"platform", "hex", "raw"}))
      ->capture_default_str();
  holders->add_option("--etag", s.o_key.etag, "Of the state that the change is meant for");
  for (CLI::App* const command : {prepare, roll})
    command->add_option("--suite", s.o_key.suite, "ed25519 or hmac; that of the newest version when left out")
        ->check(CLI::IsMember({"ed25519", "hmac"}));
  approve->add_option("--expect", s.o_key.expect, "Its public key or commitment as it was told by another way, in hex");
  for (CLI::App* const command : {activate, roll}) AddOverlap(*command, s);
  for (CLI::App* const command : {activate, roll, revoke})
    command->add_flag("--unconfirmed", s.o_key.unconfirmed, "Although no O-Node has reported it");
  for (CLI::App* const command : {approve, activate, taint, revoke, copy})
    command->add_option("--key-version", s.o_key.version, "Number of the version")->required();
  for (CLI::App* const command : {prepare, roll, fetch})
    command->add_option("--key-version", s.o_key.version, "Number of the version; the next, or all, when left out");
  taint->add_option("--since", s.o_key.since, "Time such as 2026-12-01T06:00:00Z; now when left out");
  taint->add_flag("--while-active", s.o_key.while_active, "Although nothing signs for the source then");
  AddYes({roll, taint, revoke}, s.o_key.yes);
  roll->add_option("--patience", s.o_key.patience, "Seconds to wait for each step")->capture_default_str();
  for (CLI::App* const command : {copy, fetch})
    command->add_option("--save", s.o_key.save, "File for the key, mode 0600");
  watch->add_option("--count", s.o_key.count, "End after so many changes");
  AddChange({create, holders, prepare, approve, activate, roll, taint, revoke, copy}, s.o_key.reason,
            s.o_key.request_id);
}

void AddKeymgr(CLI::App& keys, State& s) {
  using Do = absl::StatusOr<Exit> (*)(const Options&, const KeymgrOptions&);
  CLI::App* const admin = Group(keys, "admin", "The key manager itself");
  const auto add = [&](const char* name, const char* help, Do run) {
    return Command(*admin, s, name, help, [&s, run] { return run(s.options, s.keymgr); });
  };
  Command(*admin, s, "status", "Active, sealed, its key-encryption keys", [&s] { return KeymgrStatus(s.options); });
  CLI::App* const seal = add("seal", "No key is made, used or handed out until unseal", &KeymgrSeal);
  CLI::App* const unseal = add("unseal", "Reads the key-encryption keys and opens", &KeymgrUnseal);
  CLI::App* const rotate = add("rotate-kek", "Closes envelopes with a new key-encryption key", &KeymgrRotateKek);
  CLI::App* const accept =
      add("accept-rollback", "Goes on from a database that is behind the chain", &KeymgrAcceptRollback);
  CLI::App* const audit = add("audit", "What was done, by whom and why; newest first", &KeymgrAudit);
  CLI::App* const expiring = add("expiring", "What needs attention soon", &KeymgrExpiring);
  AddChange({seal, unseal, rotate, accept}, s.keymgr.reason, s.keymgr.request_id);
  AddYes({accept}, s.keymgr.yes);
  rotate->add_option("--kek-version", s.keymgr.kek_version, "Version to use; the highest that is there when left out");
  accept->add_option("--chain-record", s.keymgr.chain_record, "The newest audit record that the chain holds")
      ->required();
  audit->add_option("--event", s.keymgr.event, "Only this event");
  audit->add_option("--actor", s.keymgr.actor, "Only by this SPIFFE id");
  audit->add_option("--source", s.keymgr.source, "Only about this source");
  audit->add_option("--from", s.keymgr.from, "Not before this time, such as 2026-12-01T06:00:00Z");
  audit->add_option("--to", s.keymgr.to, "Before this time");
  audit->add_option("--limit", s.keymgr.limit, "At most so many")->capture_default_str();
  expiring->add_option("--days", s.keymgr.days, "From now; 60 when left out");
}

}  // namespace virp::virpctl
