#include "lib/chain/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/base/status.h"
#include "lib/chain/chain_vectors.h"

namespace virp::chain {
namespace {

using ::testing::HasSubstr;

ByteSink SinkTo(std::string& out) {
  return [&out](std::string_view bytes) {
    out += bytes;
    return absl::OkStatus();
  };
}

const CheckpointSigner& Signer() {
  static const CheckpointSigner signer = CheckpointSigner::FromSeed("example.net/a", std::string(32, 's')).value();
  return signer;
}

ExportKeys SomeKeys() {
  ExportKeys keys;
  keys.checkpoint_keys = {Signer().verifier_key()};
  KeyStatement hmac;
  hmac.version = 3;
  hmac.suite = frame::Suite::kHmacSha256;
  hmac.commitment = std::string(32, 'c');
  hmac.accept_from = 1;
  hmac.accept_until = 2;
  KeyStatement ed25519;
  ed25519.version = 4'294'967'295;
  ed25519.public_key = std::string(32, 'p');
  keys.sources = {{"edge-a.bgpd", {hmac}}, {"example.net/a", {ed25519, ed25519}}, {"new", {}}};
  return keys;
}

std::vector<std::string> SomeEntries(std::size_t count) {
  std::vector<std::string> entries;
  for (std::size_t i = 0; i < count; ++i) entries.push_back("entry " + std::to_string(i));
  return entries;
}

std::string NoteOver(const std::vector<std::string>& entries) {
  Frontier frontier;
  for (const std::string& entry : entries) frontier.Append(LeafHash(entry));
  return Signer().Sign({"example.net/a", entries.size(), frontier.Root()}).value();
}

std::string Export(const std::vector<std::string>& entries) {
  std::string out;
  auto writer = ExportWriter::Start(NoteOver(entries), SomeKeys(), SinkTo(out));
  EXPECT_TRUE(writer.ok()) << writer.status();
  for (const std::string& entry : entries) EXPECT_TRUE(writer->Add(entry).ok());
  const absl::Status finished = writer->Finish();
  EXPECT_TRUE(finished.ok()) << finished;
  return out;
}

// Reads it all, and checks what a caller checks: the signature, and each entry against its leaf.
absl::StatusOr<std::vector<std::string>> ReadAll(std::string_view tar) {
  ASSIGN_OR_RETURN(ExportReader reader, ExportReader::Open(SourceFrom(tar)));
  RETURN_IF_ERROR(OpenCheckpoint(reader.note(), {Signer().verifier_key()}).status());
  std::vector<std::string> entries;
  for (;;) {
    ASSIGN_OR_RETURN(const auto item, reader.Next());
    if (!item) break;
    EXPECT_EQ(item->sequence, entries.size());
    if (item->leaf != LeafHash(item->entry)) return DataLoss("entry {} does not hash to its leaf", item->sequence);
    entries.emplace_back(item->entry);
  }
  EXPECT_FALSE(reader.Next().value().has_value()) << "after the end stays after the end";
  return entries;
}

std::vector<std::string> NamesIn(std::string_view tar) {
  TarReader reader(SourceFrom(tar));
  std::vector<std::string> names;
  while (true) {
    const auto member = reader.Next().value();
    if (!member) return names;
    names.push_back(member->name);
    EXPECT_TRUE(reader.Content(kMaxBundle).ok());
  }
}

// The files of an export, to be put together in another way.
std::vector<std::pair<std::string, std::string>> FilesIn(std::string_view tar) {
  TarReader reader(SourceFrom(tar));
  std::vector<std::pair<std::string, std::string>> files;
  while (const auto member = reader.Next().value())
    files.emplace_back(member->name, reader.Content(kMaxBundle).value());
  return files;
}

std::string Pack(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  TarWriter tar(SinkTo(out));
  for (const auto& [name, content] : files) EXPECT_TRUE(tar.Add(name, content).ok());
  EXPECT_TRUE(tar.Finish().ok());
  return out;
}

TEST(Export, RoundTripAtManySizes) {
  for (const std::size_t size : {0u, 1u, 2u, 255u, 256u, 257u, 512u, 700u, 65'536u, 65'800u}) {
    const std::vector<std::string> entries = SomeEntries(size);
    const std::string tar = Export(entries);
    const auto again = ReadAll(tar);
    ASSERT_TRUE(again.ok()) << size << ": " << again.status();
    EXPECT_EQ(*again, entries);
  }
}

TEST(Export, OrderOfFiles) {
  EXPECT_THAT(NamesIn(Export({})), ::testing::ElementsAre("checkpoint", "keys.json"));
  EXPECT_THAT(NamesIn(Export(SomeEntries(3))),
              ::testing::ElementsAre("checkpoint", "keys.json", "tile/0/000.p/3", "tile/entries/000.p/3"));
  EXPECT_THAT(NamesIn(Export(SomeEntries(256))),
              ::testing::ElementsAre("checkpoint", "keys.json", "tile/0/000", "tile/entries/000", "tile/1/000.p/1"));
  EXPECT_THAT(NamesIn(Export(SomeEntries(513))),
              ::testing::ElementsAre("checkpoint", "keys.json", "tile/0/000", "tile/entries/000", "tile/0/001",
                                     "tile/entries/001", "tile/0/002.p/1", "tile/entries/002.p/1", "tile/1/000.p/2"));
  const std::vector<std::string> names = NamesIn(Export(SomeEntries(65'536)));
  EXPECT_EQ(names.size(), 2u + 512 + 2);
  EXPECT_EQ(names[names.size() - 2], "tile/1/000");
  EXPECT_EQ(names.back(), "tile/2/000.p/1");
}

TEST(Export, VectorChains) {
  for (const std::string_view name : kVectorChains) {
    const auto& chain = VectorChain(name);
    const std::string note = Text(chain["checkpoints"].back()["note"]);
    std::string tar;
    auto writer = ExportWriter::Start(note, {}, SinkTo(tar));
    ASSERT_TRUE(writer.ok());
    for (const std::string& entry : VectorEntries(name)) ASSERT_TRUE(writer->Add(entry).ok());
    ASSERT_TRUE(writer->Finish().ok());
    auto reader = ExportReader::Open(SourceFrom(tar));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(reader->note(), note);
    EXPECT_EQ(reader->checkpoint().size, 12u);
    EXPECT_EQ(reader->keys(), ExportKeys());
    for (const std::string& entry : VectorEntries(name)) EXPECT_EQ(reader->Next().value()->entry, entry);
    EXPECT_FALSE(reader->Next().value());
  }
}

void ExpectChangedBytesRefused(std::size_t size, std::size_t step) {
  const std::string good = Export(SomeEntries(size));
  ASSERT_TRUE(ReadAll(good).ok());
  const std::size_t keys_at = good.find("{\"format\"");
  const std::size_t keys_end = good.find('\n', keys_at);
  for (std::size_t i = 0; i < good.size(); i += step) {
    if (i >= keys_at && i < keys_end) continue;  // not authenticated, and not needed
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x04);
    ASSERT_FALSE(ReadAll(bad).ok()) << "byte " << i;
  }
  for (std::size_t end = 0; end < good.size(); end += 97) ASSERT_FALSE(ReadAll(good.substr(0, end)).ok()) << end;
}

TEST(Export, EveryChangedByteIsRefused) {
  ExpectChangedBytesRefused(5, 1);
  ExpectChangedBytesRefused(260, 19);
}

TEST(Export, FilesInAnotherOrderOrTwiceOrMissing) {
  const auto good = FilesIn(Export(SomeEntries(600)));
  const auto refused = [](const std::vector<std::pair<std::string, std::string>>& files, std::string_view why) {
    const auto read = ReadAll(Pack(files));
    ASSERT_FALSE(read.ok()) << why;
    EXPECT_THAT(std::string(Message(read.status())), HasSubstr(std::string(why)));
  };
  ASSERT_TRUE(ReadAll(Pack(good)).ok());
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto files = good;
    files.insert(files.begin() + static_cast<std::ptrdiff_t>(i), files[i]);
    refused(files, good[i].first + " where ");
    files = good;
    files.erase(files.begin() + static_cast<std::ptrdiff_t>(i));
    refused(files, i + 1 < good.size() ? " where " + good[i].first : "ends before");
    if (i + 1 == good.size()) continue;
    files = good;
    std::swap(files[i], files[i + 1]);
    refused(files, " where " + good[i].first);
  }
  auto files = good;
  files.emplace_back("tile/0/003", "");
  refused(files, "where the archive ends");
  files = good;
  files.resize(4);
  refused(files, "ends before tile/0/001, with 256 of 600 entries");
}

TEST(Export, TilesThatDoNotFitTogether) {
  const auto good = FilesIn(Export(SomeEntries(600)));
  const auto refused = [&](std::size_t at, std::string content, std::string_view why) {
    auto files = good;
    files[at].second = std::move(content);
    const auto read = ReadAll(Pack(files));
    ASSERT_FALSE(read.ok()) << why;
    EXPECT_THAT(std::string(Message(read.status())), HasSubstr(std::string(why)));
  };
  ASSERT_EQ(good[2].first, "tile/0/000");
  refused(2, good[2].second.substr(32), "has 8160 bytes");
  refused(2, good[2].second + "x", "at most 8192");
  refused(2, good[4].second, "does not hash to its leaf");
  refused(3, good[3].second + "x", "bundle");
  refused(3, good[3].second.substr(0, 100), "bundle");
  refused(8, std::string(64, 'x'), "is not what the tiles below it hash to");
  // Everything changed alike but the checkpoint: the root tells.
  auto files = FilesIn(Export(SomeEntries(599)));
  auto other = SomeEntries(599);
  other[300] = "another";
  auto forged = FilesIn(Export(other));
  forged[0] = files[0];
  const auto read = ReadAll(Pack(forged));
  EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Message(read.status())), HasSubstr("root"));
}

TEST(Export, WriterKeepsToItsCheckpoint) {
  const std::vector<std::string> entries = SomeEntries(3);
  std::string out;
  auto writer = ExportWriter::Start(NoteOver(entries), {}, SinkTo(out)).value();
  EXPECT_EQ(writer.Finish().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(writer.Add(entries[0]).ok());
  EXPECT_EQ(writer.Add(std::string(kMaxEntry + 1, 'x')).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(writer.Add(entries[1]).ok());
  EXPECT_TRUE(writer.Add("another").ok());
  EXPECT_EQ(writer.Add("one more").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(writer.Finish().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(ExportReader::Open(SourceFrom(out))->Next().ok());
  EXPECT_FALSE(ExportWriter::Start("no note", {}, SinkTo(out)).ok());
  const auto full = [](std::string_view) { return ResourceExhausted("disk full"); };
  EXPECT_EQ(ExportWriter::Start(NoteOver(entries), {}, full).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(Export, LargestEntries) {
  const std::vector<std::string> entries(257, std::string(kMaxEntry, 'x'));
  const auto again = ReadAll(Export(entries));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, entries);
}

TEST(ExportKeys, RoundTrip) {
  const ExportKeys keys = SomeKeys();
  const std::string text = EncodeExportKeys(keys);
  const auto again = DecodeExportKeys(text);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, keys);
  EXPECT_EQ(DecodeExportKeys(EncodeExportKeys({})).value(), ExportKeys());
  EXPECT_THAT(text, HasSubstr(R"({"source":"edge-a.bgpd","keys":[{"version":3,"suite":1,"key_commitment":"6363)"));
}

TEST(ExportKeys, MalformedFilesNameTheKey) {
  const std::string good = EncodeExportKeys(SomeKeys());
  const auto refused = [&](const std::string& from, const std::string& to, std::string_view why) {
    std::string bad = good;
    ASSERT_NE(bad.find(from), std::string::npos) << from;
    bad.replace(bad.find(from), from.size(), to);
    const auto keys = DecodeExportKeys(bad);
    ASSERT_EQ(keys.status().code(), absl::StatusCode::kInvalidArgument) << to;
    EXPECT_THAT(std::string(Message(keys.status())), HasSubstr(std::string(why)));
  };
  refused("keys/1", "keys/2", "format");
  refused("{", "[", "keys.json");
  refused("\"checkpoint_keys\":[", "\"checkpoint_keys\":[7,", "checkpoint_keys");
  refused("\"sources\":", "\"others\":", "not a list");
  refused("example.net/a+", "example.net/b+", "checkpoint_keys");
  refused("\"source\":\"edge-a.bgpd\"", "\"source\":\"Edge\"", "source name");
  refused("\"source\":\"edge-a.bgpd\"", "\"source\":7", "source");
  refused("\"keys\":[{", "\"kees\":[{", "keys is not a list");
  refused("\"version\":3", "\"version\":4294967296", "version");
  refused("\"suite\":1", "\"suite\":3", "suite");
  refused("\"suite\":1", "\"suite\":2", "public_key");
  refused("\"key_commitment\":\"63", "\"key_commitment\":\"6", "key_commitment");
  refused("\"key_commitment\":\"63", "\"key_commitment\":\"xx", "key_commitment");
  refused("\"accept_from_ns\":1", "\"accept_from_ns\":-1", "accept_from_ns");
  refused("\"accept_until_ns\":2", "\"accept_until_ns\":\"2\"", "accept_until_ns");
  EXPECT_FALSE(DecodeExportKeys("").ok());
  EXPECT_FALSE(DecodeExportKeys(std::string(kMaxKeysFile + 1, ' ')).ok());
}

TEST(ExportKeys, OfThousandsOfSources) {
  ExportKeys keys = SomeKeys();
  for (int i = 0; i < 10'000; ++i) keys.sources.push_back({fmt::format("source-{}", i), SomeKeys().sources[0].keys});
  EXPECT_EQ(DecodeExportKeys(EncodeExportKeys(keys)).value(), keys);
}

}  // namespace
}  // namespace virp::chain
