#include "lib/chain/note.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

// Worked values made with an independent script: a log's key, a witness's key, and a checkpoint that both signed.
constexpr std::string_view kLogKey = "obs.example.net/site1+d112d32b+ASmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
constexpr std::string_view kWitnessKey = "witness.example.org/w1+480e2ca5+BCVDuS/xCVURR2rcg2nbbdyTNmWhGXjdoUBO4QZsqVWd";
const std::string kText =
    "obs.example.net/site1\n"
    "7\n"
    "WnfVuU0PKILOAg/T0T+NKG9XF1kk/pyD7nAot6j1Ruo=\n";
const std::string kLogLine =
    "— obs.example.net/site1 "
    "0RLTK60zKx+pF9iKclPkK+iQHC30b+2JiB9w3DC1opwn60clkd+dx2Rn2eKCQpFj/nk8CvkonIGH+K8TJBFxL8Vi+wg=\n";
const std::string kWitnessLine =
    "— witness.example.org/w1 "
    "SA4spQAAAABqsTuAt5Z04EpnnVyvZxUIWQOoYay7TnuZ5TzHYemYBkfRw59mgbRjxtW9ixqkkyw+VUbiNSj8Bya6qyvHJnuSb01nBQ==\n";

std::vector<VerifierKey> LogKeys() {
  return {VerifierKey::Parse(kLogKey).value()};
}

CheckpointSigner SignerOf(std::string_view name, char seed) {
  return CheckpointSigner::FromSeed(name, std::string(32, seed)).value();
}

void ExpectNote(std::string_view note, absl::StatusCode code, std::string_view why = "") {
  const auto opened = OpenCheckpoint(note, LogKeys());
  EXPECT_EQ(opened.status().code(), code) << opened.status() << "\n" << note;
  EXPECT_THAT(std::string(Message(opened.status())), HasSubstr(std::string(why)));
}

TEST(Note, VectorCheckpointsOfBothChains) {
  for (const std::string_view name : kVectorChains) {
    const auto& chain = VectorChain(name);
    const auto signer = CheckpointSigner::FromSeed(Text(chain["origin"]), Unhex(chain["checkpoint_seed_hex"]));
    ASSERT_TRUE(signer.ok());
    EXPECT_EQ(signer->verifier_key().ToString(), Text(chain["verifier_key"]));
    const auto key = VerifierKey::Parse(Text(chain["verifier_key"]));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(*key, signer->verifier_key());
    EXPECT_EQ(key->name(), Text(chain["origin"]));
    EXPECT_EQ(HexEncode(key->public_key()), Text(chain["public_key_hex"]));
    for (const auto& vector : chain["checkpoints"]) {
      const std::string note = vector["note"];
      const auto checkpoint = OpenCheckpoint(note, {*key});
      ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
      const std::uint64_t size = vector["size"];
      EXPECT_EQ(checkpoint->origin, Text(chain["origin"]));
      EXPECT_EQ(checkpoint->size, size);
      EXPECT_EQ(HexEncode(View(checkpoint->root)), Text(chain["entries"][size - 1]["root_hex"]));
      EXPECT_EQ(signer->Sign(*checkpoint).value(), note);
      EXPECT_EQ(ParseCheckpointUnverified(note).value(), *checkpoint);
    }
  }
}

TEST(Note, WorkedValuesWithAWitnessThatNobodyKnows) {
  for (const std::string& note :
       {fmt::format("{}\n{}", kText, kLogLine), fmt::format("{}\n{}{}", kText, kLogLine, kWitnessLine),
        fmt::format("{}\n{}{}", kText, kWitnessLine, kLogLine)}) {
    const auto checkpoint = OpenCheckpoint(note, LogKeys());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(checkpoint->origin, "obs.example.net/site1");
    EXPECT_EQ(checkpoint->size, 7u);
    EXPECT_EQ(HexEncode(View(checkpoint->root)), "5a77d5b94d0f2882ce020fd3d13f8d286f57175924fe9c83ee7028b7a8f546ea");
  }
  ExpectNote(kText + "\n" + kWitnessLine, absl::StatusCode::kNotFound, "no known key");
}

