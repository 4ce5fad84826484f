/* perigee.hash: md5, sha1, sha256 (bytes[, "raw"]), hmac(algorithm, key, bytes[, "raw"]),
 * pbkdf2(algorithm, password, salt, iterations[, "raw"]): hexadecimal text unless raw. OpenSSL's
 * EVP. */
#include "vm/bind/bindings.h"

#include <lauxlib.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { ITERATIONS_MAX = 100000 }; /* some tens of milliseconds, in which nothing else runs */

static int push_digest(lua_State *L, const unsigned char *digest, unsigned length, int form) {
  static const char *const forms[] = {"hex", "raw", NULL};
  static const char digits[] = "0123456789abcdef";
  char text[2 * EVP_MAX_MD_SIZE];
  if (luaL_checkoption(L, form, "hex", forms) == 1) {
    lua_pushlstring(L, (const char *)digest, length);
    return 1;
  }
  for (unsigned i = 0; i < length; i++) {
    text[2 * i] = digits[digest[i] >> 4];
    text[2 * i + 1] = digits[digest[i] & 15];
  }
  lua_pushlstring(L, text, 2 * (size_t)length);
  return 1;
}

static int digest_call(lua_State *L) {
  size_t length;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_length;
  const char *bytes = luaL_checklstring(L, 1, &length);
  const EVP_MD *algorithm = lua_touserdata(L, lua_upvalueindex(1));
  if (!EVP_Digest(bytes, length, digest, &digest_length, algorithm, NULL))
    return luaL_error(L, "%s is not available", EVP_MD_get0_name(algorithm));
  return push_digest(L, digest, digest_length, 2);
}

static const EVP_MD *check_algorithm(lua_State *L, int index) {
  static const char *const names[] = {"md5", "sha1", "sha256", NULL};
  const EVP_MD *const algorithms[] = {EVP_md5(), EVP_sha1(), EVP_sha256()};
  return algorithms[luaL_checkoption(L, index, NULL, names)];
}

static int hmac_call(lua_State *L) {
  const EVP_MD *algorithm = check_algorithm(L, 1);
  size_t key_length, length;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned digest_length;
  const char *key = luaL_checklstring(L, 2, &key_length);
  const char *bytes = luaL_checklstring(L, 3, &length);
  if (key_length > 1 << 20 || !HMAC(algorithm, key, (int)key_length, (const unsigned char *)bytes,
                                    length, digest, &digest_length))
    return luaL_error(L, "hmac: cannot be computed");
  return push_digest(L, digest, digest_length, 4);
}

/* As long as the algorithm's digest. */
static int pbkdf2_call(lua_State *L) {
  const EVP_MD *algorithm = check_algorithm(L, 1);
  size_t password_length, salt_length;
  unsigned char key[EVP_MAX_MD_SIZE];
  int length = EVP_MD_get_size(algorithm);
  const char *password = luaL_checklstring(L, 2, &password_length);
  const char *salt = luaL_checklstring(L, 3, &salt_length);
  lua_Integer iterations = luaL_checkinteger(L, 4);
  luaL_argcheck(L, iterations >= 1 && iterations <= ITERATIONS_MAX, 4, "from 1 to 100000");
  if (password_length > 1 << 20 || salt_length > 1 << 20 ||
      !PKCS5_PBKDF2_HMAC(password, (int)password_length, (const unsigned char *)salt,
                         (int)salt_length, (int)iterations, algorithm, length, key))
    return luaL_error(L, "pbkdf2: cannot be computed");
  return push_digest(L, key, (unsigned)length, 5);
}

static void add_algorithm(lua_State *L, const char *name, const EVP_MD *algorithm) {
  lua_pushlightuserdata(L, (void *)algorithm);
  lua_pushcclosure(L, digest_call, 1);
  lua_setfield(L, -2, name);
}

int open_hash(lua_State *L) {
  lua_newtable(L);
  add_algorithm(L, "md5", EVP_md5());
  add_algorithm(L, "sha1", EVP_sha1());
  add_algorithm(L, "sha256", EVP_sha256());
  lua_pushcfunction(L, hmac_call);
  lua_setfield(L, -2, "hmac");
  lua_pushcfunction(L, pbkdf2_call);
  lua_setfield(L, -2, "pbkdf2");
  return 1;
}
