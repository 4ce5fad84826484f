#include "io/tls.h"

#include "base/buf.h"
#include "base/fault.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tls {
  SSL *ssl;
  BIO *in, *out; /* the session's */
  char name[256];
  char problem[300];
};

/* Of the oldest error that OpenSSL notes, which is the cause of the others. */
static const char *openssl_text(void) {
  const char *text = ERR_reason_error_string(ERR_peek_error());
  return text ? text : "out of memory";
}

/* ---- options ---- */

/* A key that has a password is refused, not asked about on a terminal. */
static int no_password(char *buffer, int size, int writing, void *unused) {
  (void)buffer, (void)size, (void)writing, (void)unused;
  return 0;
}

int tls_hold(const struct tls_options *o, struct tls_held *out, struct fault *f) {
  int rc = 0;
  for (int i = 0; i < TLS_FILES; i++)
    out->files[i].fd = -1;
  for (int i = 0; rc == 0 && i < TLS_FILES; i++)
    if (o->files[i] && (rc = beneath_target(o->files[i], o->roots[i], &out->files[i])) != 0)
      fault_set(f, rc, "%s: %s", o->files[i],
                rc == -EXDEV ? "a link leads out of the directory that is granted" : strerror(-rc));
  return rc;
}

void tls_release(struct tls_held *held) {
  for (int i = 0; i < TLS_FILES; i++)
    beneath_release(&held->files[i]);
}

const char *tls_path(const struct tls_options *o, const struct tls_held *held, enum tls_file file) {
  return held->files[file].fd >= 0 ? held->files[file].path : o->files[file];
}

static int refuse_file(struct fault *f, const char *what, const char *path) {
  return fault_set(f, -EINVAL, "%s: %s: %s", what, path, openssl_text());
}

static int use_held(SSL_CTX *ctx, const struct tls_options *o, const struct tls_held *held,
                    struct fault *f) {
  const char *ca = tls_path(o, held, TLS_CA), *cert = tls_path(o, held, TLS_CERT);
  if (ca ? !SSL_CTX_load_verify_file(ctx, ca) : !SSL_CTX_set_default_verify_dir(ctx))
    return refuse_file(f, "ca", ca ? o->files[TLS_CA] : X509_get_default_cert_dir());
  if (!cert)
    return 0;
  SSL_CTX_set_default_passwd_cb(ctx, no_password);
  if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
    return refuse_file(f, "cert", o->files[TLS_CERT]);
  if (SSL_CTX_use_PrivateKey_file(ctx, tls_path(o, held, TLS_KEY), SSL_FILETYPE_PEM) != 1)
    return refuse_file(f, "key", o->files[TLS_KEY]);
  return 0;
}

static int use_files(SSL_CTX *ctx, const struct tls_options *o, struct fault *f) {
  struct tls_held held;
  if (!o->files[TLS_CERT] != !o->files[TLS_KEY])
    return fault_set(f, -EINVAL, "a client certificate needs both cert and key");
  int rc = tls_hold(o, &held, f);
  if (rc == 0)
    rc = use_held(ctx, o, &held, f);
  tls_release(&held);
  return rc;
}

static bool is_address(const char *name) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* Who is expected, as the certificate has to say it. An address is no name to ask for (RFC 6066).
 */
static int expect_name(struct tls *t, const struct tls_options *o, const char *host,
                       struct fault *f) {
  const char *name = o->server_name ? o->server_name : host;
  if (!name)
    return o->insecure
               ? 0
               : fault_set(f, -EINVAL, "server_name: whose certificate is expected of this peer?");
  snprintf(t->name, sizeof t->name, "%s", name);
  bool address = is_address(name);
  int ok = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), name)
                   : SSL_set1_host(t->ssl, name);
  if (ok && !address)
    ok = SSL_set_tlsext_host_name(t->ssl, name) == 1;
  return ok ? 0 : fault_set(f, -EINVAL, "server_name: \"%.200s\" is no name", name);
}

