#include "tests/tamper/tamper_cases.h"

#include <fmt/format.h>

#include "lib/base/bytes.h"
#include "lib/chain/tiles.h"

namespace virp::onode {
namespace {

const std::string kFine = "VERIFIED";
const Finding kGone = "error 5: ";  // NOT_FOUND: the chain itself is not there any more

std::string At(std::uint64_t sequence) {
  return fmt::format("seq={}", sequence);
}

class Table {
 public:
  explicit Table(const History& h) : h_(h) {}

  std::vector<TamperCase> Take() {
    Entries();
    Rows();
    SpeakingEntries();
    Rewritten();
    Indexes();
    Heads();
    Checkpoints();
    Others();
    return std::move(cases_);
  }

 private:
  using Act = std::function<void(Intruder&, const History&)>;
  void Add(std::string name, std::vector<std::string> columns, Act act, Finding online, Finding offline,
           Restarted restarted = Restarted::kFrozen, bool postgres_only = false) {
    cases_.push_back({std::move(name), std::move(columns), std::move(act), std::move(online), std::move(offline),
                      restarted, postgres_only});
  }
  // Nothing rests on the column.
  void Idle(const std::string& table, const std::string& column, const std::string& value, bool postgres_only = false) {
    Add(
        fmt::format("{}_{}_is_not_evidence", table, column), {table + "." + column},
        [=](Intruder& in, const History&) { in.SetColumn(table, column, value, ""); }, kFine, kFine, Restarted::kServes,
        postgres_only);
  }

  void Entries() {
    for (const auto& [name, at] : {std::pair{"hmac", h_.up}, std::pair{"ed25519", h_.signed_up}}) {
      const std::uint64_t sequence = at;
      Add(
          fmt::format("changed_frame_{}", name), {"entry.bytes"},
          [=](Intruder& in, const History& h) {
            in.SetEntry(sequence, WithWord(h.builder.entries[sequence], "Established", "Xstablished"), false);
          },
          Found("LEAF_HASH", sequence), Found("LEAF_HASH", sequence));
      // Who changes the hash as well is found by the tag, or, where nobody can check the tag, by the next entry's link.
      Add(
          fmt::format("changed_frame_and_hash_{}", name), {"entry.bytes", "entry.leaf_hash"},
          [=](Intruder& in, const History& h) {
            in.SetEntry(sequence, WithWord(h.builder.entries[sequence], "Established", "Xstablished"), true);
          },
          Found("TAG", sequence), sequence == h_.up ? Found("PREVIOUS_HASH", sequence + 1) : Found("TAG", sequence));
      Add(
          fmt::format("changed_hash_{}", name), {"entry.leaf_hash"},
          [=](Intruder& in, const History& h) {
            in.SetColumn("entry", "leaf_hash", in.Bytes(View(h.builder.leaves[0])), At(sequence));
          },
          Found("LEAF_HASH", sequence), Found("LEAF_HASH", sequence));
    }
    Add(
        "frame_of_16_megabytes", {"entry.bytes"},
        [this](Intruder& in, const History&) {
          in.SetColumn("entry", "bytes", in.postgres() ? "decode(repeat('00', 16777216), 'hex')" : "zeroblob(16777216)",
                       At(h_.up));
        },
        Found("LEAF_HASH", h_.up), Found("LEAF_HASH", h_.up));
    Add(
        "empty_frame", {"entry.bytes"}, [this](Intruder& in, const History&) { in.SetEntry(h_.up, "", true); },
        Found("MALFORMED_ENTRY", h_.up), Found("MALFORMED_ENTRY", h_.up));
  }

