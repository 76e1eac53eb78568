#include "lib/http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testutil/status_matchers.h"

namespace virp::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testutil::IsOkAndHolds;
using Progress = RequestReader::Progress;

constexpr Limits kLimits{.head = 200, .fields = 5, .body = 10};

// The code that `bytes` are refused with; 0 when they are taken, -1 when more is wanted. Whole, and byte by byte.
int CodeOf(std::string_view bytes, Limits limits = kLimits) {
  RequestReader whole(limits), dripping(limits);
  const Progress at_once = whole.Take(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) dripping.Take(bytes.substr(i, 1));
  EXPECT_EQ(dripping.Take(""), at_once) << bytes;
  EXPECT_EQ(dripping.refusal().code, whole.refusal().code) << bytes;
  if (at_once == Progress::kMore) return -1;
  EXPECT_EQ(at_once == Progress::kRefused, whole.refusal().code != 0);
  return whole.refusal().code;
}

TEST(RequestReaderTest, TakesARequestInAnyPieces) {
  const std::string text =
      "POST /a/b HTTP/1.1\r\nHost: x:1\r\nContent-Type:\ta/b; c=d \r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    RequestReader reader(kLimits);
    reader.Take(text.substr(0, cut));
    ASSERT_EQ(reader.Take(text.substr(cut)), Progress::kComplete) << cut;
    EXPECT_EQ(reader.request().method, "POST");
    EXPECT_EQ(reader.request().target, "/a/b");
    EXPECT_EQ(reader.request().body, "hello");
    EXPECT_THAT(reader.request().fields,
                ElementsAre(Field{"host", "x:1"}, Field{"content-type", "a/b; c=d"}, Field{"content-length", "5"}));
  }
  EXPECT_EQ(CodeOf("GET / HTTP/1.0\r\n\r\n"), 0) << "1.0 knows no Host";
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\nHost: x\r\n\r\nand more behind it"), 0);
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\nHost: x\r\n"), -1);
  EXPECT_EQ(CodeOf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab"), -1);
}

TEST(RequestReaderTest, WhatCouldBeReadInTwoWaysIsRefused) {
  const auto with = [](std::string_view fields) {
    return CodeOf("POST / HTTP/1.1\r\nHost: x\r\n" + std::string(fields) + "\r\n\r\n12345");
  };
  EXPECT_EQ(with("Content-Length: 5"), 0);
  EXPECT_EQ(with("Content-Length: 5\r\nContent-Length: 5"), 400);
  EXPECT_EQ(with("Content-Length: 5, 5"), 400);
  EXPECT_EQ(with("Content-Length: +5"), 400);
  EXPECT_EQ(with("Content-Length: -5"), 400);
  EXPECT_EQ(with("Content-Length: 0x5"), 400);
  EXPECT_EQ(with("Content-Length:"), 400);
  EXPECT_EQ(with("Content-Length: 99999999999999999999999"), 400);
  EXPECT_EQ(with("Content-Length: 5\r\nTransfer-Encoding: chunked"), 400);
  EXPECT_EQ(with("Transfer-Encoding: chunked"), 411);
  EXPECT_EQ(with("X: y"), 411);
  EXPECT_EQ(with("Content-Length : 5"), 400);
  EXPECT_EQ(with("Content-Length: 5\r\n folded: no"), 400);
  EXPECT_EQ(with("Content-Length: 5\r\nX: a\nY: b"), 400);
  EXPECT_EQ(with(std::string_view("Content-Length: 5\r\nX: a\0b", 25)), 400);
  EXPECT_EQ(with("Content-Length: 5\r\nHost: y"), 400);
  EXPECT_EQ(with("Content-Length: 5\r\nno colon"), 400);
  EXPECT_EQ(with("Content-Length: 5\r\nb\xc3\xa4: x"), 400);
  EXPECT_EQ(with("Content-Length: 5\r\nExpect: miracles"), 417);
}

TEST(RequestReaderTest, FirstLinesThatAreNone) {
  const auto line = [](std::string_view text) { return CodeOf(std::string(text) + "\r\nHost: x\r\n\r\n"); };
  EXPECT_EQ(line("GET / HTTP/1.1"), 0);
  EXPECT_EQ(line("GET / HTTP/2.0"), 505);
  EXPECT_EQ(line("PRI * HTTP/2.0"), 505);
  for (const std::string_view wrong :
       {"GET /", "GET  HTTP/1.1", "GET / http/1.1", " GET / HTTP/1.1", "G(T / HTTP/1.1", "GET http://x/ HTTP/1.1",
        "GET * HTTP/1.1", "GET / x HTTP/1.1", "GET /\t HTTP/1.1", "\x16\x03\x01", ""})
    EXPECT_EQ(line(wrong), 400) << wrong;
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
}

