#!/bin/sh
# Makes an authority, a server's and a client's certificate in the directory $1.
set -e
cd "$1"
new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
{
  $new -keyout ca.key -out ca.pem -subj /CN=authority -addext basicConstraints=critical,CA:TRUE
  $new -keyout server.key -out server.pem -subj /CN=server.test -CA ca.pem -CAkey ca.key \
    -addext subjectAltName=DNS:server.test,DNS:localhost -addext basicConstraints=CA:FALSE
  $new -keyout client.key -out client.pem -subj /CN=client -CA ca.pem -CAkey ca.key -addext basicConstraints=CA:FALSE
} 2>log || { cat log >&2; exit 1; }
