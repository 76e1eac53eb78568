#include "lib/vrp/json.h"

#include <utility>

#include "lib/base/file.h"
#include "lib/vrp/set.h"
#include "lib/vrp/test_payloads.h"
#include "tests/testutil/status_matchers.h"

namespace virp::vrp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::virp::testutil::IsOk;
using ::virp::testutil::StatusIs;

constexpr auto kWrong = absl::StatusCode::kInvalidArgument;

// What comes so many octets at a time.
class Pieces final : public TextInput {
 public:
  Pieces(std::string_view text, std::size_t size) : left_(text), size_(size) {}
  absl::StatusOr<std::size_t> Read(std::span<char> into) override {
    const std::string_view piece = left_.substr(0, std::min(size_, into.size()));
    piece.copy(into.data(), piece.size());
    left_.remove_prefix(piece.size());
    return piece.size();
  }

 private:
  std::string_view left_;
  const std::size_t size_;
};

void ExpectSame(const Document& one, const Document& other) {
  EXPECT_EQ(HashOf(one.payloads), HashOf(other.payloads));
  EXPECT_EQ(NextExpiry(one.payloads), NextExpiry(other.payloads));
  EXPECT_EQ(one.generated, other.generated);
  EXPECT_EQ(one.valid, other.valid);
  EXPECT_EQ(one.records, other.records);
  EXPECT_EQ(one.expired, other.expired);
  EXPECT_EQ(one.duplicates, other.duplicates);
  EXPECT_EQ(one.bad, other.bad);
  EXPECT_EQ(one.problems, other.problems);
}

// Of the text as a whole. In pieces it says the same, down to the place of what is wrong.
absl::StatusOr<Document> Decode(std::string_view text, const JsonOptions& options = {}) {
  auto whole = DecodeJson(text, options);
  if (text.size() > options.max_bytes) return whole;
  for (const auto& [window, piece] : {std::pair<std::size_t, std::size_t>{32, 32}, {100, 7}, {4096, 4096}}) {
    Pieces pieces(text, piece);
    const auto in_pieces = DecodeJson(pieces, text.size(), options, window);
    EXPECT_EQ(in_pieces.ok(), whole.ok()) << text.substr(0, 1000);
    if (whole.ok() && in_pieces.ok()) ExpectSame(*in_pieces, *whole);
    // Of a text that is no UTF-8 nothing is read; of its pieces those in front of that are.
    const bool not_utf8 = whole.status().message().find("not UTF-8") != std::string_view::npos;
    if (!whole.ok() && !not_utf8) {
      EXPECT_EQ(in_pieces.status(), whole.status()) << text.substr(0, 1000);
    } else if (not_utf8) {
      EXPECT_THAT(in_pieces.status().message(), HasSubstr("not UTF-8"));
    }
  }
  return whole;
}

std::string Read(const std::string& name) {
  return *ReadFile(std::string(VIRP_SOURCE_DIR) + "/tests/data/vrps/" + name);
}

const Vrp4 kTen{0x0a000000, 64500, kNeverExpires, 8, 24};
const Vrp6 kDoc{0x20010db800000000, 0, 64500, kNeverExpires, 32, 48};

std::string KeyJson(std::string_view asn, std::string_view ski_name, std::string_view key_name, const RouterKey& key) {
  const std::string ski(reinterpret_cast<const char*>(key.ski.data()), key.ski.size());
  return fmt::format(R"({{"asn":{},"{}":"{}","{}":"{}","ta":"x"}})", asn, ski_name, HexEncode(ski), key_name,
                     Base64Encode(key.spki));
}