  void Rows() {
    Add(
        "deleted_row", {"entry.*"},
        [this](Intruder& in, const History&) { in.Sql("DELETE FROM {}entry WHERE " + At(h_.lost)); },
        Found("NOT_CONTIGUOUS", h_.lost), Found("NOT_CONTIGUOUS", h_.lost));
    Add(
        "deleted_first_row", {"entry.*"},
        [](Intruder& in, const History&) { in.Sql("DELETE FROM {}entry WHERE seq=0"); }, Found("NOT_CONTIGUOUS", 0),
        Found("NOT_CONTIGUOUS", 0));
    Add(
        "deleted_tail", {"entry.*"},
        [this](Intruder& in, const History&) { in.Sql(fmt::format("DELETE FROM {{}}entry WHERE seq>={}", h_.lost)); },
        Found("TAIL_MISSING", h_.lost), Found("TAIL_MISSING", h_.lost));
    Add(
        "deleted_tail_and_all_that_tells", {"entry.*", "chain_head.*", "tile.*", "checkpoint.*"},
        [this](Intruder& in, const History& h) { in.CutTo(h_.lost, h.builder.leaves); }, Found("TAIL_MISSING", h_.lost),
        Found("TAIL_MISSING", h_.lost));
    // The row says that it is the largest; its note is a good one, but old.
    Add(
        "deleted_tail_and_an_old_note_as_the_newest", {"entry.*", "chain_head.*", "tile.*", "checkpoint.size"},
        [this](Intruder& in, const History& h) {
          in.CutTo(h_.lost, h.builder.leaves);
          in.SetColumn("checkpoint", "size", "1000000", fmt::format("size={}", h_.middle));
        },
        Found("TAIL_MISSING", h_.lost), Found("TAIL_MISSING", h_.lost));
    Add(
        "emptied", {"entry.*", "chain_head.*", "tile.*", "checkpoint.*"},
        [](Intruder& in, const History&) {
          in.Sql("DELETE FROM {}entry");
          in.Sql("DELETE FROM {}tile");
          in.Sql("DELETE FROM {}checkpoint");
          in.Sql(fmt::format("UPDATE {{}}chain_head SET size=0, frontier={}, head={}", in.Bytes(""),
                             in.Bytes(View(chain::GenesisOf(kTamperOrigin)))));
        },
        Found("TAIL_MISSING", 0), Found("TAIL_MISSING", 0));
    Add(
        "swapped_rows", {"entry.seq"},
        [this](Intruder& in, const History&) {
          in.SetColumn("entry", "seq", "60000000", At(h_.lost));
          in.SetColumn("entry", "seq", std::to_string(h_.lost), At(h_.lost - 1));
          in.SetColumn("entry", "seq", std::to_string(h_.lost - 1), At(60'000'000));
        },
        Found("NOT_CONTIGUOUS", h_.lost - 1), Found("NOT_CONTIGUOUS", h_.lost - 1));
    Add(
        "swapped_frames", {"entry.bytes", "entry.leaf_hash"},
        [this](Intruder& in, const History& h) {
          in.SetEntry(h_.lost - 1, h.builder.entries[h_.lost], true);
          in.SetEntry(h_.lost, h.builder.entries[h_.lost - 1], true);
        },
        Found("NOT_CONTIGUOUS", h_.lost - 1), Found("NOT_CONTIGUOUS", h_.lost - 1));
    // The latest word about the peer is the one before again.
    Add(
        "current_state_set_back_to_an_older_entry", {"entry.bytes", "entry.leaf_hash"},
        [this](Intruder& in, const History& h) {
          const std::string older = h.builder.entries[h_.up + 1];
          in.SetEntry(h_.lost - 1, older, true);
          in.SetEntry(h_.lost, older, true);
        },
        Found("NOT_CONTIGUOUS", h_.lost - 1), Found("NOT_CONTIGUOUS", h_.lost - 1));
    Add(
        "inserted_row", {"entry.*", "chain_head.size"},
        [this](Intruder& in, const History&) {
          in.Sql(fmt::format("UPDATE {{}}entry SET seq=seq+1000000 WHERE seq>={}", h_.lost));
          in.Sql("UPDATE {}entry SET seq=seq-999999 WHERE seq>=1000000");
          in.Insert(Forged(h_.lost));
          in.SetColumn("chain_head", "size", "size+1", "");
        },
        Found("TAG", h_.lost), Found("SOURCE_SEQUENCE", h_.lost));
    Add(
        "copied_row", {"entry.*", "chain_head.size"},
        [this](Intruder& in, const History& h) {
          in.Sql(fmt::format("UPDATE {{}}entry SET seq=seq+1000000 WHERE seq>={}", h_.lost));
          in.Sql("UPDATE {}entry SET seq=seq-999999 WHERE seq>=1000000");
          EntryRow row = RowsOf(h.builder.entries, kTamperOrigin)[h_.up + 1];
          row.sequence = h_.lost;
          row.index.source_sequence += 1'000'000;  // or the unique index would refuse it
          in.Insert(row);
          in.SetColumn("chain_head", "size", "size+1", "");
        },
        Found("NOT_CONTIGUOUS", h_.lost), Found("NOT_CONTIGUOUS", h_.lost));
    Add(
        "row_behind_the_head", {"entry.*"}, [this](Intruder& in, const History& h) { in.Insert(Forged(h.size())); },
        Found("NOT_CONTIGUOUS", h_.size()), kFine, Restarted::kServes);
    Add(
        "forged_row_and_head_moved", {"entry.*", "chain_head.*"},
        [this](Intruder& in, const History& h) {
          const EntryRow row = Forged(h.size());
          in.Insert(row);
          chain::TileBuilder tree;
          for (const Hash& leaf : h.builder.leaves) tree.Append(leaf);
          tree.Append(row.leaf);
          in.Sql(fmt::format("UPDATE {{}}chain_head SET size={}, head={}, frontier={}", h.size() + 1,
                             in.Bytes(View(row.leaf)), in.Bytes(tree.frontier().ToBytes())));
        },
        Found("TAG", h_.size()), kFine);  // a stranger cannot check an HMAC, and no checkpoint covers it
  }

