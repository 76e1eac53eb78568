#include "lib/bgpsec/validate.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>

#include <memory>

#include "lib/bgpsec/rfc8608.h"
#include "tests/testutil/status_matchers.h"

namespace virp::bgpsec {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testutil::StatusIs;

struct Free {
  void operator()(BIGNUM* n) const { BN_clear_free(n); }
  void operator()(BN_CTX* ctx) const { BN_CTX_free(ctx); }
  void operator()(EC_GROUP* group) const { EC_GROUP_free(group); }
  void operator()(EC_POINT* point) const { EC_POINT_free(point); }
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIGNUM> Number(std::string_view bytes) {
  return Owned<BIGNUM>(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr));
}

// ECDSA as the RFC's authors ran it: with one nonce for all signatures, which nobody else may do.
std::string SignWithNonce(std::string_view scalar, std::string_view nonce, const Hash& digest) {
  const Owned<BN_CTX> ctx(BN_CTX_new());
  const Owned<EC_GROUP> group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const BIGNUM* const order = EC_GROUP_get0_order(group.get());
  const auto d = Number(scalar), k = Number(nonce), e = Number(View(digest));
  const Owned<EC_POINT> point(EC_POINT_new(group.get()));
  EC_POINT_mul(group.get(), point.get(), k.get(), nullptr, nullptr, ctx.get());
  Owned<BIGNUM> r(BN_new()), s(BN_new());
  EC_POINT_get_affine_coordinates(group.get(), point.get(), r.get(), nullptr, ctx.get());
  BN_nnmod(r.get(), r.get(), order, ctx.get());
  BN_mod_mul(s.get(), r.get(), d.get(), order, ctx.get());
  BN_mod_add(s.get(), s.get(), e.get(), order, ctx.get());
  const Owned<BIGNUM> inverse(BN_mod_inverse(nullptr, k.get(), order, ctx.get()));
  BN_mod_mul(s.get(), s.get(), inverse.get(), order, ctx.get());
  const Owned<ECDSA_SIG> signature(ECDSA_SIG_new());
  ECDSA_SIG_set0(signature.get(), r.release(), s.release());
  std::string der(static_cast<std::size_t>(i2d_ECDSA_SIG(signature.get(), nullptr)), '\0');
  auto* at = reinterpret_cast<unsigned char*>(der.data());
  i2d_ECDSA_SIG(signature.get(), &at);
  return der;
}

constexpr Receiver kReceiver{.asn = 65'537, .peer_asn = 65'536};

Validity Of(const Path& path, const Nlri& nlri, const Receiver& receiver = kReceiver,
            const RouterKeys& keys = ExampleKeys) {
  const auto verdict = Validate(path, nlri, receiver, keys);
  EXPECT_OK(verdict);
  return verdict.ok() ? verdict->validity : Validity::kMalformed;
}

// A router of the tests, with a key of its own.
struct Router {
  explicit Router(std::uint32_t asn, std::uint8_t flags = 0, std::uint8_t pcount = 1) : segment{pcount, flags, asn} {}
  PathSegment segment;
  crypto::P256PrivateKey key = crypto::P256PrivateKey::Generate();