TEST(Json, RpkiClient) {
  const RouterKey key = TestKey(64500, 1);
  const auto document = Decode(fmt::format(R"({{
	"metadata": {{ "buildmachine": "m", "buildtime": "2026-07-01T12:00:00Z", "elapsedtime": 123, "talfiles": [ "a.tal" ], "roas": 2 }},
	"roas": [
		{{ "asn": 64500, "prefix": "10.0.0.0/8", "maxLength": 24, "ta": "x", "expires": 1900000000 }},
		{{ "asn": 64500, "prefix": "2001:db8::/32", "maxLength": 48, "ta": "x", "expires": 1900000001 }}
	],
	"bgpsec_keys": [ {} ],
	"nonfunc_cas": [ {{ "a": [ {{}} ] }} ],
	"aspas": [ {{ "customer_asid": 64501, "expires": 1900000002, "providers": [ 3, 1, 2 ] }} ]
}})",
                                           KeyJson("64500", "ski", "pubkey", key)));
  ASSERT_OK(document);
  Vrp4 ten = kTen;
  ten.expires = 1'900'000'000;
  Vrp6 doc = kDoc;
  doc.expires = 1'900'000'001;
  EXPECT_THAT(document->payloads.vrps4, ElementsAre(ten));
  EXPECT_THAT(document->payloads.vrps6, ElementsAre(doc));
  EXPECT_THAT(document->payloads.router_keys, ElementsAre(key));
  EXPECT_THAT(document->payloads.aspas, ElementsAre(Aspa{64501, 1'900'000'002, {1, 2, 3}}));
  EXPECT_THAT(document->generated, Optional(1'782'907'200));
  EXPECT_EQ(document->records, 4U);
}

TEST(Json, RpkiClientOfBefore2023) {
  const auto document = Decode(R"({"roas":[],"provider_authorizations":{
    "ipv4":[{"customer_asid":1,"expires":50,"providers":[2,3]}],"ipv6":[{"customer_asid":1,"expires":40,"providers":[4]},{"customer_asid":5,"providers":[0]}],"x":1}})");
  ASSERT_OK(document);
  EXPECT_THAT(document->payloads.aspas, ElementsAre(Aspa{1, 50, {2, 3, 4}}, Aspa{5, kNeverExpires, {0}}));
  EXPECT_EQ(document->duplicates, 1U);
}

TEST(Json, Routinator) {
  const RouterKey key = TestKey(64500, 2);
  const auto document = Decode(fmt::format(R"({{
    "metadata": {{"generated": 1700000000, "generatedTime": "2023-11-14T22:13:20Z"}},
    "roas": [{{"asn": "AS64500", "prefix": "10.0.0.0/8", "maxLength": 24, "ta": "x"}}, {{ "asn": "AS64500", "prefix": "2001:db8::/32", "maxLength": 48, "ta": "x" }}],
    "routerKeys": [{}], "aspas": [{{"customer": "AS64501", "providers": ["AS2", "AS1"], "ta": "x"}}]}})",
                                           KeyJson("\"AS64500\"", "SKI", "routerPublicKey", key)));
  ASSERT_OK(document);
  EXPECT_THAT(document->payloads.vrps4, ElementsAre(kTen));
  EXPECT_THAT(document->payloads.vrps6, ElementsAre(kDoc));
  EXPECT_THAT(document->payloads.router_keys, ElementsAre(key));
  EXPECT_THAT(document->payloads.aspas, ElementsAre(Aspa{64501, 0, {1, 2}}));
  EXPECT_THAT(document->generated, Optional(1'700'000'000));
}

TEST(Json, OctoRpkiAndStayRtr) {
  const auto document = Decode(
      R"({"metadata":{"counts":1,"generated":1600000000,"valid":1600003600,"buildtime":"2026-07-01T12:00:00Z"},
    "roas":[{"prefix":"10.0.0.0\/8","maxLength":24,"asn":"AS64500","ta":"x"}],"bgpsec_keys":null})");
  ASSERT_OK(document);
  EXPECT_THAT(document->payloads.vrps4, ElementsAre(kTen));
  EXPECT_THAT(document->generated, Optional(1'600'000'000));
  EXPECT_THAT(document->valid, Optional(1'600'003'600));
}

TEST(Json, MadeByHand) {
  const auto document =
      Decode(R"({"roas":[{"prefix":"fd00:1::1/64","asn":4200000001,"maxLength":128,"who":{"rack":[1,2]}},
    {"asn":"64500","prefix":"10.9.9.9/8"},{"asn":64500,"prefix":"10.0.0.0/8","maxLength":8}]})");
  ASSERT_OK(document);
  EXPECT_THAT(document->payloads.vrps6, ElementsAre(Vrp6{0xfd00000100000000, 0, 4'200'000'001, 0, 64, 128}));
  EXPECT_THAT(document->payloads.vrps4, ElementsAre(Vrp4{0x0a000000, 64500, 0, 8, 8}));
  EXPECT_EQ(document->duplicates, 1U);
  EXPECT_EQ(document->generated, std::nullopt);
}

TEST(Json, ExpiredRecordsAreLeftOut) {
  const std::string text =
      R"({"roas":[{"asn":1,"prefix":"10.0.0.0/8","expires":100},{"asn":2,"prefix":"10.0.0.0/8","expires":101},
    {"asn":3,"prefix":"10.0.0.0/8","expires":0},{"asn":4,"prefix":"10.0.0.0/8"},{"asn":5,"prefix":"10.0.0.0/8","expires":99999999999}],
    "aspas":[{"customer_asid":1,"providers":[2],"expires":99}]})";
  const auto at_100 = Decode(text, {.now = 100});
  ASSERT_OK(at_100);
  EXPECT_EQ(at_100->expired, 3U);
  EXPECT_EQ(at_100->records, 6U);
  EXPECT_THAT(at_100->payloads.vrps4,
              ElementsAre(Vrp4{0x0a000000, 5, UINT32_MAX, 8, 8}, Vrp4{0x0a000000, 4, kNeverExpires, 8, 8},
                          Vrp4{0x0a000000, 2, 101, 8, 8}));
  const auto any_time = Decode(text);
  ASSERT_OK(any_time);
  EXPECT_EQ(any_time->payloads.size(), 6U);
  EXPECT_EQ(NextExpiry(any_time->payloads), 1U);
}

TEST(Json, RefusesWithPlaceAndReason) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"roas":[{"asn":1,"prefix":"10.0.0.0/8","maxLength":33}]})",
       "roas[0]: at byte 55: maxLength 33 is beyond 32"},
      {R"({"roas":[{"asn":1,"prefix":"10.0.0.0/8"},{"asn":1,"prefix":"10.0.0.0/8","maxLength":7}]})",
       "roas[1]: at byte 86: maxLength 7 is below the prefix length 8"},
      {R"({"roas":[{"asn":4294967296,"prefix":"10.0.0.0/8"}]})", "an AS number is 4294967296, beyond 4294967295"},
      {R"({"roas":[{"asn":-1,"prefix":"10.0.0.0/8"}]})", "an AS number is not a whole number"},
      {R"({"roas":[{"asn":1.5,"prefix":"10.0.0.0/8"}]})", "an AS number is not a whole number"},
      {R"({"roas":[{"asn":true,"prefix":"10.0.0.0/8"}]})", "an AS number is not a number"},
      {R"({"roas":[{"asn":"AS","prefix":"10.0.0.0/8"}]})", "\"AS\" is no AS number"},
      {R"({"roas":[{"asn":"AS4294967296","prefix":"10.0.0.0/8"}]})", "is no AS number"},
      {R"({"roas":[{"asn":1,"prefix":"10.0.0/8"}]})", "\"10.0.0/8\" is no prefix"},
      {R"({"roas":[{"asn":1,"prefix":"10.0.0.0/33"}]})", "is no prefix"},
      {R"({"roas":[{"asn":1,"prefix":"2001:db8::/129"}]})", "is no prefix"},
      {R"({"roas":[{"asn":1,"prefix":null}]})", "prefix is not text"},
      {R"({"roas":[{"asn":1,"prefix":"10.0.0.0/8","maxLength":"24"}]})", "maxLength is not a number"},
      {R"({"roas":[{"asn":1,"prefix":"10.0.0.0/8","maxLength":256}]})", "maxLength is 256"},
      {R"({"roas":[{"asn":1,"prefix":"10.0.0.0/8","expires":"never"}]})", "expires is not a number"},
      {R"({"roas":[{"asn":1,"asn":1,"prefix":"10.0.0.0/8"}]})", "a name is there twice"},
      {R"({"roas":[{"prefix":"10.0.0.0/8"}]})", "asn is missing"},
      {R"({"roas":[{"asn":1}]})", "prefix is missing"},
      {R"({"roas":[1]})", "a record is not an object"},
      {R"({"roas":{}})", "an array was expected"},
      {R"({"roas":[],"roas":[]})", "this section twice"},
      {R"({"aspas":[{"customer_asid":1,"providers":[]}]})", "the ASPA of AS 1 has no provider"},
      {R"({"aspas":[{"customer_asid":1,"providers":2}]})", "the providers are not an array"},
      {R"({"aspas":[{"customer_asid":1}]})", "providers is missing"},
      {R"({"aspas":[{"customer":1,"customer_asid":1,"providers":[2]}]})", "a name is there twice"},
      {R"({"bgpsec_keys":[{"asn":1,"ski":"00","pubkey":"AA=="}]})", "is no SKI of 20 bytes"},
      {R"({"provider_authorizations":{"ipv4":[],"ipv4":[]}})", "this section twice"},
      {R"({"metadata":{"generated":"today"},"roas":[]})", "a number was expected"},
      {R"({"metadata":{"generated":-5},"roas":[]})", "no whole number of seconds"},
      {R"({"metadata":{"buildtime":"today"},"roas":[]})", "metadata.buildtime is no time"},
      {R"({"metadata":{"generated":1,"generated":2},"roas":[]})", "this name twice"},
      {R"({"error":"not found"})", "none of roas, bgpsec_keys, routerKeys, aspas"},
      {"[]", "an object was expected"},
      {"<html>", "at byte 0: an object was expected"},
      {"", "the text ends where more was to come"},
      {R"({"roas":[]} x)", "text behind the document"},
      {"{\"roas\":[{\"asn\":1,\"prefix\":\"10.0.0.0/8\",\"ta\":\"\xff\"}]}", "not UTF-8"},
  };
  for (const auto& [text, reason] : cases) EXPECT_THAT(Decode(text), StatusIs(kWrong, HasSubstr(reason))) << text;
}

