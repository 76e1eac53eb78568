#include "lib/store/storage_url.h"

#include <gtest/gtest.h>

#include "lib/base/status.h"

namespace virp::store {
namespace {

TEST(StorageUrlTest, BothBackEnds) {
  const auto file = ParseStorageUrl("sqlite:/var/lib/virp/onode.db", UrlOrigin::kCommandLine);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->backend, Backend::kSqlite);
  EXPECT_EQ(file->location, "/var/lib/virp/onode.db");
  EXPECT_EQ(Redacted(*file), "sqlite:/var/lib/virp/onode.db");
  for (const char* url :
       {"postgresql:///virp?host=/run/postgresql", "postgres://onode@db:5432/virp?sslmode=verify-full",
        "postgresql://onode@db/virp?passfile=/etc/virp/pgpass", "postgresql://onode:@db/virp"}) {
    const auto parsed = ParseStorageUrl(url, UrlOrigin::kCommandLine);
    ASSERT_TRUE(parsed.ok()) << url;
    EXPECT_EQ(parsed->backend, Backend::kPostgres);
    EXPECT_EQ(Redacted(*parsed), url);
  }
}

TEST(StorageUrlTest, AnythingElseIsRefused) {
  using namespace std::string_literals;
  for (const std::string& url : {"sqlite:"s, "sqlite://host/path"s, "/var/lib/x.db"s, "mysql://a/b"s, ""s,
                                 "host=db password=x"s, "sqlite:a\0b"s}) {
    EXPECT_EQ(ParseStorageUrl(url, UrlOrigin::kPrivate).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

TEST(StorageUrlTest, APasswordOnTheCommandLineIsRefusedAndNeverShown) {
  for (const char* url : {"postgresql://onode:s3cret@db/virp", "postgresql://db/virp?password=s3cret",
                          "postgresql://db/virp?a=b&password=s3cret", "postgresql://db/virp?sslpassword=s3cret&x=y",
                          "postgresql://db/virp?p%61ssword=s3cret",
                          "postgresql://onode:s3cret@db/virp?password=s3cret&sslpassword=s3cret",
                          "postgresql://onode:s3cret@h1,h2/virp"}) {
    const auto refused = ParseStorageUrl(url, UrlOrigin::kCommandLine);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_EQ(Message(refused.status()).find("s3cret"), std::string_view::npos) << url;
    const auto accepted = ParseStorageUrl(url, UrlOrigin::kPrivate);
    ASSERT_TRUE(accepted.ok()) << url;
    EXPECT_EQ(accepted->location, url);
    EXPECT_EQ(Redacted(*accepted).find("s3cret"), std::string::npos) << Redacted(*accepted);
  }
  EXPECT_EQ(Redacted(*ParseStorageUrl("postgresql://u:p@db/v?password=p&x=y", UrlOrigin::kPrivate)),
            "postgresql://u:***@db/v?password=***&x=y");
}

}  // namespace
}  // namespace virp::store