TEST(RequestReaderTest, LimitsHoldBeforeAnythingGrows) {
  const auto head_of = [](std::size_t size) {
    std::string head = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
    return head + std::string(size - head.size(), 'a') + "\r\n\r\n";
  };
  EXPECT_EQ(CodeOf(head_of(200)), 0);
  EXPECT_EQ(CodeOf(head_of(201)), 431);
  EXPECT_EQ(CodeOf(std::string(100'000, 'a')), 431);
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\nHost: x\r\na:\r\na:\r\na:\r\na:\r\n\r\n"), 0);
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\nHost: x\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n"), 431);
  EXPECT_EQ(CodeOf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"), 413);
  EXPECT_EQ(CodeOf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1234567890"), 0);
}

TEST(RequestReaderTest, WhoWaitsToSendIsToldOnce) {
  RequestReader reader(kLimits);
  EXPECT_EQ(reader.Take("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"),
            Progress::kMore);
  EXPECT_TRUE(reader.TakeContinue());
  EXPECT_FALSE(reader.TakeContinue());
  EXPECT_EQ(reader.Take("ab"), Progress::kComplete);
}

TEST(ResponseReaderTest, TakesResponsesInAnyPieces) {
  const std::string text =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    ResponseReader reader(kLimits);
    ASSERT_OK(reader.Take(text.substr(0, cut)).status());
    ASSERT_THAT(reader.Take(text.substr(cut)), IsOkAndHolds(true)) << cut;
    EXPECT_EQ(reader.response().code, 202);
    EXPECT_EQ(Find(reader.response().fields, "retry-after"), "7");
    EXPECT_EQ(reader.response().body, "hello");
    EXPECT_OK(reader.End());
  }
}

TEST(ResponseReaderTest, InterimAnswersDoNotGoOnForEver) {
  const auto take = [](int interim) {
    std::string text;
    for (int i = 0; i < interim; ++i) text += "HTTP/1.1 100 Continue\r\n\r\n";
    ResponseReader reader(kLimits);
    return reader.Take(text + "HTTP/1.1 204 No Content\r\n\r\n");
  };
  EXPECT_THAT(take(8), IsOkAndHolds(true));
  EXPECT_THAT(std::string(Message(take(9).status())), HasSubstr("more than 8 interim"));
}

TEST(ResponseReaderTest, WithoutALengthTheConnectionsEndCounts) {
  ResponseReader reader(kLimits);
  ASSERT_THAT(reader.Take("HTTP/1.0 200 OK\r\n\r\nhel"), IsOkAndHolds(false));
  ASSERT_THAT(reader.Take("lo"), IsOkAndHolds(false));
  EXPECT_OK(reader.End());
  EXPECT_EQ(reader.response().body, "hello");
}

TEST(ResponseReaderTest, RefusesWhatIsNone) {
  const auto error = [](std::string_view text) {
    ResponseReader reader(kLimits);
    const auto took = reader.Take(text);
    return std::string(Message(took.ok() ? reader.End() : took.status()));
  };
  EXPECT_EQ(error("HTTP/1.1 204 No\r\n\r\n"), "");
  EXPECT_THAT(error("SSH-2.0-x\r\n\r\n"), HasSubstr("no HTTP"));
  EXPECT_THAT(error("HTTP/1.1 abc x\r\n\r\n"), HasSubstr("no HTTP"));
  for (const std::string_view line :
       {"HTTP/1.", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.1-200", "HTTP/1.1 099"})
    EXPECT_THAT(error(std::string(line) + "\r\n\r\n"), HasSubstr("no HTTP")) << line;
  EXPECT_THAT(error("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HasSubstr("transfer coding"));
  EXPECT_THAT(error("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), HasSubstr("no number"));
  EXPECT_THAT(error("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"), HasSubstr("more than 10"));
  EXPECT_THAT(error("HTTP/1.1 200 OK\r\n\r\n12345678901"), HasSubstr("more than 10"));
  EXPECT_THAT(error("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234"), HasSubstr("ended within"));
  EXPECT_THAT(error("HTTP/1.1 200"), HasSubstr("ended within"));
  EXPECT_THAT(error(std::string(1'000, 'x')), HasSubstr("more than 200"));
}

TEST(MessageTest, WhatIsWrittenIsRead) {
  RequestReader request(kLimits);
  EXPECT_EQ(request.Take(Encode(Request{"POST", "/x", {{"content-type", "a/b"}}, "body"}, "host:1")),
            Progress::kComplete);
  EXPECT_EQ(Find(request.request().fields, "host"), "host:1");
  EXPECT_EQ(request.request().body, "body");
  ResponseReader response(kLimits);
  EXPECT_THAT(response.Take(EncodeHead(Response{403, {{"a", "b"}}, ""}, 2) + "no"), IsOkAndHolds(true));
  EXPECT_EQ(response.response().code, 403);
  EXPECT_EQ(EncodeHead(Response{304, {{"a", "b"}}, ""}, 0), "HTTP/1.1 304 Not Modified\r\na: b\r\n\r\n");
}

TEST(MessageTest, MediaTypes) {
  EXPECT_EQ(MediaType(" Application/PKCS7-mime ; smime-type=certs-only"), "application/pkcs7-mime");
  EXPECT_EQ(MediaParameter("a/b; x=1; SMIME-Type=certs-only", "smime-type"), "certs-only");
  EXPECT_EQ(MediaParameter("a/b; x; y=2", "x"), std::nullopt);
  EXPECT_EQ(MediaParameter("a/b", "x"), std::nullopt);
  EXPECT_EQ(MediaType(""), "");
}

}  // namespace
}  // namespace virp::http
