// Exports checked without any O-Node. Proof files and claim bundles: tests/e2e/virpctl_test.cc.
#include "tools/virpctl/offline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/chain/export.h"
#include "lib/chain/test_chain.h"

namespace virp::virpctl {
namespace {

using ::testing::HasSubstr;

const chain::CheckpointSigner& Signer() {
  static const auto signer = chain::CheckpointSigner::FromSeed("virp.example.net/test", std::string(32, 's')).value();
  return signer;
}

std::string NoteOf(const std::vector<std::string>& entries, std::size_t size) {
  chain::Frontier tree;
  for (std::size_t i = 0; i < size; ++i) tree.Append(chain::LeafHash(entries[i]));
  return Signer().Sign({"virp.example.net/test", size, tree.Root()}).value();
}

std::string ExportOf(const std::vector<std::string>& entries) {
  std::string out;
  auto writer = chain::ExportWriter::Start(NoteOf(entries, entries.size()), {}, [&out](std::string_view bytes) {
    out += bytes;
    return absl::OkStatus();
  });
  for (const std::string& entry : entries) EXPECT_TRUE(writer->Add(entry).ok());
  EXPECT_TRUE(writer->Finish().ok());
  return out;
}

class ExportTest : public ::testing::Test {
 protected:
  ExportTest() {
    chain_.Register(chain_.Template("edge-a.bgpd"));
    for (int i = 0; i < 300; ++i) chain_.Send("edge-a.bgpd");
    check_.keys = {Signer().verifier_key()};
    check_.walk.keys = &chain_.keys;
  }
  OfflineReport Check(const std::string& bytes) {
    const auto report = CheckExport(chain::SourceFrom(bytes),
                                    [this](const std::string&) -> absl::StatusOr<ExportCheck> { return check_; });
    EXPECT_TRUE(report.ok()) << report.status();
    return report.value_or(OfflineReport{});
  }
  chain::TestChain chain_;
  ExportCheck check_;
};

TEST_F(ExportTest, VerifiesWholeAgainstTheTrustedKey) {
  std::uint64_t last = 0;
  check_.progress = [&last](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, 302U);
    last = done;
  };
  check_.walk.check_subjects = true;
  const OfflineReport report = Check(ExportOf(chain_.entries));
  EXPECT_EQ(report.result, "VERIFIED") << report.detail;
  EXPECT_EQ(report.exit, Exit::kYes);
  EXPECT_EQ(report.checked, 302U);
  EXPECT_EQ(last, 302U);
}

TEST_F(ExportTest, IsNeverASuccessWithoutATrustedKey) {
  check_.keys.clear();
  EXPECT_EQ(Check(ExportOf(chain_.entries)).result, "CONSISTENT_BUT_UNAUTHENTICATED");
  EXPECT_EQ(Check(ExportOf(chain_.entries)).exit, Exit::kCannotSay);
  check_.keys = {chain::CheckpointSigner::FromSeed(chain_.origin(), std::string(32, 'o'))->verifier_key()};
  EXPECT_EQ(Check(ExportOf(chain_.entries)).result, "NOT_TRUSTED");
  EXPECT_EQ(Check(ExportOf(chain_.entries)).exit, Exit::kCannotSay);
}

TEST_F(ExportTest, TagsWithoutTheirKeyAreNamedAndMayBeLeftOut) {
  check_.walk.keys = nullptr;
  const OfflineReport report = Check(ExportOf(chain_.entries));
  EXPECT_EQ(report.result, "COULD_NOT_CHECK");
  EXPECT_EQ(report.exit, Exit::kCannotSay);
  ASSERT_EQ(report.unchecked.size(), 1U);
  EXPECT_THAT(report.unchecked[0].what, HasSubstr("edge-a.bgpd"));
  EXPECT_EQ(report.unchecked[0].entries, 300U);
  check_.walk.check_tags = false;
  EXPECT_EQ(Check(ExportOf(chain_.entries)).result, "VERIFIED");
}

TEST_F(ExportTest, AnEntryThatTheSignerHimselfChangedIsNamed) {
  std::vector<std::string> entries = chain_.entries;
  entries[100].back() ^= 1;  // in the tag; the tree and the note are made over it
  OfflineReport report = Check(ExportOf(entries));
  EXPECT_EQ(report.exit, Exit::kNo);
  ASSERT_TRUE(report.broken);
  EXPECT_EQ(report.broken->sequence, 100U);
  EXPECT_EQ(report.broken->kind, chain::BreakKind::kTag);
  entries = chain_.entries;
  std::swap(entries[50], entries[51]);
  report = Check(ExportOf(entries));
  ASSERT_TRUE(report.broken);
  EXPECT_EQ(report.broken->sequence, 50U);
}

TEST_F(ExportTest, AByteChangedAnywhereIsNeverASuccess) {
  const std::string good = ExportOf(chain_.entries);
  for (std::size_t at = 0; at < good.size(); at += 997) {
    std::string bad = good;
    bad[at] ^= 0x10;
    const auto report = CheckExport(chain::SourceFrom(bad),
                                    [this](const std::string&) -> absl::StatusOr<ExportCheck> { return check_; });
    if (!report.ok()) continue;  // not even an export's beginning
    EXPECT_NE(report->exit, Exit::kYes) << "byte " << at;
  }
  for (const std::size_t size : {std::size_t{4'000}, good.size() / 2, good.size() - 1'024}) {
    EXPECT_EQ(Check(good.substr(0, size)).exit, Exit::kNo) << size;
  }
}

TEST_F(ExportTest, ABadSignatureOfATrustedKeyIsABreak) {
  std::string bytes = ExportOf(chain_.entries);
  const std::size_t at = bytes.find("\xe2\x80\x94 virp.example.net/test ") + 40;
  bytes[at] = bytes[at] == 'A' ? 'B' : 'A';
  const OfflineReport report = Check(bytes);
  EXPECT_EQ(report.exit, Exit::kNo);
  ASSERT_TRUE(report.broken);
  EXPECT_EQ(report.broken->kind, chain::BreakKind::kCheckpointSignature);
}

TEST_F(ExportTest, MustExtendWhatWasSeenBefore) {
  const auto know = [this](const std::string& note) {
    check_.known = chain::CheckpointStore::Kept{note, chain::OpenCheckpoint(note, check_.keys).value()};
  };
  know(NoteOf(chain_.entries, 17));
  EXPECT_EQ(Check(ExportOf(chain_.entries)).result, "VERIFIED");
  std::vector<std::string> other = chain_.entries;
  other[16].back() ^= 1;
  know(NoteOf(other, 17));
  const OfflineReport report = Check(ExportOf(chain_.entries));
  ASSERT_TRUE(report.broken);
  EXPECT_EQ(report.broken->kind, chain::BreakKind::kCheckpointRoot);
  EXPECT_EQ(report.broken->sequence, 17U);
}

TEST(IsExportTest, TellsItFromTheOtherFiles) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(IsExport("checkpoint\0more"sv));
  EXPECT_FALSE(IsExport("claim.json\0more"sv));
  EXPECT_FALSE(IsExport("checkpoint"sv));
  EXPECT_FALSE(IsExport(""sv));
}

}  // namespace
}  // namespace virp::virpctl
