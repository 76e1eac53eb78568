#include "lib/chain/proof.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"
#include "lib/chain/merkle.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

// Made with an independent script; the leaves are the texts "observation 0" to "observation 6".
const std::string kWorked =
    "c2sp.org/tlog-proof@v1\n"
    "index 2\n"
    "pj+OExu4Xyo7RcjNy11l1TXA+eVH8XprOvh7sdV20J0=\n"
    "T4pj6TyKVI+v/RlqWptrEKmRbnYzsxuwj99vfsO4IPE=\n"
    "FabGvJ4l677qv3lL+9puXpfQENm5KEYaixFR8zMkN50=\n"
    "\n"
    "obs.example.net/site1\n"
    "7\n"
    "WnfVuU0PKILOAg/T0T+NKG9XF1kk/pyD7nAot6j1Ruo=\n"
    "\n"
    "— obs.example.net/site1 "
    "0RLTK60zKx+pF9iKclPkK+iQHC30b+2JiB9w3DC1opwn60clkd+dx2Rn2eKCQpFj/nk8CvkonIGH+K8TJBFxL8Vi+wg=\n"
    "— witness.example.org/w1 "
    "SA4spQAAAABqsTuAt5Z04EpnnVyvZxUIWQOoYay7TnuZ5TzHYemYBkfRw59mgbRjxtW9ixqkkyw+VUbiNSj8Bya6qyvHJnuSb01nBQ==\n";

VerifierKey LogKey() {
  return VerifierKey::Parse("obs.example.net/site1+d112d32b+ASmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X").value();
}

VerifierKey KeyOf(std::string_view name) {
  return VerifierKey::Parse(Text(VectorChain(name)["verifier_key"])).value();
}

// Proof of one entry of a vector chain at one of its sizes.
Proof VectorProof(std::string_view name, std::uint64_t index, std::uint64_t size) {
  const auto& chain = VectorChain(name);
  Proof proof;
  proof.entry = VectorEntries(name)[index];
  proof.index = index;
  for (const auto& vector : chain["inclusion"]) {
    if (vector["size"].get<std::uint64_t>() == size && vector["index"].get<std::uint64_t>() == index)
      proof.path = UnhexHashes(vector["path_hex"]);
  }
  proof.checkpoint = chain["checkpoints"][size - 1]["note"];
  return proof;
}

TEST(Proof, WorkedValues) {
  const auto proof = DecodeProof(kWorked);
  ASSERT_TRUE(proof.ok()) << proof.status();
  EXPECT_EQ(proof->index, 2u);
  EXPECT_EQ(proof->path.size(), 3u);
  EXPECT_TRUE(proof->entry.empty());
  EXPECT_EQ(EncodeProof(*proof), kWorked);
  const auto checkpoint = OpenCheckpoint(proof->checkpoint, {LogKey()});
  ASSERT_TRUE(checkpoint.ok());
  std::vector<Hash> leaves;
  for (int i = 0; i < 7; ++i) leaves.push_back(LeafHash(fmt::format("observation {}", i)));
  EXPECT_EQ(RootOf(leaves), checkpoint->root);
  EXPECT_TRUE(VerifyInclusion(leaves[2], proof->index, checkpoint->size, proof->path, checkpoint->root).ok());
  // Without the entry there is nothing to believe.
  EXPECT_EQ(VerifyProof(*proof, {LogKey()}).status().code(), absl::StatusCode::kInvalidArgument);
  // The consistency proof from size 3 begins as published.
  const SubtreeReader read = [&](unsigned level, std::uint64_t index) -> absl::StatusOr<Hash> {
    return RootOf(std::span<const Hash>(leaves).subspan(index << level, std::size_t{1} << level));
  };
  const auto consistency = ConsistencyProof(3, 7, read);
  ASSERT_TRUE(consistency.ok());
  std::vector<std::string> begins;
  for (const Hash& hash : *consistency) begins.push_back(Base64Encode(View(hash)).substr(0, 8));
  EXPECT_THAT(begins, ::testing::ElementsAre("lmXOuk/y", "pj+OExu4", "T4pj6TyK", "FabGvJ4l"));
}

TEST(Proof, EveryEntryOfTheVectorsAtEverySize) {
  for (const std::string_view name : kVectorChains) {
    const std::vector<std::string> entries = VectorEntries(name);
    for (std::uint64_t size = 1; size <= entries.size(); ++size) {
      for (std::uint64_t index = 0; index < size; ++index) {
        const Proof proof = VectorProof(name, index, size);
        const auto again = DecodeProof(EncodeProof(proof));
        ASSERT_TRUE(again.ok()) << again.status();
        EXPECT_EQ(again->entry, proof.entry);
        EXPECT_EQ(again->path, proof.path);
        EXPECT_EQ(again->checkpoint, proof.checkpoint);
        const auto verified = VerifyProof(*again, {KeyOf(name)});
        ASSERT_TRUE(verified.ok()) << verified.status();
        EXPECT_EQ(verified->checkpoint.size, size);
        EXPECT_EQ(verified->header.sequence, index);
        EXPECT_EQ(verified->frame, entries[index].substr(kEntryHeaderSize));
      }
    }
  }
}