  // Bindings, key states, alarms: they are entries, there is no other row of them.
  void SpeakingEntries() {
    const struct {
      const char* name;
      std::uint64_t at;
      const char *word, *by;
    } kSpeaking[] = {
        {"binding", h_.registration, "192.0.2.1", "192.0.2.9"},
        {"key_state", h_.compromise, "compromised", "compromises"},
        {"alarm", h_.black_alarm, "EQUIVOCATION", "EQUIVOCATIOX"},
        {"suspension", h_.suspension, "suspended", "resumedxx"},
    };
    for (const auto& [name, at, word, by] : kSpeaking) {
      const std::uint64_t sequence = at;
      const std::string from = word, to = by;
      Add(
          fmt::format("{}_edited", name), {"entry.bytes"},
          [=](Intruder& in, const History& h) {
            in.SetEntry(sequence, WithWord(h.builder.entries[sequence], from, to), false);
          },
          Found("LEAF_HASH", sequence), Found("LEAF_HASH", sequence));
      Add(
          fmt::format("{}_edited_with_its_hash", name), {"entry.bytes", "entry.leaf_hash"},
          [=](Intruder& in, const History& h) {
            in.SetEntry(sequence, WithWord(h.builder.entries[sequence], from, to), true);
          },
          Found("TAG", sequence), Found("TAG", sequence));
      Add(
          fmt::format("{}_deleted", name), {"entry.*"},
          [=](Intruder& in, const History&) { in.Sql("DELETE FROM {}entry WHERE " + At(sequence)); },
          Found("NOT_CONTIGUOUS", sequence), Found("NOT_CONTIGUOUS", sequence));
      Add(
          fmt::format("{}_filed_as_observation", name), {"entry.kind"},
          [=](Intruder& in, const History&) { in.SetColumn("entry", "kind", "0", At(sequence)); },
          Found("INDEX", sequence), kFine);
    }
  }

  // Every hash, link, tile and the head are those of the false chain; only keys are missing.
  void Rewritten() {
    const auto all = std::vector<std::string>{"entry.*", "tile.*", "chain_head.*"};
    Add(
        "rewritten_from_an_observation", all,
        [this](Intruder& in, const History& h) {
          std::vector<std::string> entries = h.builder.entries;
          entries[h_.lost] = WithWord(entries[h_.lost], "peer_down", "peer_xxxx");
          in.Rewrite(std::move(entries), h_.lost);
        },
        Found("TAG", h_.lost), Found("CHECKPOINT_ROOT", h_.size()));
    Add(
        "rewritten_from_an_alarm", all,
        [this](Intruder& in, const History& h) {
          std::vector<std::string> entries = h.builder.entries;
          entries[h_.black_alarm] = WithWord(entries[h_.black_alarm], "EQUIVOCATION", "EQUIVOCATIOX");
          in.Rewrite(std::move(entries), h_.black_alarm);
        },
        Found("TAG", h_.black_alarm), Found("TAG", h_.black_alarm));
    // He even has the HMAC key: the tag is good, the signed root is another.
    Add(
        "rewritten_with_the_key_of_the_source", all,
        [this](Intruder& in, const History& h) {
          std::vector<std::string> entries = h.builder.entries;
          const std::string old = entries[h_.lost - 1];
          const auto frame = frame::Decode(std::string_view(old).substr(chain::kEntryHeaderSize), frame::Spelling::kV2);
          std::string payload(frame->payload);
          payload.replace(payload.find("\"Idle\""), 6, "\"Idlx\"");
          const auto key = h.builder.keys.Find("edge-a.bgpd", 1);
          entries[h_.lost - 1] =
              old.substr(0, chain::kEntryHeaderSize) + frame::EncodeSigned(frame->header, payload, *key).value();
          in.Rewrite(std::move(entries), h_.lost - 1);
        },
        Found("CHECKPOINT_ROOT", h_.size()), Found("CHECKPOINT_ROOT", h_.size()));
  }

