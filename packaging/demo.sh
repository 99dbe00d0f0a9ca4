#!/usr/bin/env bash
# make demo: a fresh node, a video, and the addresses to watch it at.
#   demo.sh DATA [VIDEO]
# Listens on 127.0.0.1:$PORT (8080); stays in the foreground until Ctrl-C.
set -euo pipefail
data=$1 video=${2:-} port=${PORT:-8080}
title=$(basename "${video%.*}")
cd "$(dirname "$0")/.."
log="$data/node.log"
mkdir -p "$data"

bin/streamgate-monolith serve --data "$data" --listen "127.0.0.1:$port" >"$log" 2>&1 &
node=$!
stop() {
  trap - EXIT INT TERM
  kill "$node" 2>/dev/null || true
  wait "$node" 2>/dev/null || true
  echo
  echo "The node has stopped. Its data is in $data; remove it with: rm -r $data"
}
trap stop EXIT
trap 'exit 0' INT TERM

until bin/streamgate healthcheck --data "$data" >/dev/null 2>&1; do
  kill -0 "$node" 2>/dev/null || { tail -n 3 "$log" >&2; trap - EXIT; exit 1; }
  sleep 0.1
done
echo "A node is running on http://127.0.0.1:$port (log: $log)"

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

bin/streamgate push "$video" --data "$data" --public --title "$title" --wait playable
echo
echo "Open the watch page in a browser. Ctrl-C stops the node."
wait "$node"
