#!/usr/bin/env bash
# make demo: a development chain, a fresh node, and a video for the holders of
# a token on that chain.
#   demo.sh DATA [VIDEO]
# Listens on 127.0.0.1:$PORT (8080), the chain on $PORT_CHAIN (8545); stays in
# the foreground until Ctrl-C.
set -euo pipefail
data=$1 video=${2:-} port=${PORT:-8080} chain_port=${PORT_CHAIN:-8545}
title=$(basename "${video%.*}")
cd "$(dirname "$0")/.."
log="$data/node.log" chain_log="$data/chain.log"
mkdir -p "$data"

running=()
stop() {
  trap - EXIT INT TERM
  # The node first: it asks the chain.
  for ((i = ${#running[@]} - 1; i >= 0; i--)); do
    kill "${running[i]}" 2>/dev/null || true
    wait "${running[i]}" 2>/dev/null || true
  done
  echo
  echo "The node and its chain have stopped. The data is in $data; remove it with: rm -r $data"
}
trap stop EXIT
trap 'exit 0' INT TERM

# until_ready PROCESS LOG COMMAND…: waits for the command to succeed; fails
# with the end of the log once the process is gone.
until_ready() {
  local process=$1 log=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$process" 2>/dev/null || { tail -n 3 "$log" >&2; trap - EXIT; kill "${running[@]}" 2>/dev/null || true; exit 1; }
    sleep 0.1
  done
}

# The chain says what it is in one line of JSON once it is ready.
bin/devchain serve --listen "127.0.0.1:$chain_port" --block-time 1s --demo --json >"$data/chain.json" 2>"$chain_log" &
running+=($!)
until_ready $! "$chain_log" test -s "$data/chain.json"
address() { sed -E "s/.*\"$1\":\"(0x[0-9a-fA-F]{40})\".*/\1/" "$data/chain.json"; }

cat >"$data/streamgate.yaml" <<YAML
chains:
  - id: 1337
    name: Devchain
    urls: ["http://127.0.0.1:$chain_port"]
    confirmations: 0
    poll_interval: 1s
    delegate_registry: "$(address delegate_registry)"
    multicall: "$(address multicall)"
access:
  demo_chain: "http://127.0.0.1:$chain_port"
YAML
echo "{\"erc721\": {\"chain\": 1337, \"contract\": \"$(address erc721)\"}}" >"$data/rule.json"

bin/streamgate-monolith serve --config "$data/streamgate.yaml" --data "$data" --listen "127.0.0.1:$port" >"$log" 2>&1 &
running+=($!)
until_ready $! "$log" bin/streamgate healthcheck --data "$data"
echo "A node is running on http://127.0.0.1:$port (log: $log)"
echo "A development chain is running on http://127.0.0.1:$chain_port (log: $chain_log)"

if [ -z "$video" ]; then
  video="$data/sample.mp4" title="Light and life"
  echo "Making a sample clip with ffmpeg …"
  # Light that turns, Conway's cells that live in it, a chord that breathes: 40 s.
  ffmpeg -nostdin -hide_banner -v error -y \
    -f lavfi -i "gradients=s=640x360:r=25:c0=0x10204f:c1=0x2f6f8f:c2=0xe5746f:c3=0xf6c667:c4=0x3a2f6b:nb_colors=5:speed=0.015:x0=0:y0=0:x1=640:y1=360:seed=3" \
    -f lavfi -i "life=s=128x72:r=5:mold=60:ratio=0.1:seed=11:death_color=#404040:life_color=#ffffff:mold_color=#202020" \
    -f lavfi -i "aevalsrc='0.10*sin(2*PI*130.8*t)*(0.6+0.4*sin(2*PI*0.10*t))+0.08*sin(2*PI*196*t)*(0.6+0.4*sin(2*PI*0.13*t))+0.06*sin(2*PI*329.6*t)*(0.6+0.4*sin(2*PI*0.17*t))':s=48000:c=stereo" \
    -filter_complex "[1]scale=640:360:flags=bicubic,gblur=sigma=5,fps=25,format=gbrp[cells];[0]format=gbrp[light];[light][cells]blend=all_mode=overlay:all_opacity=0.6,scale=1280:720:flags=bicubic,format=yuv420p,vignette=PI/6[v]" \
    -map "[v]" -map 2:a -t 40 -c:v libx264 -preset veryfast -crf 20 -g 50 -c:a aac -b:a 128k -movflags +faststart "$video"
fi

bin/streamgate push "$video" --data "$data" --rule "$data/rule.json" --title "$title" --wait playable
echo
echo "Open the watch page in a browser and choose the demo wallet that holds the token; while it"
echo "plays, hand the token over, and see playback stop for one and begin for the other."
echo
echo "The operator's console, where this link makes the first admin, once:"
bin/streamgate setup-link --data "$data"
echo
echo "Ctrl-C stops everything."
wait "${running[1]}"