  Path Send(const Path& received, std::uint32_t target, const Nlri& nlri) const {
    return *Sign(received,
                 {segment, SkiOf(key.public_key()), [this](const Hash& digest) { return key.SignDigest(digest); }},
                 target, nlri);
  }
};

RouterKeys KeysOf(std::vector<const Router*> routers) {
  return [routers = std::move(routers)](std::uint32_t asn, const Ski& ski) {
    std::vector<crypto::P256PublicKey> found;
    for (const Router* router : routers) {
      if (router->segment.asn == asn && SkiOf(router->key.public_key()) == ski)
        found.push_back(router->key.public_key());
    }
    return found;
  };
}

const Nlri kNlri{1, 1, std::string("\x18\xcb\x00\x71", 4)};

TEST(Validate, TheExamplesAreValid) {
  for (const Example& example : Examples()) {
    ASSERT_OK_AND_ASSIGN(const Path path, Decode(example.attribute));
    ASSERT_OK_AND_ASSIGN(const Verdict verdict, Validate(path, example.nlri, kReceiver, ExampleKeys));
    EXPECT_EQ(verdict.validity, Validity::kValid) << verdict.reason;
    EXPECT_EQ(verdict.verified, 2U);
  }
}

TEST(Validate, SigningReproducesTheExamplesBitForBit) {
  const std::string nonce = Unhex(Rfc8608().at("static_k"));
  for (const Example& example : Examples()) {
    Path path;
    const auto& hops = example.json->at("hops");
    for (std::size_t i = hops.size(); i-- > 0;) {  // the origin first
      const auto& key = Rfc8608().at("keys")[i == 1 ? 0 : 1];
      ASSERT_EQ(key.at("asn"), hops[i].at("signer"));
      const std::string scalar = Unhex(key.at("private_key"));
      ASSERT_OK_AND_ASSIGN(const auto ours, crypto::P256PrivateKey::FromScalar(scalar));
      const Signer signer{{1, 0, key.at("asn")}, SkiOf(ours.public_key()), [&](const Hash& digest) {
                            EXPECT_EQ(HexEncode(View(digest)), HexEncode(Unhex(hops[i].at("digest"))));
                            return SignWithNonce(scalar, nonce, digest);
                          }};
      ASSERT_OK_AND_ASSIGN(path, Sign(path, signer, hops[i].at("target"), example.nlri));
    }
    ASSERT_OK_AND_ASSIGN(const std::string attribute, Encode(path));
    EXPECT_EQ(HexEncode(attribute), HexEncode(example.attribute));
  }
}

TEST(Validate, NoByteOfAnExampleCanBeChanged) {
  for (const Example& example : Examples()) {
    for (std::size_t at = 0; at < example.attribute.size(); ++at) {
      std::string changed = example.attribute;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      const auto path = Decode(changed);
      if (path.ok()) EXPECT_NE(Of(*path, example.nlri), Validity::kValid) << "byte " << at;
    }
    ASSERT_OK_AND_ASSIGN(const Path path, Decode(example.attribute));
    Nlri other = example.nlri;
    other.prefix[1] = static_cast<char>(other.prefix[1] ^ 1);
    EXPECT_EQ(Of(path, other), Validity::kNotValid);
    EXPECT_EQ(Of(path, example.nlri, {.asn = 65'538, .peer_asn = 65'536}), Validity::kNotValid)
        << "sent to somebody else";
    EXPECT_EQ(Of(path, example.nlri, {.asn = 65'537, .peer_asn = 65'535}), Validity::kMalformed)
        << "came from somebody else";
  }
}

TEST(Validate, APathThatRoutersMadeNamesTheFirstSegmentThatFails) {
  const Router origin(64'500), transit(64'501), provider(64'502);
  const Path path = provider.Send(transit.Send(origin.Send({}, 64'501, kNlri), 64'502, kNlri), 64'503, kNlri);
  const Receiver receiver{.asn = 64'503, .peer_asn = 64'502};
  EXPECT_EQ(Of(path, kNlri, receiver, KeysOf({&origin, &transit, &provider})), Validity::kValid);

  ASSERT_OK_AND_ASSIGN(Verdict verdict, Validate(path, kNlri, receiver, KeysOf({&origin, &provider})));
  EXPECT_EQ(verdict.validity, Validity::kNotValid);
  EXPECT_EQ(verdict.segment, 1U);
  EXPECT_EQ(verdict.verified, 1U);
  EXPECT_THAT(verdict.reason, HasSubstr("no key"));

  // Somebody else's key under the SKI that is looked for.
  const RouterKeys liar = [&](std::uint32_t asn, const Ski&) {
    return std::vector{(asn == 64'500 ? transit : asn == 64'501 ? transit : provider).key.public_key()};
  };
  ASSERT_OK_AND_ASSIGN(verdict, Validate(path, kNlri, receiver, liar));
  EXPECT_EQ(verdict.segment, 2U);
  EXPECT_THAT(verdict.reason, HasSubstr("AS64500 does not verify"));
}

TEST(Validate, OfKeysWithOneSkiEachIsTried) {
  const Router origin(64'500), other(64'500);
  const Path path = origin.Send({}, 64'501, kNlri);
  const RouterKeys both = [&](std::uint32_t, const Ski&) {
    return std::vector{other.key.public_key(), origin.key.public_key()};
  };
  EXPECT_EQ(Of(path, kNlri, {.asn = 64'501, .peer_asn = 64'500}, both), Validity::kValid);
}

TEST(Validate, TransparentPeersAreThoseThatWereConfigured) {
  const Router origin(64'500), server(64'501, 0, 0);
  const Path path = server.Send(origin.Send({}, 64'501, kNlri), 64'502, kNlri);
  const RouterKeys keys = KeysOf({&origin, &server});
  EXPECT_EQ(Of(path, kNlri, {.asn = 64'502, .peer_asn = 64'501}, keys), Validity::kMalformed);
  EXPECT_EQ(Of(path, kNlri, {.asn = 64'502, .peer_asn = 64'501, .peer_transparent = true}, keys), Validity::kValid);
}

TEST(Validate, ConfederationSegmentsStayInTheirConfederation) {
  const Router member(65'001, kConfedSegment), outside(64'500);
  const RouterKeys keys = KeysOf({&member, &outside});
  const Path inside = member.Send(outside.Send({}, 65'001, kNlri), 65'002, kNlri);
  EXPECT_EQ(Of(inside, kNlri, {.asn = 65'002, .peer_asn = 65'001, .peer_in_confederation = true}, keys),
            Validity::kValid);
  EXPECT_EQ(Of(inside, kNlri, {.asn = 65'002, .peer_asn = 65'001}, keys), Validity::kMalformed);
  const Path without = outside.Send({}, 65'002, kNlri);
  EXPECT_EQ(Of(without, kNlri, {.asn = 65'002, .peer_asn = 64'500, .peer_in_confederation = true}, keys),
            Validity::kMalformed);
}

TEST(Validate, AnUnknownSuiteIsUnsignedAndBesideOursIsLeftAlone) {
  const Router origin(64'500), transit(64'501);
  Path path = origin.Send({}, 64'501, kNlri);
  SignatureBlock foreign = path.blocks[0];
  foreign.suite = 0xfb;
  path.blocks.push_back(foreign);
  const Receiver receiver{.asn = 64'501, .peer_asn = 64'500};
  EXPECT_EQ(Of(path, kNlri, receiver, KeysOf({&origin})), Validity::kValid);
  EXPECT_EQ(transit.Send(path, 64'502, kNlri).blocks.size(), 1U);
  path.blocks.erase(path.blocks.begin());
  EXPECT_EQ(Of(path, kNlri, receiver, KeysOf({&origin})), Validity::kUnsupported);
  EXPECT_THAT(Sign(path, {transit.segment, {}, nullptr}, 64'502, kNlri).status(),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("suite 1")));
}

TEST(Validate, APrefixThatCannotBeSignedIsNeitherSignedNorValidated) {
  const Router origin(64'500);
  const Nlri broken{1, 1, "\x21"};
  EXPECT_THAT(Sign({}, {origin.segment, {}, nullptr}, 64'501, broken).status(), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(Validate(origin.Send({}, 64'501, kNlri), broken, {}, ExampleKeys).status(),
              StatusIs(StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace virp::bgpsec
