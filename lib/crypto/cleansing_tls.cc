// TLS that forgets: OpenSSL decrypts a record where it was read, and the plain text stays there until another record of
// that connection is as long. A secret that came over a connection that then says nothing would lie there for as long.
// With this option it is overwritten once it was handed on. gRPC offers no way to ask for it, so a program that is
// linked with this has it in every context that is made, by whatever library.
#include <dlfcn.h>
#include <openssl/ssl.h>

extern "C" SSL_CTX* SSL_CTX_new(const SSL_METHOD* method) {
  using Make = SSL_CTX* (*)(const SSL_METHOD*);
  static const Make make = reinterpret_cast<Make>(::dlsym(RTLD_NEXT, "SSL_CTX_new"));
  SSL_CTX* const context = make == nullptr ? nullptr : make(method);
  if (context != nullptr) SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
  return context;
}
