#include "services/rtr-bridge/transport/http_answer.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "services/rtr-bridge/domain/bridge_fixture.h"

namespace virp::rtr_bridge {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::ReadingOf;
using testing::SetOf;

class HttpAnswerTest : public ::testing::Test {
 protected:
  HttpAnswerTest() {
    SourceState source;
    source.name = "source";
    CacheOptions options;
    options.guards.max_drop = 1;
    cache_ = std::make_unique<Cache>(
        options, SourceTable({source}, {}), false, [this] { return ++session_; }, witness_, recorder_, state_, clock_,
        [this](const std::shared_ptr<const rtr::Snapshot>& snapshot, const Generation& generation) {
          board_.Publish(snapshot, generation);
        });
    Sign([](std::string_view document) -> absl::StatusOr<std::string> { return std::string(document.substr(0, 3)); });
  }
  void Sign(SignDocument sign) {
    exports_ = std::make_unique<Exports>("bridge-1", board_, *cache_, std::move(sign), clock_);
    answerer_ = std::make_unique<HttpAnswerer>(*exports_, board_, clock_);
  }
  void Serve(const std::vector<testing::Roa>& roas) { cache_->TakeGood(0, ReadingOf(SetOf(roas))); }
  service::HttpAnswer Ask(std::string target, http::Fields fields = {}, std::string method = "GET") const {
    return answerer_->Answer({std::move(method), std::move(target), std::move(fields), ""});
  }
  static std::string Body(const service::HttpAnswer& answer) {
    return answer.body != nullptr ? *answer.body : answer.response.body;
  }
  int Code(const std::string& target, const std::string& method = "GET") const {
    return Ask(target, {}, method).response.code;
  }

  FakeClock clock_;
  Witness witness_{"bridge-1"};
  testing::FakeRecorder recorder_;
  testing::FakeState state_;
  std::uint16_t session_ = 100;
  Board board_;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<Exports> exports_;
  std::unique_ptr<HttpAnswerer> answerer_;
};

TEST_F(HttpAnswerTest, NothingIsThereBeforeAnythingIsLoaded) {
  for (const char* target : {"/rpki.json", "/rpki.json.sig", "/json-delta", "/validity?asn=1&prefix=10.0.0.0/8",
                             "/api/v1/validity/1/10.0.0.0/8"}) {
    const auto answer = Ask(target);
    EXPECT_EQ(answer.response.code, 503) << target;
    EXPECT_EQ(http::Find(answer.response.fields, "retry-after"), "10");
  }
}

TEST_F(HttpAnswerTest, OnlyWhatIsThereAndOnlyToBeRead) {
  Serve({{"10.0.0.0/8", 8, 1}});
  for (const char* target : {"/", "/rpki.jso", "/rpki.json/", "/metrics", "/api/v1/status", "/%2e%2e/etc/passwd"})
    EXPECT_EQ(Code(target), 404) << target;
  EXPECT_EQ(Code("/%zz"), 400);
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "get", "TRACE"})
    EXPECT_EQ(Code("/rpki.json", method), 405) << method;
  EXPECT_EQ(http::Find(Ask("/rpki.json", {}, "POST").response.fields, "allow"), "GET, HEAD");
  EXPECT_EQ(Code("/rpki.json", "HEAD"), 200);
}

TEST_F(HttpAnswerTest, TheExportIsSharedAndConditional) {
  Serve({{"10.0.0.0/8", 8, 1}});
  const auto first = Ask("/rpki.json?whatever=1");
  EXPECT_EQ(http::Find(first.response.fields, "content-type"), "application/json");
  EXPECT_EQ(json::parse(Body(first))["roas"].size(), 1U);
  EXPECT_EQ(Ask("/rpki.json").body, first.body);  // not another one for each who asks
  const std::string tag(*http::Find(first.response.fields, "etag"));
  const std::string modified(*http::Find(first.response.fields, "last-modified"));
  for (const http::Fields& same :
       {http::Fields{{"if-none-match", tag}}, http::Fields{{"if-modified-since", modified}}}) {
    const auto answer = Ask("/rpki.json", same);
    EXPECT_EQ(answer.response.code, 304);
    EXPECT_EQ(Body(answer), "");
    EXPECT_EQ(http::Find(answer.response.fields, "etag"), tag);
  }
  Serve({{"10.0.0.0/8", 8, 2}});
  EXPECT_EQ(Ask("/rpki.json", {{"if-none-match", tag}}).response.code, 200);
  EXPECT_EQ(Ask("/rpki.json", {{"if-modified-since", modified}}).response.code, 200);
}

TEST_F(HttpAnswerTest, TheSignature) {
  Serve({{"10.0.0.0/8", 8, 1}});
  const auto answer = Ask("/rpki.json.sig");
  EXPECT_EQ(answer.response.code, 200);
  EXPECT_EQ(http::Find(answer.response.fields, "content-type"), "application/octet-stream");
  EXPECT_EQ(Body(answer), Body(Ask("/rpki.json")).substr(0, 3));
  Sign(nullptr);
  EXPECT_EQ(Code("/rpki.json.sig"), 404);
  Sign([](std::string_view) -> absl::StatusOr<std::string> { return FailedPrecondition("no version signs now"); });
  EXPECT_EQ(Code("/rpki.json.sig"), 503);
}

