#!/bin/sh
# Makes the certificate that the fake shows on the loopback. Of no worth anywhere else: its key is public.
cd "$(dirname "$0")" || exit 1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj '/CN=127.0.0.1' \
  -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' -addext 'basicConstraints=critical,CA:TRUE' \
  -keyout key.pem -out certificate.pem
