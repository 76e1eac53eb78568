#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace {

TEST(CleansingTlsTest, EveryContextForgetsWhatItHandedOn) {
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  ASSERT_NE(context, nullptr);
  EXPECT_NE(SSL_CTX_get_options(context) & SSL_OP_CLEANSE_PLAINTEXT, 0U);
  SSL_CTX_free(context);
}

}  // namespace