TEST(Json, RefusesKeysThatAreNone) {
  RouterKey other = TestKey(1, 0);
  other.ski = TestKey(1, 1).ski;
  EXPECT_THAT(Decode("{\"bgpsec_keys\":[" + KeyJson("1", "ski", "pubkey", other) + "]}"),
              StatusIs(kWrong, HasSubstr("its own is")));
  RouterKey cut = TestKey(1);
  cut.spki.resize(90);
  EXPECT_THAT(Decode("{\"bgpsec_keys\":[" + KeyJson("1", "ski", "pubkey", cut) + "]}"),
              StatusIs(kWrong, HasSubstr("91 octets")));
}

TEST(Json, RefusesEveryTruncation) {
  const std::string text = Read("small.json");
  ASSERT_OK(Decode(text));
  const std::size_t end = text.find_last_of('}');
  for (std::size_t size = 0; size <= end; ++size) EXPECT_THAT(Decode(text.substr(0, size)), StatusIs(kWrong)) << size;
}

TEST(Json, RefusesWhatIsTooLarge) {
  const std::string text = R"({"roas":[]})";
  EXPECT_OK(Decode(text, {.max_bytes = text.size()}));
  EXPECT_THAT(Decode(text, {.max_bytes = text.size() - 1}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("11 bytes, 10")));
}