  void Indexes() {
    for (const char* column : {"source", "source_epoch", "source_seq", "subject", "received_us", "kind", "result"}) {
      for (const std::uint64_t at : {h_.lost, h_.foreign, h_.black_alarm}) {
        Add(
            fmt::format("entry_{}_of_{}", column,
                        at == h_.lost      ? "observation"
                        : at == h_.foreign ? "scope_violation"
                                           : "alarm"),
            {std::string("entry.") + column},
            [=](Intruder& in, const History&) {
              in.SetColumn("entry", column,
                           std::string(column) == "result" || std::string(column) == "kind" ? "5" : "12345", At(at));
            },
            Found("INDEX", at), kFine);
      }
    }
    Add(
        "entry_of_another_chain", {"entry.chain_id"},
        [this](Intruder& in, const History&) {
          if (in.postgres())
            in.Sql("CREATE TABLE onode.entry_2_0 PARTITION OF onode.entry FOR VALUES FROM (2, 0) TO (2, 67108864)");
          in.SetColumn("entry", "chain_id", "2", At(h_.lost));
        },
        Found("NOT_CONTIGUOUS", h_.lost), Found("NOT_CONTIGUOUS", h_.lost));
    Add(
        "tile_hash", {"tile.hashes"},
        [](Intruder& in, const History& h) {
          std::string hashes;
          for (std::size_t i = 0; i < chain::kTileWidth; ++i) hashes += View(h.builder.leaves[i == 7 ? 8 : i]);
          in.SetColumn("tile", "hashes", in.Bytes(hashes), "level=0 AND idx=0");
        },
        Found("INDEX", 7), kFine, Restarted::kServes);
    for (const char* column : {"level", "idx", "chain_id"}) {
      Add(
          fmt::format("tile_{}", column), {std::string("tile.") + column},
          [=](Intruder& in, const History&) { in.SetColumn("tile", column, "7", "level=0 AND idx=0"); },
          Found("INDEX", 0), kFine, Restarted::kServes);
    }
  }

  void Heads() {
    Add(
        "head_set_back", {"chain_head.size"},
        [this](Intruder& in, const History&) { in.SetColumn("chain_head", "size", std::to_string(h_.lost), ""); },
        Found("TAIL_MISSING", h_.lost), kFine);
    Add(
        "head_set_back_whole", {"chain_head.size", "chain_head.head", "chain_head.frontier"},
        [this](Intruder& in, const History& h) {
          chain::TileBuilder tree;
          for (std::uint64_t i = 0; i < h_.lost; ++i) tree.Append(h.builder.leaves[i]);
          in.Sql(fmt::format("UPDATE {{}}chain_head SET size={}, head={}, frontier={}", h_.lost,
                             in.Bytes(View(h.builder.leaves[h_.lost - 1])), in.Bytes(tree.frontier().ToBytes())));
        },
        Found("TAIL_MISSING", h_.lost), kFine);
    Add(
        "head_too_far", {"chain_head.size"},
        [](Intruder& in, const History&) { in.SetColumn("chain_head", "size", "size+5", ""); },
        Found("TAIL_MISSING", h_.size()), kFine);
    Add(
        "head_hash", {"chain_head.head"},
        [](Intruder& in, const History& h) {
          in.SetColumn("chain_head", "head", in.Bytes(View(h.builder.leaves[3])), "");
        },
        Found("INDEX", h_.size()), kFine);
    Add(
        "head_frontier", {"chain_head.frontier"},
        [](Intruder& in, const History& h) {
          in.SetColumn("chain_head", "frontier", in.Bytes(View(h.builder.leaves[3])), "");
        },
        Found("INDEX", h_.size()), kFine, Restarted::kServes);
    Add(
        "head_of_another_chain", {"chain_head.chain_id"},
        [](Intruder& in, const History&) { in.SetColumn("chain_head", "chain_id", "2", ""); }, kGone, kFine,
        Restarted::kRefuses);
    Idle("chain_head", "term", "99");
    Idle("chain_head", "holder", "'somebody'");
    Idle("chain_head", "holder_address", "'192.0.2.66:1'");
    cases_.push_back({"chain_head_lease",
                      {"chain_head.lease_until_ns", "chain_head.lease_until"},
                      [](Intruder& in, const History&) {
                        in.postgres() ? in.SetColumn("chain_head", "lease_until", "'infinity'", "")
                                      : in.SetColumn("chain_head", "lease_until_ns", "9000000000000000000", "");
                      },
                      kFine,
                      kFine,
                      Restarted::kServes,
                      false});
    Add(
        "chain_origin", {"chain.origin"},
        [](Intruder& in, const History&) { in.SetColumn("chain", "origin", "'virp.example.net/site2'", ""); },
        Found("INDEX", 0), kFine, Restarted::kRefuses);
    Add(
        "chain_predecessor", {"chain.predecessor"},
        [](Intruder& in, const History&) { in.SetColumn("chain", "predecessor", "'a note'", ""); }, Found("INDEX", 1),
        kFine, Restarted::kServes);
    Add(
        "chain_id", {"chain.chain_id"},
        [](Intruder& in, const History&) { in.SetColumn("chain", "chain_id", "3", ""); }, Found("INDEX", 0), kFine,
        Restarted::kRefuses);
    Idle("chain", "partition_width", "2048", /*postgres_only=*/true);
  }

