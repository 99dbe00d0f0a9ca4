#!/bin/sh
# Builds an image of the Dockerfile with buildah where there is no registry, and runs a
# node in it:
#   packaging/docker/try.sh [TARGET]
# The images that it begins from are made of this machine's release of Debian and of the
# Go that is here, under the names that the Dockerfile has for them; modules come from
# Go's cache. It needs root, and removes what it has made.
set -eu

target=${1:-monolith}
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
b="buildah --root $dir/storage --runroot $dir/run"
export BUILDAH_ISOLATION=chroot
trap '$b rm --all >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT

debian=$(sed -n 's/^FROM \(debian:[^ ]*\).*/\1/p' packaging/docker/Dockerfile)
golang=$(sed -n 's/^FROM \(golang:[^ ]*\).*/\1/p' packaging/docker/Dockerfile)
. /etc/os-release
mmdebstrap --quiet --variant=minbase --include=ca-certificates "$VERSION_CODENAME" "$dir/root.tar"

image() { # NAME: commits the container $c under the name that Docker knows NAME by
	$b commit --quiet "$c" "docker.io/library/$1" >/dev/null
}
c=$($b from scratch)
$b add --quiet "$c" "$dir/root.tar" / >/dev/null
image "$debian"
$b add --quiet "$c" "$(go env GOROOT)" /usr/local/go >/dev/null
$b run "$c" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends make >/dev/null'
$b config --env PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin --env GOTOOLCHAIN=local \
	--env NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt "$c"
image "$golang"

$b build --quiet --format docker --pull-never --volume /etc/ssl/certs:/etc/ssl/certs:ro \
	--volume "$(go env GOMODCACHE)":/root/go/pkg/mod --volume "$(go env GOCACHE)":/root/.cache/go-build \
	--file packaging/docker/Dockerfile --target "$target" --build-arg VERSION=v0.0.0-try --tag "streamgate:$target" . >/dev/null

c=$($b from --pull-never "streamgate:$target")
$b run "$c" -- sh -ec 'id -u; streamgate version | grep v0.0.0-try; ffmpeg -version | head -1; ! touch /usr/bin/x 2>/dev/null'
[ "$target" = monolith ] || exit 0
$b run "$c" -- sh -c '
	export STREAMGATE_API_GATEWAY_PORT=0 STREAMGATE_API_GATEWAY_GRPC_PORT=0 STREAMGATE_TRANSCODER_GRPC_PORT=0 STREAMGATE_MONITOR_LISTEN=127.0.0.1:16060
	streamgate serve 2>/tmp/log &
	for i in $(seq 60); do streamgate healthcheck >/dev/null 2>&1 && break; sleep 0.5; done
	streamgate healthcheck || { cat /tmp/log; exit 1; }
	kill $! && wait $!'
echo "the image streamgate:$target is built; a node in it is healthy, and stops"
