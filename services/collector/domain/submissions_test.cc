#include "services/collector/domain/submissions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/crypto/sha256.h"
#include "lib/deliver/outbox_fixture.h"

namespace virp::collector {
namespace {

Submissions::Answer AnswerOf(std::string_view request, std::uint64_t sequence) {
  Submissions::Answer answer;
  answer.request = crypto::Sha256(request);
  deliver::Receipt receipt;
  receipt.epoch = 7;
  receipt.sequence = sequence;
  receipt.digest = crypto::Sha256("frame");
  answer.receipts = {receipt, receipt};
  return answer;
}

TEST(SubmissionsTest, AnswersByProducerAndRequestId) {
  Submissions submissions;
  submissions.Remember("alice\n1", AnswerOf("a", 1));
  submissions.Remember("bob\n1", AnswerOf("b", 2));
  EXPECT_EQ(submissions.Find("alice\n1")->receipts[0].sequence, 1);
  EXPECT_EQ(submissions.Find("bob\n1")->receipts[1].sequence, 2);
  EXPECT_EQ(submissions.Find("alice\n1")->request, crypto::Sha256("a"));
  EXPECT_EQ(submissions.Find("alice\n2"), std::nullopt);
  EXPECT_EQ(submissions.Find("alice"), std::nullopt);
}

TEST(SubmissionsTest, RemembersTheLastTenThousand) {
  Submissions submissions;
  for (std::size_t i = 0; i < Submissions::kRemembered; ++i) submissions.Remember(std::to_string(i), AnswerOf("x", 1));
  EXPECT_TRUE(submissions.Find("0"));
  submissions.Remember("one more", AnswerOf("x", 1));
  EXPECT_FALSE(submissions.Find("0"));
  EXPECT_TRUE(submissions.Find("1"));
  EXPECT_TRUE(submissions.Find("one more"));
}

TEST(SubmissionsTest, SavedRequestsComeBackAndCutOnesAreDataLoss) {
  Submissions submissions;
  submissions.Remember("alice\n1", AnswerOf("a", 1));
  submissions.Remember("bob\n1", AnswerOf("b", 2));
  const std::string saved = submissions.Save();
  Submissions loaded;
  ASSERT_OK(loaded.Load(saved));
  EXPECT_EQ(loaded.Save(), saved);
  EXPECT_EQ(loaded.Find("bob\n1")->receipts[0].digest, crypto::Sha256("frame"));
  std::size_t whole = 0;  // where the first of them ends, it is a saved book of one
  for (std::size_t size = 1; size < saved.size(); ++size)
    whole += Submissions().Load(std::string_view(saved).substr(0, size)).ok() ? 1 : 0;
  EXPECT_EQ(whole, 1);
}

using SubmissionsReplayTest = deliver::testing::OutboxTest;

TEST_F(SubmissionsReplayTest, ANoteInTheSpoolBringsTheAnswerBack) {
  Submissions before;
  ASSERT_OK(Open({&before}));
  deliver::Observation observation;
  observation.type = frame::Type::kDeviceCommandOutput;
  observation.payload = "{}";
  Submissions::Answer answer = AnswerOf("asked", 0);
  ASSERT_OK(outbox_->Emit({{"edge-a.bgpd", &observation}}, [&](const std::vector<deliver::Receipt>& receipts) {
    answer.receipts = receipts;
    return Submissions::NoteOf("alice\n1", answer);
  }));
  ASSERT_OK(outbox_->Sync(outbox_->spool().stats().last));
  Submissions after;
  ASSERT_OK(Open({&after}));
  const auto found = after.Find("alice\n1");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->request, answer.request);
  EXPECT_EQ(found->receipts[0].sequence, 1);
  EXPECT_EQ(found->receipts[0].digest, crypto::Sha256(Spooled()[0].bytes));
}

}  // namespace
}  // namespace virp::collector
