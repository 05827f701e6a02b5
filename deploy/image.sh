#!/usr/bin/env bash
# Makes the image of deploy/Dockerfile without pulling a base image: the
# binaries are built by the Go toolchain of this machine.
#   deploy/image.sh [NAME]            default tallystick:local
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:-tallystick:local}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/{bin,tmp,etc/ssl/certs,var/lib/tally}
export CGO_ENABLED=0
go build -trimpath -ldflags='-s -w' -o "$root/bin/tally" ./cmd/tally
go build -trimpath -ldflags='-s -w' -o "$root/bin/probe" ./deploy/probe
certs=/etc/ssl/certs/ca-certificates.crt
if [ -e $certs ]; then cp $certs "$root/etc/ssl/certs/"; fi

# Only the state folder is the worker's own.
chmod 1777 "$root/tmp"
tar -C "$root" --owner=0 --group=0 --exclude=./var/lib/tally --exclude=./layer.tar \
  -cf "$root/layer.tar" .
tar -C "$root" --owner=65532 --group=65532 -rf "$root/layer.tar" ./var/lib/tally
docker import \
  -c 'ENV PATH=/bin' -c 'USER 65532:65532' -c 'WORKDIR /var/lib/tally' -c 'EXPOSE 8080' \
  -c 'ENTRYPOINT ["/bin/tally"]' -c 'CMD ["--help"]' "$root/layer.tar" "$name" >/dev/null
docker image inspect -f "$name: {{.Size}} bytes" "$name"
