#!/usr/bin/env bash
# make cluster: PostgreSQL, Redis, MinIO, Consul and a development chain; a node
# of each role on them, two for transcoding and two for streaming; and a video for
# the holders of a token on that chain.
#   cluster.sh DATA [VIDEO]
# The gateway listens on 127.0.0.1:$PORT (8080), the chain on $PORT_CHAIN (8545),
# Consul on $PORT_CONSUL (8500), all else from 127.0.0.1:$PORT_NODES (7400) on;
# stays in the foreground until Ctrl-C.
set -euo pipefail
data=$1 video=${2:-} port=${PORT:-8080} chain_port=${PORT_CHAIN:-8545} consul_port=${PORT_CONSUL:-8500} next=${PORT_NODES:-7400}
cd "$(dirname "$0")/.."
mkdir -p "$data" && data=$(realpath "$data")
source packaging/common.sh

trap 'stop "The cluster has stopped, and all it ran on."' EXIT
trap 'exit 0' INT TERM

next_port() { port_is=$next next=$((next + 1)); }
secret() { (umask 077 && echo "$2" >"$data/$1.secret"); }

# PostgreSQL, on a socket of its own; it refuses to be root's.
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
mkdir -p "$data/pg"
as=() && [ "$(id -u)" != 0 ] || { as=(setpriv --reuid=postgres --regid=postgres --clear-groups) && chown postgres: "$data/pg"; }
chmod 700 "$data/pg"
[ -e "$data/pg/data" ] || (cd "$data/pg" && "${as[@]}" "$bin/initdb" --pgdata "$data/pg/data" --username streamgate --auth trust --encoding UTF8) >"$data/initdb.log" 2>&1
run postgres "${as[@]}" "$bin/postgres" -D "$data/pg/data" -k "$data/pg" -c listen_addresses= -c max_connections=150
ready postgres "$bin/pg_isready" -q -h "$data/pg"
secret records "host=$data/pg user=streamgate dbname=postgres"

next_port && redis_port=$port_is
run redis redis-server --bind 127.0.0.1 --port "$redis_port" --dir "$data" --maxmemory-policy noeviction
ready redis redis-cli -p "$redis_port" ping
secret cache "redis://127.0.0.1:$redis_port/0"

# A directory of a MinIO on one disk is a bucket.
next_port && minio_port=$port_is && next_port && minio_console=$port_is
minio_secret=$(head -c 18 /dev/urandom | base64 | tr +/ -_)
mkdir -p "$data/minio/streamgate"
MINIO_ROOT_USER=streamgate MINIO_ROOT_PASSWORD=$minio_secret MINIO_UPDATE=off MINIO_CALLHOME_ENABLE=off \
  run minio bin/minio server --quiet --address "127.0.0.1:$minio_port" --console-address "127.0.0.1:$minio_console" "$data/minio"
ready minio curl -fsS "http://127.0.0.1:$minio_port/minio/health/ready"
secret media "http://streamgate:$minio_secret@127.0.0.1:$minio_port/streamgate"

next_port && consul_server=$port_is && next_port && consul_serf=$port_is
cat >"$data/consul.json" <<JSON
{"node_name": "streamgate", "server": true, "bootstrap": true, "data_dir": "$data/consul", "bind_addr": "127.0.0.1",
 "client_addr": "127.0.0.1", "log_level": "warn", "disable_update_check": true, "ui_config": {"enabled": true},
 "ports": {"http": $consul_port, "server": $consul_server, "serf_lan": $consul_serf, "serf_wan": -1, "dns": -1, "https": -1, "grpc": -1, "grpc_tls": -1},
 "performance": {"raft_multiplier": 1}, "connect": {"enabled": false}, "peering": {"enabled": false}}
JSON
run consul bin/consul agent -config-file "$data/consul.json"
ready consul curl -fsS "http://127.0.0.1:$consul_port/v1/catalog/node/streamgate"
secret registry "consul://127.0.0.1:$consul_port"

run_chain
write_config "$data/streamgate.yaml"
cat >>"$data/streamgate.yaml" <<YAML
deployment:
  mode: cluster
YAML

export STREAMGATE_RECORDS_URL_FILE="$data/records.secret" STREAMGATE_CACHE_URL_FILE="$data/cache.secret" \
  STREAMGATE_MEDIA_URL_FILE="$data/media.secret" STREAMGATE_CLUSTER_REGISTRY_FILE="$data/registry.secret" \
  STREAMGATE_API_GATEWAY_PUBLIC_URL="http://127.0.0.1:$port"

# node NAME ROLE runs a node and waits until it is ready. The first makes the CA
# and the token by which the others join.
node() {
  local name=$1 role=$2 listen events monitor
  next_port && listen=127.0.0.1:$port_is && next_port && events=127.0.0.1:$port_is && next_port && monitor=127.0.0.1:$port_is
  local args=(--config "$data/streamgate.yaml" --data "$data/$name" --set "cluster.listen=$listen" --set "cluster.events=$events" --set "monitor.listen=$monitor")
  if [ ! -e "$data/join.secret" ]; then
    bin/streamgate ca init "${args[@]}" >/dev/null
    secret join "$(bin/streamgate ca token "${args[@]}")"
    export STREAMGATE_CLUSTER_JOIN_TOKEN_FILE="$data/join.secret"
  fi
  run "$name" bin/streamgate serve "${args[@]}" --role "$role" --set "api_gateway.port=$port" --set transcoder.grpc_port=0
  ready "$name" bin/streamgate healthcheck "${args[@]}"
  printf '  %-14s %s, operator http://%s\n' "$name" "$listen" "$monitor"
}
echo "Nodes (logs: $data/NAME.log):"
node metadata metadata
node monitor monitor
node transcoder-1 transcoder
node transcoder-2 transcoder
node upload upload
node streaming-1 streaming
node streaming-2 streaming
node api-gateway api-gateway

make_clip
bin/streamgate push "$video" --data "$data/api-gateway" --rule "$data/rule.json" --title "$title" --wait playable
cat <<TEXT

Open the watch page in a browser and choose the demo wallet that holds the token.

  gateway        http://127.0.0.1:$port
  Consul         http://127.0.0.1:$consul_port/ui (bin/consul catalog services)
  MinIO          http://127.0.0.1:$minio_console (streamgate, $minio_secret)
  command line   bin/streamgate workers list --data $data/api-gateway

The operator's console, where this link makes the first admin, once:
$(bin/streamgate setup-link --data "$data/api-gateway")

Ctrl-C stops everything.
TEXT
wait "${running[-1]}"