TEST_F(HttpAnswerTest, ValidityInBothForms) {
  Serve({{"10.0.0.0/8", 16, 64496}, {"2001:db8::/32", 48, 64496}});
  const auto state = [&](const std::string& target) {
    const auto answer = Ask(target);
    EXPECT_EQ(answer.response.code, 200) << target << Body(answer);
    return json::parse(Body(answer))["validated_route"]["validity"]["state"].get<std::string>();
  };
  EXPECT_EQ(state("/api/v1/validity/AS64496/10.1.0.0/16"), "valid");
  EXPECT_EQ(state("/api/v1/validity/64496/10.1.0.0/16"), "valid");
  EXPECT_EQ(state("/api/v1/validity/as64496/10.1.0.0%2F16"), "valid");
  EXPECT_EQ(state("/api/v1/validity/AS64497/10.1.0.0/16"), "invalid");
  EXPECT_EQ(state("/api/v1/validity/AS64497/192.0.2.0/24"), "not-found");
  EXPECT_EQ(state("/validity?asn=AS64496&prefix=2001:db8:1::/48"), "valid");
  EXPECT_EQ(state("/validity?prefix=2001%3Adb8%3A1%3A%3A%2F64&asn=64496"), "invalid");
  const json whole = json::parse(Body(Ask("/validity?asn=AS64496&prefix=10.1.0.0/17")));
  EXPECT_EQ(whole["validated_route"]["route"], json({{"origin_asn", "AS64496"}, {"prefix", "10.1.0.0/17"}}));
  EXPECT_EQ(whole["validated_route"]["validity"]["reason"], "length");
  EXPECT_EQ(whole["validated_route"]["validity"]["VRPs"]["unmatched_length"][0],
            json({{"asn", "AS64496"}, {"prefix", "10.0.0.0/8"}, {"max_length", "16"}}));
  EXPECT_TRUE(whole.contains("generatedTime"));
}

TEST_F(HttpAnswerTest, ValidityOfWhatIsNoRoute) {
  Serve({{"10.0.0.0/8", 16, 64496}});
  for (const char* target :
       {"/api/v1/validity/", "/api/v1/validity/AS1", "/api/v1/validity/AS1/", "/api/v1/validity//10.0.0.0/8",
        "/api/v1/validity/AS/10.0.0.0/8", "/api/v1/validity/AS4294967296/10.0.0.0/8",
        "/api/v1/validity/AS-1/10.0.0.0/8", "/api/v1/validity/AS1/10.0.0.0", "/api/v1/validity/AS1/10.0.0.0/33",
        "/api/v1/validity/AS1/10.0.0.0/8/x", "/api/v1/validity/ASAS1/10.0.0.0/8", "/validity", "/validity?asn=1",
        "/validity?prefix=10.0.0.0/8", "/validity?asn=1&asn=2&prefix=10.0.0.0/8", "/validity?asn=1&prefix=x"})
    EXPECT_EQ(Code(target), 400) << target;
  EXPECT_EQ(Body(Ask("/validity?asn=%C3%A4&prefix=x")).find('\0'), std::string::npos);
}

TEST_F(HttpAnswerTest, DeltasByRoutinatorsParameters) {
  Serve({{"10.0.0.0/8", 8, 1}});
  const json reset = json::parse(Body(Ask("/json-delta")));
  EXPECT_EQ(reset["reset"], true);
  ASSERT_EQ(reset["announced"].size(), 1U);
  const std::string from = "/json-delta?session=" + reset["session"].get<std::string>() +
                           "&serial=" + std::to_string(reset["serial"].get<std::uint32_t>());
  const json nothing = json::parse(Body(Ask(from)));
  EXPECT_EQ(nothing["reset"], false);
  EXPECT_TRUE(nothing["announced"].empty() && nothing["withdrawn"].empty());
  Serve({{"11.0.0.0/8", 8, 1}});
  const json delta = json::parse(Body(Ask(from)));
  EXPECT_EQ(delta["fromSerial"], reset["serial"]);
  EXPECT_EQ(delta["announced"][0]["prefix"], "11.0.0.0/8");
  EXPECT_EQ(delta["withdrawn"][0]["prefix"], "10.0.0.0/8");
  EXPECT_EQ(json::parse(Body(Ask("/json-delta?session=1&serial=1")))["reset"], true);
  for (const char* target : {"/json-delta?session=1", "/json-delta?serial=1", "/json-delta?session=1&serial=x",
                             "/json-delta?session=1&serial=4294967296", "/json-delta?session=1&serial=1&serial=1"})
    EXPECT_EQ(Code(target), 400) << target;
}

TEST_F(HttpAnswerTest, ErrorsAreOneShortLine) {
  const http::Response error = HttpError(400, "a\r\nSet-Cookie: x" + std::string(10'000, 'y'));
  EXPECT_EQ(error.body.find('\n'), error.body.size() - 1);
  EXPECT_LT(error.body.size(), 1000U);
}

}  // namespace
}  // namespace virp::rtr_bridge
