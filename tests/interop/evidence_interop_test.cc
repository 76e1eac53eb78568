// What we emit, checked by programs that share no code with us (verify_evidence.py, check_evidence.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lib/chain/claim_bundle.h"
#include "lib/chain/export.h"
#include "lib/chain/proof.h"
#include "lib/chain/tiles.h"
#include "tests/testutil/shell.h"
#include "tests/testutil/temp_dir.h"

namespace virp::chain {
namespace {

constexpr std::string_view kOrigin = "virp.example.net/interop";

class EvidenceInteropTest : public ::testing::Test {
 protected:
  void Grow(std::uint64_t size) {
    while (leaves_.size() < size) {
      EntryHeader header;
      header.origin_id = OriginIdOf(kOrigin);
      header.sequence = leaves_.size();
      header.previous = leaves_.empty() ? GenesisOf(kOrigin) : leaves_.back();
      header.received_us = 1'750'000'000'000'000 + leaves_.size();
      entries_.push_back(EncodeEntry(header, "frame " + std::to_string(leaves_.size())));
      leaves_.push_back(LeafHash(entries_.back()));
    }
  }

  std::string NoteAt(std::uint64_t size) const {
    return signer_.Sign({std::string(kOrigin), size, RootOf(std::span(leaves_).first(size))}).value();
  }

  SubtreeReader Reader() const {
    return [this](unsigned level, std::uint64_t index) -> absl::StatusOr<Hash> {
      return RootOf(std::span(leaves_).subspan(index << level, std::size_t{1} << level));
    };
  }

  Proof ProofOf(std::uint64_t index, std::uint64_t size) const {
    return {entries_[index], index, InclusionProof(index, size, Reader()).value(), NoteAt(size)};
  }

  std::string Write(const std::string& name, std::string_view bytes) const {
    std::ofstream(folder_.File(name), std::ios::binary | std::ios::trunc) << bytes;
    return name;
  }

  std::string WriteHashes(const std::string& name, const std::vector<Hash>& hashes) const {
    std::string text;
    for (const Hash& hash : hashes) text += Base64Encode(View(hash)) + "\n";
    return Write(name, text);
  }

  ByteSink SinkTo(std::string& out) const {
    return [&out](std::string_view bytes) {
      out += bytes;
      return absl::OkStatus();
    };
  }

  std::string Script(const std::string& name) const {
    return "python3 -B '" VIRP_SOURCE_DIR "/tests/interop/" + name + "' ";
  }
  std::string File(const std::string& name) const { return " '" + folder_.File(name) + "'"; }
  std::string Key() const { return signer_.verifier_key().ToString(); }

  const CheckpointSigner signer_ = CheckpointSigner::FromSeed(kOrigin, std::string(32, 'i')).value();
  std::vector<std::string> entries_;
  std::vector<Hash> leaves_;
  testutil::TempDir folder_;
};

TEST_F(EvidenceInteropTest, PythonAgreesAndRefusesEachChangedByte) {
  Grow(600);
  nlohmann::json cases = nlohmann::json::array();
  for (const std::uint64_t size : {1u, 7u, 300u}) {
    const std::string at = std::to_string(size);
    const std::string note = Write("note" + at, NoteAt(size));
    cases.push_back({"checkpoint", {note}});
    for (const std::uint64_t index : {std::uint64_t{0}, size / 2, size - 1}) {
      const std::string of = at + "-" + std::to_string(index);
      const Proof proof = ProofOf(index, size);
      cases.push_back({"proof", {Write("proof" + of, EncodeProof(proof))}});
      cases.push_back(
          {"inclusion",
           {note, Write("entry" + of, proof.entry), std::to_string(index), WriteHashes("path" + of, proof.path)}});
    }
    for (const std::uint64_t old_size : {std::uint64_t{1}, size / 2 + 1, size}) {
      const std::string of = std::to_string(old_size) + "-" + at;
      cases.push_back({"consistency",
                       {Write("note" + std::to_string(old_size), NoteAt(old_size)), note,
                        WriteHashes("consistency" + of, ConsistencyProof(old_size, size, Reader()).value())}});
    }
  }
  Write("cases.json", nlohmann::json{{"key", Key()}, {"cases", cases}}.dump());

  std::string tar;
  ExportKeys keys;
  keys.checkpoint_keys = {signer_.verifier_key()};
  auto writer = ExportWriter::Start(NoteAt(600), keys, SinkTo(tar));
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (const std::string& entry : entries_) ASSERT_TRUE(writer->Add(entry).ok());
  ASSERT_TRUE(writer->Finish().ok());
  Write("export.tar", tar);
  tar.clear();
  ASSERT_TRUE(WriteClaimBundle({R"({"verdict":"CONFIRMED"})", {ProofOf(3, 300), ProofOf(200, 300)}}, SinkTo(tar)).ok());
  Write("claim.tar", tar);

  const auto [status, out] = testutil::RunCommand(Script("check_evidence.py") + File(""));
  EXPECT_EQ(status, 0) << out;
  EXPECT_NE(out.find("30 cases verified, "), std::string::npos) << out;
  EXPECT_NE(out.find("export of 600 entries, claim of 2 proofs"), std::string::npos) << out;
}

TEST_F(EvidenceInteropTest, TheScriptAsAPersonRunsIt) {
  Grow(9);
  Write("note", NoteAt(9));
  Write("proof", EncodeProof(ProofOf(4, 9)));
  const std::string verify = Script("verify_evidence.py") + Key();
  EXPECT_EQ(testutil::RunCommand(verify + " checkpoint" + File("note")).status, 0);
  EXPECT_EQ(testutil::RunCommand(verify + " proof" + File("proof")).status, 0);
  const CheckpointSigner other = CheckpointSigner::FromSeed(kOrigin, std::string(32, 'o')).value();
  const auto [status, out] =
      testutil::RunCommand(Script("verify_evidence.py") + other.verifier_key().ToString() + " proof" + File("proof"));
  EXPECT_EQ(status, 1);
  EXPECT_EQ(out.substr(0, 8), "refused:") << out;
}

// Their archive program takes what ours wrote, and ours takes what theirs wrote of the same files in the same order.
TEST_F(EvidenceInteropTest, GnuTarReadsAndWritesExports) {
  Grow(300);
  std::string tar;
  auto writer = ExportWriter::Start(NoteAt(300), {}, SinkTo(tar));
  ASSERT_TRUE(writer.ok());
  for (const std::string& entry : entries_) ASSERT_TRUE(writer->Add(entry).ok());
  ASSERT_TRUE(writer->Finish().ok());
  Write("ours.tar", tar);
  const std::string there = "cd" + File("") + " && ";
  const auto [status, out] = testutil::RunCommand(there +
                                                  "mkdir x && tar -C x -xf ours.tar && tar -tf ours.tar > names && "
                                                  "tar -C x --format=ustar -cf theirs.tar -T names");
  ASSERT_EQ(status, 0) << out;
  std::ifstream file(folder_.File("theirs.tar"), std::ios::binary);
  const std::string theirs(std::istreambuf_iterator<char>(file), {});
  auto reader = ExportReader::Open(SourceFrom(theirs));
  ASSERT_TRUE(reader.ok()) << reader.status();
  for (const std::string& entry : entries_) EXPECT_EQ(reader->Next().value()->entry, entry);
  const auto end = reader->Next();
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_FALSE(end->has_value());
}

}  // namespace
}  // namespace virp::chain