TEST(Proof, EveryChangedByteIsRefused) {
  const std::string good = EncodeProof(VectorProof("valid", 4, 11));
  const std::vector<VerifierKey> keys = {KeyOf("valid")};
  ASSERT_TRUE(VerifyProof(DecodeProof(good).value(), keys).ok());
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int flip : {1, 4, 0x20, 0x80}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      const auto proof = DecodeProof(bad);
      if (proof.ok()) {
        EXPECT_FALSE(VerifyProof(*proof, keys).ok()) << "byte " << i;
      }
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeProof(good.substr(0, size)).ok()) << size;
  }
}

TEST(Proof, OfAnotherChainOrPlace) {
  const std::vector<VerifierKey> keys = {KeyOf("valid"), KeyOf("bytes")};
  Proof proof = VectorProof("valid", 4, 11);
  proof.entry = VectorEntries("bytes")[4];
  EXPECT_EQ(VerifyProof(proof, keys).status().code(), absl::StatusCode::kDataLoss);
  proof = VectorProof("valid", 4, 11);
  proof.checkpoint = VectorProof("bytes", 4, 11).checkpoint;
  EXPECT_EQ(VerifyProof(proof, keys).status().code(), absl::StatusCode::kDataLoss);
  proof = VectorProof("valid", 4, 11);
  proof.index = 5;
  EXPECT_EQ(VerifyProof(proof, keys).status().code(), absl::StatusCode::kDataLoss);
  proof.index = 11;
  EXPECT_EQ(VerifyProof(proof, keys).status().code(), absl::StatusCode::kInvalidArgument);
  proof = VectorProof("valid", 4, 11);
  EXPECT_EQ(VerifyProof(proof, {KeyOf("bytes")}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(VerifyProof(proof, {}).status().code(), absl::StatusCode::kNotFound);
}

// A signer could put an entry of another chain, or at another place, in its tree: the header tells.
TEST(Proof, EntryThatContradictsItsTree) {
  const auto signer = CheckpointSigner::FromSeed("example.net/a", std::string(32, 's')).value();
  EntryHeader header;
  header.origin_id = OriginIdOf("example.net/a");
  const auto verify = [&](const EntryHeader& of) {
    Proof proof;
    proof.entry = EncodeEntry(of, "frame");
    proof.checkpoint = signer.Sign({"example.net/a", 1, LeafHash(proof.entry)}).value();
    return VerifyProof(proof, {signer.verifier_key()}).status();
  };
  EXPECT_TRUE(verify(header).ok());
  header.sequence = 1;
  EXPECT_EQ(verify(header).code(), absl::StatusCode::kDataLoss);
  header.sequence = 0;
  header.origin_id = OriginIdOf("example.net/b");
  EXPECT_EQ(verify(header).code(), absl::StatusCode::kDataLoss);
  header.kind = static_cast<Kind>(9);
  EXPECT_EQ(verify(header).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Proof, MalformedFilesNameTheLine) {
  const auto refused = [](const std::string& text, std::string_view why) {
    const auto proof = DecodeProof(text);
    EXPECT_EQ(proof.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(Message(proof.status())), HasSubstr(std::string(why)));
  };
  const std::string note = kWorked.substr(kWorked.find("\n\n") + 2);
  const std::string first = "c2sp.org/tlog-proof@v1\n";
  const std::string hash = "pj+OExu4Xyo7RcjNy11l1TXA+eVH8XprOvh7sdV20J0=\n";
  ASSERT_TRUE(DecodeProof(first + "index 0\n\n" + note).ok());
  refused("", "line 1: the file ends");
  refused("c2sp.org/tlog-proof@v2\nindex 0\n\n" + note, "line 1");
  refused(first, "line 2: the file ends");
  refused(first + "extra \nindex 0\n\n" + note, "line 2: the extra");
  refused(first + "extra ???\nindex 0\n\n" + note, "line 2: the extra");
  refused(first + "extra AAAA\nextra AAAA\nindex 0\n\n" + note, "line 3");
  refused(first + "index\n\n" + note, "line 2");
  for (const std::string bad : {"", "00", "-1", "+1", " 1", "1 ", "9223372036854775808", "99999999999999999999"}) {
    refused(fmt::format("{}index {}\n\n{}", first, bad, note), "line 2: the index");
  }
  refused(first + "index 0\nAAAA\n\n" + note, "line 3: not base64 of a hash");
  refused(first + "index 0\n" + hash.substr(0, 43) + "\n\n" + note, "line 3");
  refused(first + "index 0\r\n\n" + note, "line 2");
  refused(first + "index 0\n" + hash, "line 4: the file ends");
  refused(first + "index 0\n\n", "after its empty line");
  refused(first + "index 0\n\n" + note.substr(0, 20), "after its empty line");
  std::string many = first + "index 0\n";
  for (int i = 0; i < 63; ++i) many += hash;
  EXPECT_TRUE(DecodeProof(many + "\n" + note).ok());
  refused(many + hash + "\n" + note, "line 66");
  refused(std::string((1 << 20) + 1, 'x'), "1048576");
}

}  // namespace
}  // namespace virp::chain
