#!/usr/bin/env bash
# make demo: a development chain, a fresh node, and a video for the holders of
# a token on that chain.
#   demo.sh DATA [VIDEO]
# Listens on 127.0.0.1:$PORT (8080), the chain on $PORT_CHAIN (8545); stays in
# the foreground until Ctrl-C.
set -euo pipefail
data=$1 video=${2:-} port=${PORT:-8080} chain_port=${PORT_CHAIN:-8545}
cd "$(dirname "$0")/.."
mkdir -p "$data"
source packaging/common.sh

trap 'stop "The node and its chain have stopped."' EXIT
trap 'exit 0' INT TERM

run_chain
write_config "$data/streamgate.yaml"
run node bin/streamgate-monolith serve --config "$data/streamgate.yaml" --data "$data" --listen "127.0.0.1:$port"
ready node bin/streamgate healthcheck --data "$data"
echo "A node is running on http://127.0.0.1:$port (log: $data/node.log)"
echo "A development chain is running on http://127.0.0.1:$chain_port (log: $data/chain.log)"

make_clip
bin/streamgate push "$video" --data "$data" --rule "$data/rule.json" --title "$title" --wait playable
echo
echo "Open the watch page in a browser and choose the demo wallet that holds the token; while it"
echo "plays, hand the token over, and see playback stop for one and begin for the other."
echo
echo "The operator's console, where this link makes the first admin, once:"
bin/streamgate setup-link --data "$data"
echo
echo "Ctrl-C stops everything."
wait "${running[-1]}"