TEST(Note, ExampleOfTheSpecification) {  // c2sp.org/signed-note
  const auto key = VerifierKey::Parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  ASSERT_TRUE(key.ok()) << key.status();
  const std::string signature =
      Base64Decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=")
          .value();
  EXPECT_EQ(LoadBe<std::uint32_t>(signature.data()), key->key_id());
  const std::string text =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
  EXPECT_TRUE(key->Verify(text, signature.substr(4)));
  EXPECT_FALSE(key->Verify(text + "\n", signature.substr(4)));
}

TEST(Note, EveryChangedByteIsRefused) {
  const std::string note = kText + "\n" + kLogLine;
  for (std::size_t i = 0; i < note.size(); ++i) {
    for (const int flip : {1, 2, 0x20, 0x80}) {
      std::string bad = note;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      EXPECT_FALSE(OpenCheckpoint(bad, LogKeys()).ok()) << "byte " << i << ": " << bad;
    }
  }
  for (std::size_t size = 0; size < note.size(); ++size) {
    EXPECT_FALSE(OpenCheckpoint(note.substr(0, size), LogKeys()).ok()) << size;
  }
}

TEST(Note, BothKeysOfARollover) {
  const CheckpointSigner old_key = SignerOf("example.net/a", 'o');
  const CheckpointSigner new_key = SignerOf("example.net/a", 'n');
  const Checkpoint checkpoint{"example.net/a", 5, EmptyRoot()};
  const std::string text = CheckpointText(checkpoint);
  const std::string note = text + "\n" + old_key.SignatureLine(text).value() + new_key.SignatureLine(text).value();
  EXPECT_TRUE(OpenCheckpoint(note, {old_key.verifier_key()}).ok());
  EXPECT_TRUE(OpenCheckpoint(note, {new_key.verifier_key()}).ok());
  EXPECT_TRUE(OpenCheckpoint(note, {new_key.verifier_key(), old_key.verifier_key()}).ok());
  // One of two known keys signed something else: the note is refused although the other signature holds.
  const std::string forged =
      text + "\n" + old_key.SignatureLine(text).value() + new_key.SignatureLine("else\n").value();
  EXPECT_TRUE(OpenCheckpoint(forged, {old_key.verifier_key()}).ok());
  EXPECT_EQ(OpenCheckpoint(forged, {old_key.verifier_key(), new_key.verifier_key()}).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(Note, AKeySpeaksForItsOwnOriginOnly) {
  const CheckpointSigner a = SignerOf("example.net/a", 'a');
  const CheckpointSigner b = SignerOf("example.net/b", 'b');
  const std::vector<VerifierKey> keys = {a.verifier_key(), b.verifier_key()};
  const Checkpoint of_a{"example.net/a", 5, EmptyRoot()};
  const std::string by_b = b.Sign(of_a).value();
  EXPECT_EQ(OpenCheckpoint(by_b, keys).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(OpenCheckpoint(by_b, {a.verifier_key()}).status().code(), absl::StatusCode::kNotFound);
  const std::string text = CheckpointText(of_a);
  EXPECT_TRUE(OpenCheckpoint(text + "\n" + a.SignatureLine(text).value() + b.SignatureLine(text).value(), keys).ok());
  EXPECT_EQ(OpenCheckpoint(a.Sign(of_a).value(), {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(Note, MalformedNotes) {
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  ExpectNote("", kBad);
  ExpectNote("\n\n", kBad);
  ExpectNote(kText, kBad, "an empty line");
  ExpectNote(kText + "\n", kBad);
  ExpectNote(kText + "\n\n" + kLogLine, kBad);
  ExpectNote(kText + "\n" + kLogLine + "\n", kBad);
  ExpectNote(kText + "\n" + kLogLine + "- no dash\n", kBad, "dash");
  ExpectNote(kText + "\n" + kLogLine + "— name\n", kBad);
  ExpectNote(kText + "\n" + kLogLine + "—  c2ln\n", kBad);
  ExpectNote(kText + "\n" + kLogLine + "— a+b c2ln\n", kBad);
  ExpectNote(kText + "\n" + kLogLine + "— a b c\n", kBad);
  ExpectNote(kText + "an extension\n\n" + kLogLine, kBad, "extension");
  ExpectNote("obs.example.net/site1\n7\n\n" + kLogLine, kBad, "three lines");
  ExpectNote(kText + "\r\n" + kLogLine, kBad, "control");
  ExpectNote(std::string("\0", 1) + kText + "\n" + kLogLine, kBad, "control");
  ExpectNote(kText + "\n" + kLogLine + "— n\xff c2ln\n", kBad, "UTF-8");
  ExpectNote(std::string(65'537, 'x'), kBad, "65536");
  ExpectNote("\n7\nWnfVuU0PKILOAg/T0T+NKG9XF1kk/pyD7nAot6j1Ruo=\n\n" + kLogLine, kBad, "origin");
  ExpectNote("o\n7\nWnfVuU0PKILOAg/T0T+NKG9XF1kk/pyD7nAot6j1\n\n" + kLogLine, kBad, "32 bytes");
  ExpectNote("o\n7\nWnfVuU0PKILOAg/T0T+NKG9XF1kk/pyD7nAot6j1Ruo\n\n" + kLogLine, kBad, "base64");
  for (const std::string size :
       {"", "07", "+7", "-7", " 7", "7 ", "0x7", "9223372036854775809", "18446744073709551616"}) {
    ExpectNote(fmt::format("o\n{}\nWnfVuU0PKILOAg/T0T+NKG9XF1kk/pyD7nAot6j1Ruo=\n\n{}", size, kLogLine), kBad, "size");
  }
}

TEST(Note, SizesAtTheEdges) {
  const CheckpointSigner signer = SignerOf("example.net/a", 'a');
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, kMaxTreeSize}) {
    const auto opened =
        OpenCheckpoint(signer.Sign({"example.net/a", size, EmptyRoot()}).value(), {signer.verifier_key()});
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->size, size);
  }
}

TEST(Note, ManySignaturesOfOthers) {
  std::string note = kText + "\n";
  for (int i = 0; i < 63; ++i) note += fmt::format("— w{}.example.org c2lnbmF0dXJl\n", i);
  EXPECT_TRUE(OpenCheckpoint(note + kLogLine, LogKeys()).ok());
  ExpectNote(note + kLogLine + kWitnessLine, absl::StatusCode::kInvalidArgument, "64 signatures");
  // Signatures that are no base64, or shorter than a key id, are somebody else's matter too.
  EXPECT_TRUE(OpenCheckpoint(kText + "\n— w ???\n— w AAAA\n" + kLogLine, LogKeys()).ok());
}

TEST(Note, SignatureOfAKnownKeyInAnotherLength) {
  std::string bytes;
  AppendBe(bytes, LogKeys()[0].key_id());
  for (const std::size_t length : {1u, 63u, 65u}) {
    ExpectNote(kText + "\n— obs.example.net/site1 " + Base64Encode(bytes + std::string(length, 's')) + "\n",
               absl::StatusCode::kDataLoss);
  }
}

TEST(VerifierKey, TextThatIsRefused) {
  const auto refused = [](const std::string& text, std::string_view why) {
    const auto key = VerifierKey::Parse(text);
    EXPECT_EQ(key.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(Message(key.status())), HasSubstr(std::string(why)));
  };
  const std::string good(kLogKey);
  refused("", "is written");
  refused("name", "is written");
  refused("name+d112d32b", "is written");
  refused("name+d112d32+ASms", "is written");
  refused(std::string(kWitnessKey), "type 4");
  refused(good + "A", "base64");
  refused("name+d112d32b+", "base64");
  refused("name+00000000+" + good.substr(good.rfind('+') + 1), "typing error");
  refused("o" + good, "typing error");
  refused("+d112d32b+" + good.substr(good.rfind('+') + 1), "name");
  refused("a b+d112d32b+" + good.substr(good.rfind('+') + 1), "name");
  refused(std::string(256, 'n') + "+d112d32b+" + good.substr(good.rfind('+') + 1), "name");
  refused("obs.example.net/site1+D112D32B+" + good.substr(good.rfind('+') + 1), "typing error");
  refused("obs.example.net/site1+d112d32b+" + Base64Encode("\1short"), "32 bytes");
  EXPECT_FALSE(VerifierKey::Make("name", std::string(31, 'k')).ok());
  EXPECT_FALSE(CheckpointSigner::FromSeed("name", std::string(31, 'k')).ok());
  EXPECT_FALSE(CheckpointSigner::FromSeed("a name", std::string(32, 'k')).ok());
}

}  // namespace
}  // namespace virp::chain