static int open_session(struct tls *t, SSL_CTX *ctx, const struct tls_options *o, const char *host,
                        struct fault *f) {
  int rc = use_files(ctx, o, f);
  if (rc < 0)
    return rc;
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(ctx, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  t->ssl = SSL_new(ctx);
  t->in = BIO_new(BIO_s_mem());
  t->out = BIO_new(BIO_s_mem());
  if (!t->ssl || !t->in || !t->out) {
    BIO_free(t->in);
    BIO_free(t->out);
    return fault_set(f, -ENOMEM, "out of memory");
  }
  SSL_set_bio(t->ssl, t->in, t->out);
  SSL_set_connect_state(t->ssl);
  return expect_name(t, o, host, f);
}

int tls_new(const struct tls_options *options, const char *host, struct tls **out,
            struct fault *f) {
  struct tls *t = calloc(1, sizeof *t);
  ERR_clear_error();
  SSL_CTX *ctx = t ? SSL_CTX_new(TLS_client_method()) : NULL;
  int rc = ctx ? open_session(t, ctx, options, host, f) : fault_set(f, -ENOMEM, "out of memory");
  SSL_CTX_free(ctx); /* the session has its own reference */
  ERR_clear_error();
  *out = t;
  if (rc < 0) {
    tls_free(t);
    *out = NULL;
  }
  return rc;
}

void tls_free(struct tls *t) {
  if (t)
    SSL_free(t->ssl);
  free(t);
}

/* ---- the session ---- */

/* Why it failed, for who reads it in a log: the certificate's fault before the protocol's. */
static int failed(struct tls *t) {
  long verdict = SSL_get_verify_result(t->ssl);
  unsigned long error = ERR_peek_error();
  int reason = ERR_GET_REASON(error);
  if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
    snprintf(t->problem, sizeof t->problem, "its certificate is not for %s", t->name);
  else if (verdict != X509_V_OK && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
    snprintf(t->problem, sizeof t->problem, "its certificate is refused: %s",
             X509_verify_cert_error_string(verdict));
  else if (reason == SSL_R_WRONG_VERSION_NUMBER)
    snprintf(t->problem, sizeof t->problem, "it does not speak TLS");
  else
    snprintf(t->problem, sizeof t->problem, "TLS: %s", openssl_text());
  ERR_clear_error();
  return -EPROTO;
}

/* What a call of OpenSSL's that returned `n`, which is no success, comes to. */
static int settle(struct tls *t, int n) {
  switch (SSL_get_error(t->ssl, n)) {
  case SSL_ERROR_WANT_READ:
    return -EAGAIN;
  case SSL_ERROR_ZERO_RETURN:
    return 1;
  default:
    return failed(t);
  }
}

int tls_shake(struct tls *t) {
  ERR_clear_error();
  int n = SSL_do_handshake(t->ssl);
  if (n == 1)
    return 0;
  int rc = settle(t, n);
  return rc == 1 ? failed(t) : rc;
}

int tls_arrived(struct tls *t, const void *bytes, size_t length) {
  return BIO_write(t->in, bytes, (int)length) == (int)length ? 0 : -ENOMEM;
}

int tls_read(struct tls *t, struct buf *into) {
  enum { RECORD = 16 * 1024 };
  for (;;) {
    if (buf_reserve(into, RECORD) != 0)
      return -ENOMEM;
    ERR_clear_error();
    int n = SSL_read(t->ssl, into->data + into->length, RECORD);
    if (n <= 0)
      return settle(t, n);
    into->length += (size_t)n;
  }
}

int tls_write(struct tls *t, const void *bytes, size_t length) {
  if (length == 0)
    return 0;
  ERR_clear_error();
  int n = SSL_write(t->ssl, bytes, (int)length);
  return n == (int)length ? 0 : failed(t);
}

void tls_end(struct tls *t) {
  ERR_clear_error();
  if (tls_is_up(t))
    SSL_shutdown(t->ssl);
  ERR_clear_error();
}

bool tls_is_up(const struct tls *t) {
  return SSL_is_init_finished(t->ssl);
}

const char *tls_out(const struct tls *t, size_t *length) {
  char *bytes = NULL;
  long n = BIO_get_mem_data(t->out, &bytes);
  *length = n > 0 ? (size_t)n : 0;
  return bytes;
}

void tls_sent(struct tls *t) {
  (void)BIO_reset(t->out);
}

const char *tls_problem(const struct tls *t) {
  return t->problem;
}