  void Checkpoints() {
    const std::string newest = fmt::format("size={}", h_.size()), older = "size=100";
    Add(
        "checkpoint_note_newest", {"checkpoint.note"},
        [=](Intruder& in, const History&) {
          in.SetColumn("checkpoint", "note",
                       in.postgres()
                           ? "overlay(note placing 'AAAA' from length(note) - 20)"
                           : "substr(note, 1, length(note) - 20) || 'AAAA' || substr(note, length(note) - 15)",
                       newest);
        },
        Found("CHECKPOINT_SIGNATURE", h_.size()), kFine);
    Add(
        "checkpoint_note_older", {"checkpoint.note"},
        [=](Intruder& in, const History&) {
          in.SetColumn("checkpoint", "note",
                       in.postgres()
                           ? "overlay(note placing 'AAAA' from length(note) - 20)"
                           : "substr(note, 1, length(note) - 20) || 'AAAA' || substr(note, length(note) - 15)",
                       older);
        },
        Found("CHECKPOINT_SIGNATURE", 100), kFine, Restarted::kServes);
    Add(
        "checkpoint_note_is_no_note", {"checkpoint.note"},
        [=](Intruder& in, const History&) { in.SetColumn("checkpoint", "note", "'x'", newest); },
        Found("CHECKPOINT_SIGNATURE", 0), kFine);
    Add(
        "checkpoint_root", {"checkpoint.root"},
        [=](Intruder& in, const History& h) {
          in.SetColumn("checkpoint", "root", in.Bytes(View(h.builder.leaves[0])), older);
        },
        Found("INDEX", 100), kFine, Restarted::kServes);
    Add(
        "checkpoint_size", {"checkpoint.size"},
        [=](Intruder& in, const History&) { in.SetColumn("checkpoint", "size", "101", older); }, Found("INDEX", 101),
        kFine, Restarted::kServes);
    // The one beside the database is enough.
    Add(
        "checkpoint_of_another_chain", {"checkpoint.chain_id"},
        [=](Intruder& in, const History&) { in.SetColumn("checkpoint", "chain_id", "2", newest); }, kFine, kFine,
        Restarted::kServes);
    Add(
        "checkpoints_deleted", {"checkpoint.*"},
        [](Intruder& in, const History&) { in.Sql("DELETE FROM {}checkpoint"); }, kFine, kFine, Restarted::kServes);
  }