TEST(Json, RefusesMoreRecordsThanItMayHave) {
  const std::string text = R"({"roas":[{"asn":1,"prefix":"10.0.0.0/8"},{"asn":2,"prefix":"10.0.0.0/8"}],
                              "aspas":[{"customer_asid":1,"providers":[2]}]})";
  EXPECT_OK(Decode(text, {.max_records = 3}));
  EXPECT_THAT(Decode(text, {.max_records = 2}), StatusIs(kWrong, HasSubstr("more than 2 records")));
}

TEST(Json, HostileNestingIsNoRecursion) {
  for (const char* open : {"{\"x\":", "{\"roas\":[{\"x\":", "{\"aspas\":[{\"providers\":"}) {
    EXPECT_THAT(Decode(open + std::string(5'000'000, '[')), StatusIs(kWrong, HasSubstr("nested deeper"))) << open;
  }
}

TEST(Json, CanLeaveOutBadRecords) {
  const auto document =
      Decode(R"({"roas":[{"asn":"AS","prefix":"10.0.0.0/8"},{"asn":1,"asn":{"x":[1]},"prefix":"10.0.0.0/8"},
    {"asn":64500,"prefix":"10.0.0.0/8","maxLength":24},{"asn":1,"prefix":"10.0.0.0/8","maxLength":99},7]})",
             {.skip_bad_records = true});
  ASSERT_OK(document);
  EXPECT_THAT(document->payloads.vrps4, ElementsAre(kTen));
  EXPECT_EQ(document->bad, 4U);
  EXPECT_EQ(document->records, 5U);
  ASSERT_EQ(document->problems.size(), 4U);
  EXPECT_EQ(document->problems[0], "roas[0]: \"AS\" is no AS number");
  EXPECT_EQ(document->problems[1], "roas[1]: a name is there twice");
  EXPECT_EQ(document->problems[3], "roas[4]: a record is not an object");
  // What is no JSON is refused all the same.
  EXPECT_THAT(Decode(R"({"roas":[{"asn":"AS","prefix":"10.0.0.0/8"},]})", {.skip_bad_records = true}),
              StatusIs(kWrong));
}

