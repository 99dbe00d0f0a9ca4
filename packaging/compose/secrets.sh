#!/usr/bin/env bash
# Makes the secrets of cluster.yaml, once. The containers' users read them: the
# folder is the owner's alone, the files are not.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -m 700 secrets
random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
db=$(random) minio=$(random)
echo "$db" >secrets/postgres_password
echo "$minio" >secrets/minio_password
echo "postgres://streamgate:$db@postgres/streamgate?sslmode=disable" >secrets/records
echo "redis://redis:6379/0" >secrets/cache
echo "http://streamgate:$minio@minio:9000/streamgate" >secrets/media
chmod 644 secrets/*
echo "The secrets are in $PWD/secrets."
