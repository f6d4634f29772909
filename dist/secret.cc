// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/secret.h"

#include <dlfcn.h>
#include <sys/random.h>

namespace rutile::dist {

namespace {

// The same in all versions since 1.1.
struct Crypto {
  const void* (*sha256)() = nullptr;  // EVP_sha256
  unsigned char* (*hmac)(const void*, const void*, int, const unsigned char*, size_t,
                         unsigned char*, unsigned*) = nullptr;  // HMAC
  std::string problem;
};

const Crypto& crypto() {
  static const Crypto& loaded = *new Crypto([] {
    Crypto c;
    for (const char* name : {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"}) {
      void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (!library) {
        if (c.problem.empty()) c.problem = dlerror();
        continue;
      }
      c.sha256 = reinterpret_cast<decltype(c.sha256)>(dlsym(library, "EVP_sha256"));
      c.hmac = reinterpret_cast<decltype(c.hmac)>(dlsym(library, "HMAC"));
      if (c.sha256 && c.hmac) break;
      c.problem = cat(name, " has no HMAC");
    }
    return c;
  }());
  return loaded;
}

}  // namespace

Status open_libcrypto() {
  const Crypto& c = crypto();
  if (c.sha256 && c.hmac) return Status();
  return Status(ErrorCode::kUnsupported,
                cat("a secret needs OpenSSL's libcrypto (apt-get install libssl3): ", c.problem));
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  const Crypto& c = crypto();
  unsigned char digest[64];
  unsigned size = 0;
  const bool done =
      c.sha256 && c.hmac &&
      c.hmac(c.sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest, &size);
  if (!done) throw_error(ErrorCode::kRuntime, "libcrypto gives no HMAC");
  return std::string(reinterpret_cast<const char*>(digest), size);
}

bool same_bytes(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char differ = 0;
  for (size_t i = 0; i < a.size(); ++i) differ |= static_cast<unsigned char>(a[i] ^ b[i]);
  return differ == 0;
}

std::string random_bytes(size_t n) {
  std::string bytes(n, '\0');
  if (getrandom(bytes.data(), n, 0) != static_cast<ssize_t>(n)) {
    throw_error(ErrorCode::kRuntime, "the system gives no random numbers");
  }
  return bytes;
}

}  // namespace rutile::dist
