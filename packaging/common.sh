# What demo.sh and cluster.sh share; read by them. They set $data, $chain_port and
# $video.
running=()

# run NAME COMMAND… runs a program in the background, its log in $data/NAME.log; not
# in the terminal's process group, whose Ctrl-C would end all of them at once.
run() {
  local name=$1
  shift
  setsid "$@" >"$data/$name.log" 2>&1 &
  running+=($!)
}

# ready NAME COMMAND… waits for the command to succeed; fails with the end of the
# log once the newest process is gone.
ready() {
  local log="$data/$1.log"
  shift
  until "$@" >/dev/null 2>&1; do
    kill -0 "${running[-1]}" 2>/dev/null || { tail -n 3 "$log" >&2; exit 1; }
    sleep 0.1
  done
}

# stop TEXT ends what runs, the newest first: it asks the others.
stop() {
  local status=$?
  trap - EXIT
  trap '' INT TERM
  for ((i = ${#running[@]} - 1; i >= 0; i--)); do
    kill "${running[i]}" 2>/dev/null || true
    wait "${running[i]}" 2>/dev/null || true
  done
  echo
  echo "$1 The data is in $data; remove it with: rm -r $data"
  exit $status
}

# run_chain runs the development chain, which says what it is in one line of JSON
# once it is ready.
run_chain() {
  setsid bin/devchain serve --listen "127.0.0.1:$chain_port" --block-time 1s --demo --json >"$data/chain.json" 2>"$data/chain.log" &
  running+=($!)
  ready chain test -s "$data/chain.json"
}

address() { sed -E "s/.*\"$1\":\"(0x[0-9a-fA-F]{40})\".*/\1/" "$data/chain.json"; }

# write_config FILE writes the configuration of nodes that know the chain, and the
# rule of its token's holders beside it.
write_config() {
  cat >"$1" <<YAML
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
}

# make_clip makes a sample if no $video is named, and its $title.
make_clip() {
  title=$(basename "${video%.*}")
  [ -z "$video" ] || return 0
  video="$data/sample.mp4" title="Light and life"
  echo "Making a sample clip with ffmpeg …"
  # Light that turns, Conway's cells that live in it, a chord that breathes: 40 s.
  ffmpeg -nostdin -hide_banner -v error -y \
    -f lavfi -i "gradients=s=640x360:r=25:c0=0x10204f:c1=0x2f6f8f:c2=0xe5746f:c3=0xf6c667:c4=0x3a2f6b:nb_colors=5:speed=0.015:x0=0:y0=0:x1=640:y1=360:seed=3" \
    -f lavfi -i "life=s=128x72:r=5:mold=60:ratio=0.1:seed=11:death_color=#404040:life_color=#ffffff:mold_color=#202020" \
    -f lavfi -i "aevalsrc='0.10*sin(2*PI*130.8*t)*(0.6+0.4*sin(2*PI*0.10*t))+0.08*sin(2*PI*196*t)*(0.6+0.4*sin(2*PI*0.13*t))+0.06*sin(2*PI*329.6*t)*(0.6+0.4*sin(2*PI*0.17*t))':s=48000:c=stereo" \
    -filter_complex "[1]scale=640:360:flags=bicubic,gblur=sigma=5,fps=25,format=gbrp[cells];[0]format=gbrp[light];[light][cells]blend=all_mode=overlay:all_opacity=0.6,scale=1280:720:flags=bicubic,format=yuv420p,vignette=PI/6[v]" \
    -map "[v]" -map 2:a -t 40 -c:v libx264 -preset veryfast -crf 20 -g 50 -c:a aac -b:a 128k -movflags +faststart "$video"
}
