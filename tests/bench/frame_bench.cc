// Frames: checking a tag, decoding, reading and writing payloads, cutting streams. One thread; the time is per frame of
// 300 bytes of payload unless the name says otherwise. `one_shot` is what HMAC costs when the key is set up for each
// message.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <cstdint>
#include <string>

#include "lib/crypto/sha256.h"
#include "lib/frame/frame.h"
#include "lib/frame/key.h"
#include "lib/frame/payload.h"
#include "lib/frame/run.h"
#include "lib/frame/stream.h"

namespace virp::frame {
namespace {

const std::string kSecret(64, 'k');

// A route announcement as our collector writes it, 300 bytes.
std::string Payload() {
  JsonWriter out;
  out.BeginObject().Field("domain", "bgp").Field("peer", "edge-b").Field("peer_addr", "192.0.2.2");
  out.Field("peer_as", 64501).Field("router_id", "192.0.2.1").Field("rib", "adj-in-pre");
  out.Field("path_id", 0)
      .Field("prefix", "203.0.113.0/24")
      .Field("event", "route_announce")
      .Field("nexthop", "192.0.2.2");
  out.Field("as_path", "64501 64510").Field("origin", "IGP").Field("med", 0).Key("communities").BeginArray().EndArray();
  std::string text = out.Field("note", "").EndObject().Take();
  return text.insert(text.size() - 2, text.size() < 300 ? 300 - text.size() : 0, 'x');
}

Header SampleHeader(Suite suite) {
  Header out;
  out.suite = suite;
  out.type = Type::kBgpProcess;
  out.sequence = 7;
  out.boot_epoch = 5;
  out.key_version = 1;
  return out;
}

std::shared_ptr<const OKey> KeyOf(Suite suite) {
  return suite == Suite::kEd25519 ? OKey::Ed25519FromSeed(std::string(32, 's')).value() : OKey::Hmac(kSecret).value();
}

void BM_Sha256(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crypto::Sha256(bytes));
}
BENCHMARK(BM_Sha256)->Arg(64)->Arg(400);

template <Suite suite>
void BM_DecodeAndVerify(benchmark::State& state) {
  const auto key = KeyOf(suite);
  const std::string bytes = EncodeSigned(SampleHeader(suite), Payload(), *key).value();
  for (auto _ : state) {
    const Frame frame = Decode(bytes, Spelling::kV2).value();
    if (!VerifyTag(frame, *key)) state.SkipWithError("tag");
  }
}
BENCHMARK(BM_DecodeAndVerify<Suite::kHmacSha256>)->Name("BM_DecodeAndVerify/hmac");
BENCHMARK(BM_DecodeAndVerify<Suite::kEd25519>)->Name("BM_DecodeAndVerify/ed25519");

void BM_VerifyOneShot(benchmark::State& state) {
  const auto key = KeyOf(Suite::kHmacSha256);
  const std::string bytes = EncodeSigned(SampleHeader(Suite::kHmacSha256), Payload(), *key).value();
  const Frame frame = Decode(bytes, Spelling::kV2).value();
  for (auto _ : state) {
    unsigned char tag[32];
    std::size_t size = 0;
    EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA2-256", nullptr, kSecret.data(), kSecret.size(),
              reinterpret_cast<const unsigned char*>(frame.signed_part.data()), frame.signed_part.size(), tag,
              sizeof(tag), &size);
    if (frame.tag != std::string_view(reinterpret_cast<const char*>(tag), size)) state.SkipWithError("tag");
  }
}
BENCHMARK(BM_VerifyOneShot)->Name("BM_Verify/hmac_one_shot");

template <Suite suite>
void BM_EncodeSigned(benchmark::State& state) {
  const auto key = KeyOf(suite);
  const std::string payload = Payload();
  Header header = SampleHeader(suite);
  for (auto _ : state) {
    ++header.sequence;
    benchmark::DoNotOptimize(EncodeSigned(header, payload, *key));
  }
}
BENCHMARK(BM_EncodeSigned<Suite::kHmacSha256>)->Name("BM_EncodeSigned/hmac");
BENCHMARK(BM_EncodeSigned<Suite::kEd25519>)->Name("BM_EncodeSigned/ed25519");

void BM_Decode(benchmark::State& state) {
  const std::string bytes =
      EncodeSigned(SampleHeader(Suite::kHmacSha256), Payload(), *KeyOf(Suite::kHmacSha256)).value();
  for (auto _ : state) benchmark::DoNotOptimize(Decode(bytes, Spelling::kV2));
}
BENCHMARK(BM_Decode);

void BM_PayloadRead(benchmark::State& state) {
  const std::string payload = Payload();
  PayloadReader reader;
  for (auto _ : state) {
    const Value root = reader.Read(payload).value();
    benchmark::DoNotOptimize(root["router_id"].AsString());
    benchmark::DoNotOptimize(root["prefix"].AsString());
    benchmark::DoNotOptimize(root["event"].AsString());
  }
}
BENCHMARK(BM_PayloadRead);

void BM_PayloadWrite(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Payload());
}
BENCHMARK(BM_PayloadWrite);

// Pieces of 16 KiB, as a socket gives them.
void BM_SplitStream(benchmark::State& state) {
  Header header = SampleHeader(Suite::kHmacSha256);
  header.spelling = Spelling::kV1Le;
  const std::string frame = EncodeSigned(header, Payload(), *KeyOf(Suite::kHmacSha256)).value();
  std::string bytes;
  while (bytes.size() < (1U << 20)) bytes += frame;
  const FrameSplitter::Time now{};
  std::int64_t frames = 0;
  for (auto _ : state) {
    FrameSplitter splitter(Spelling::kV1Le);
    for (std::size_t at = 0; at < bytes.size(); at += 16'384) {
      splitter.Add(std::string_view(bytes).substr(at, 16'384), now);
      while (splitter.Next(now).value().has_value()) ++frames;
    }
  }
  state.SetItemsProcessed(frames);
}
BENCHMARK(BM_SplitStream);

void BM_RunRules(benchmark::State& state) {
  const std::string tag(32, 't');
  Frame frame;
  frame.tag = tag;
  RunState run;
  for (auto _ : state) {
    frame.header.sequence = (frame.header.sequence + 1) & 0xffff'ffff;
    ++frame.header.timestamp;
    const RunDecision decision = run.Decide(frame, std::nullopt);
    run.Accept(frame, decision);
  }
}
BENCHMARK(BM_RunRules);

}  // namespace
}  // namespace virp::frame