  void Others() {
    for (const char* column : {"first_seq", "next_seq", "term", "chain_id"})
      Idle("batch", column, std::string(column) + "+1000000", true);
    for (const char* column : {"prev_head", "last_head"})
      Idle("batch", column, "decode(repeat('ab', 32), 'hex')", true);
    Idle("batch", "committed", "'epoch'", true);
    // Rows that have their bytes are read as they are, whatever is said to be archived.
    Add(
        "archived_is_not_evidence",
        {"archived.chain_id", "archived.first_seq", "archived.next_seq", "archived.checkpoint_size",
         "archived.archived"},
        [](Intruder& in, const History&) {
          in.Sql("INSERT INTO {}archived (chain_id, first_seq, next_seq, checkpoint_size) VALUES (1, 0, 256, 256)");
        },
        kFine, kFine, Restarted::kServes);
    for (const char* column : {"chain_id", "received_ns"}) Idle("quarantine", column, "2");
    cases_.push_back({"quarantine_id",
                      {"quarantine.id"},
                      [](Intruder& in, const History&) {
                        if (in.postgres())
                          in.Sql("ALTER TABLE onode.quarantine ALTER COLUMN id SET GENERATED BY DEFAULT");
                        in.postgres() ? in.Sql("UPDATE onode.quarantine SET id=DEFAULT")
                                      : in.SetColumn("quarantine", "id", "77", "");
                      },
                      kFine,
                      kFine,
                      Restarted::kServes,
                      false});
    Idle("quarantine", "reason", "'TAG'");
    cases_.push_back({"quarantine_bytes",
                      {"quarantine.path", "quarantine.source", "quarantine.frame", "quarantine_use.path"},
                      [](Intruder& in, const History&) {
                        for (const char* column : {"path", "source", "frame"})
                          in.SetColumn("quarantine", column, in.Bytes(std::string(70'000, '\xff')), "");
                        in.SetColumn("quarantine_use", "path", in.Bytes("else"), "");
                      },
                      kFine,
                      kFine,
                      Restarted::kServes,
                      false});
    for (const char* column : {"chain_id", "frames", "bytes"}) Idle("quarantine_use", column, "1000000000");
    Add(
        "schema_of_the_future", {"virp_schema.number"},
        [](Intruder& in, const History&) { in.SetColumn("virp_schema", "number", "number+100", ""); }, kFine, "error",
        Restarted::kRefuses);
    for (const char* column : {"name", "sha256"}) {
      Add(
          fmt::format("schema_{}", column), {std::string("virp_schema.") + column},
          [=](Intruder& in, const History&) { in.SetColumn("virp_schema", column, "'else'", ""); }, kFine, "error",
          Restarted::kRefuses);
    }
    Idle("virp_schema", "applied_at", "'2001-01-01T00:00:00Z'");
  }

  // "The lost peer is up again", linked and numbered as it should be, by somebody who lacks the key.
  EntryRow Forged(std::uint64_t sequence) const {
    const std::vector<EntryRow> rows = RowsOf(h_.builder.entries, kTamperOrigin);
    testutil::BgpPeer peer;
    peer.address = kPeerLost;
    const auto stranger = frame::OKey::Hmac(std::string(32, 'k')).value();
    frame::Header header;
    header.type = frame::Type::kPeerStatusChanged;
    header.suite = frame::Suite::kHmacSha256;
    header.timestamp = h_.end();
    header.sequence = h_.builder.last_number("edge-a.bgpd") + 1;
    header.key_version = 1;
    header.boot_epoch = h_.builder.epoch("edge-a.bgpd");
    header.source_id = frame::SourceIdOf("edge-a.bgpd");
    const std::string frame =
        frame::EncodeSigned(header, testutil::PeerStateJson(peer, "OpenConfirm", "Established"), *stranger).value();
    EntryRow row = rows[h_.lost];
    chain::EntryHeader entry = chain::DecodeEntry(row.bytes)->header;
    entry.sequence = sequence;
    entry.previous = rows[sequence - 1].leaf;
    entry.received_us = rows[sequence - 1].index.received_us;
    entry.source_sequence = header.sequence;
    entry.source_previous = entry.subject_previous = sequence > h_.lost ? h_.lost : h_.lost - 1;
    row.sequence = sequence;
    row.bytes = chain::EncodeEntry(entry, frame);
    row.leaf = chain::LeafHash(row.bytes);
    row.index.source_sequence = header.sequence;
    row.index.received_us = entry.received_us;
    return row;
  }

  const History& h_;
  std::vector<TamperCase> cases_;
};

}  // namespace

std::string WithWord(std::string entry, std::string_view word, std::string_view by) {
  const std::size_t at = entry.find(word, chain::kEntryHeaderSize);
  EXPECT_NE(at, std::string::npos) << word;
  EXPECT_EQ(word.size(), by.size());
  return at == std::string::npos ? entry : entry.replace(at, word.size(), by);
}

const std::vector<TamperCase>& TamperCases() {
  static Table table(TamperTest::history());  // what the cases capture
  static const std::vector<TamperCase> cases = table.Take();
  return cases;
}

}  // namespace virp::onode