TEST(Json, TooManyProvidersAreAProblemOfTheirCustomer) {
  std::string text = R"({"aspas":[{"customer_asid":1,"providers":[1)";
  for (std::size_t i = 2; i <= kMaxProviders + 1; ++i) text += fmt::format(",{}", i);
  const auto document = Decode(text + R"(]},{"customer_asid":2,"providers":[1]}]})");
  ASSERT_OK(document);
  EXPECT_THAT(document->payloads.aspas, ElementsAre(Aspa{2, 0, {1}}));
  EXPECT_THAT(document->problems, ElementsAre(HasSubstr("AS 1 has 16381 providers")));
}

TEST(Json, TheSmallExportHasItsHash) {
  const auto document = Decode(Read("small.json"));
  ASSERT_OK(document);
  EXPECT_EQ(HexEncode(View(HashOf(document->payloads))) + "\n", Read("small.json.sha256"));
}

TEST(Json, TextOfMoreThanOneOctetMayBeCutAnywhere) {
  const std::string name = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  std::string text = R"({"x":")";
  for (int i = 0; i < 100; ++i) text += name;
  EXPECT_OK(Decode(text + R"(","roas":[]})"));
  for (const char* cut : {"\xc3", "\xe2\x82", "\xf0\x9f\x98"}) {
    EXPECT_THAT(Decode(text + cut + R"(","roas":[]})"), StatusIs(kWrong, HasSubstr("not UTF-8")));
    EXPECT_THAT(Decode(text + cut), StatusIs(kWrong));
  }
}

TEST(Json, AnInputThatFailsSaysWhy) {
  class Failing final : public TextInput {
   public:
    absl::StatusOr<std::size_t> Read(std::span<char> into) override {
      if (std::exchange(begun_, true)) return absl::UnavailableError("the disk is gone");
      const std::string_view text = R"({"roas":[{"asn":1,)";
      return text.copy(into.data(), into.size());
    }

   private:
    bool begun_ = false;
  } input;
  EXPECT_THAT(DecodeJson(input, 100), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the disk is gone")));
}

TEST(Json, ARealExport) {
  const std::string text = Read("dn42-2022-01.json");
  EXPECT_THAT(Decode(text), StatusIs(kWrong, HasSubstr("roas[123]: at byte 23574: prefix is not text")));
  const auto document = Decode(text, {.skip_bad_records = true});
  ASSERT_OK(document);
  EXPECT_EQ(document->records, 3'312U);
  EXPECT_EQ(document->bad, 3U);
  EXPECT_EQ(document->payloads.size() + document->duplicates, 3'309U);
  EXPECT_THAT(document->generated, Optional(1'643'432'200));
  EXPECT_THAT(document->valid, Optional(1'643'864'200));
}

}  // namespace
}  // namespace virp::vrp
