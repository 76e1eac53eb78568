#include "lib/store/storage_url.h"

#include <gtest/gtest.h>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "tests/testutil/temp_dir.h"

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

TEST(StorageUrlTest, AFileHoldsIt) {
  const testutil::TempDir folder;
  const auto write = [&](std::string_view contents, unsigned mode) {
    const std::string path = folder.path() + "/uri";
    EXPECT_TRUE(ReplaceFile(path, contents, mode).ok());
    return "file:" + path;
  };
  const std::string good = write(" postgresql://onode:s3cret@db/virp \r\nanother line\n", 0400);
  const auto parsed = ParseStorageUrl(good, UrlOrigin::kCommandLine);  // its password is in no command line
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->location, "postgresql://onode:s3cret@db/virp");
  EXPECT_EQ(ReadStorageUrl(good).value_or(""), "postgresql://onode:s3cret@db/virp");
  EXPECT_EQ(ReadStorageUrl("postgresql://db/virp").value_or(""), "postgresql://db/virp");

  const auto code = [](const std::string& text) { return ParseStorageUrl(text, UrlOrigin::kPrivate).status().code(); };
  EXPECT_EQ(code(write("sqlite:/x.db", 0444)), absl::StatusCode::kFailedPrecondition) << "others may read it";
  EXPECT_EQ(code(write("sqlite:/x.db", 0400)), absl::StatusCode::kOk);
  for (const std::string& bad : {std::string("\n"), std::string("  \nsqlite:/x.db"), std::string("mysql://a"),
                                 "file:" + folder.path() + "/uri", std::string(5000, 'x')}) {
    EXPECT_EQ(code(write(bad, 0400)), absl::StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(ParseStorageUrl("file:" + folder.path() + "/none", UrlOrigin::kPrivate).ok());
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
