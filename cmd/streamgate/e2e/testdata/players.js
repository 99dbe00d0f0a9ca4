'use strict';

// Three players show some videos side by side, and change the rendition of each
// twice in mid-play: to the other one and back. The page's address has the videos
// and a film to be played without a player:
// ?given={"plain": URL, "videos": [{"name", "hls": URL, "dash": URL, "heights"}]}
/* global Hls, dashjs, shaka, numberOf */

const rate = 25; // pictures per second
const atOnce = 20; // ms: less than a picture is shown
const ahead = 4; // seconds that are loaded: if all were there, no change would be seen

// players load a video and return a function that asks for the rendition of a
// height, pixels, as viewers do who choose one.
const players = {
  async 'hls.js'(video, { hls: url }) {
    const hls = new Hls({ maxBufferLength: ahead });
    const parsed = new Promise((done) => hls.once(Hls.Events.MANIFEST_PARSED, done));
    hls.loadSource(url);
    hls.attachMedia(video);
    await parsed;
    hls.loadLevel = hls.firstLevel; // no other one by itself
    return (height) => { hls.nextLevel = hls.levels.findIndex((level) => level.height === height); };
  },

  async 'dash.js'(video, { dash: url }) {
    const player = dashjs.MediaPlayer().create();
    player.updateSettings({
      debug: { logLevel: 0 },
      streaming: {
        abr: { autoSwitchBitrate: { video: false } },
        buffer: { bufferTimeDefault: ahead, bufferTimeAtTopQuality: ahead, bufferTimeAtTopQualityLongForm: ahead },
      },
    });
    const ready = new Promise((done) => player.on(dashjs.MediaPlayer.events.STREAM_INITIALIZED, done));
    player.initialize(video, url, false);
    await ready;
    return (height) => {
      const { id } = player.getRepresentationsByType('video').find((one) => one.height === height);
      player.setRepresentationForTypeById('video', id);
    };
  },

  async Shaka(video, { dash: url }) {
    const player = new shaka.Player();
    player.configure({ abr: { enabled: false }, streaming: { bufferingGoal: ahead } });
    await player.attach(video);
    await player.load(url);
    return (height) => player.selectVariantTrack(player.getVariantTracks().find((track) => track.height === height));
  },
};

// watch notes what a video shows:
//
//   heights   of the renditions, pixels, as they come
//   since     when the last of them began, seconds
//   pictures  how many were looked at in time
//   wrong     numbers that are not those of their times
//   still     how long one stood at most, seconds
//   jump      how far they went ahead of the clock at once, seconds
//   ranges    how many buffered ranges there are in the end
function watch(video) {
  const seen = { heights: [], since: 0, pictures: 0, wrong: [], still: 0, jump: 0, ranges: 0 };
  let last = null;
  video.requestVideoFrameCallback(function look(_, picture) {
    video.requestVideoFrameCallback(look);
    const { height, mediaTime, presentationTime } = picture;
    if (height !== seen.heights.at(-1)) {
      seen.heights.push(height);
      seen.since = mediaTime;
    }
    if (mediaTime < 0.3) return; // it is only beginning
    const number = numberOf(video);
    const want = Math.round(mediaTime * rate);
    const late = performance.now() - presentationTime > atOnce; // the next one may be there already
    if (!late) seen.pictures++;
    if (!late && number !== want) seen.wrong.push(`${number} for ${want}`);
    if (last) {
      const took = (presentationTime - last.presentationTime) / 1000;
      seen.still = Math.max(seen.still, took);
      seen.jump = Math.max(seen.jump, mediaTime - last.mediaTime - took);
    }
    last = picture;
  });
  return seen;
}

async function until(condition) {
  while (!condition()) await new Promise((again) => setTimeout(again, 20));
}

// change plays a video and asks for the other rendition and for the first again,
// each a second after the one before was there, with nothing missing in the buffer:
// for a moment hls.js may have more than one range there, ahead.
async function change(video, seen, choose, heights) {
  const settled = (changes) => until(() => video.ended
    || (seen.heights.length > changes && video.currentTime > seen.since + 1 && video.buffered.length === 1));
  await video.play();
  await settled(0);
  const [first] = seen.heights;
  choose(heights.find((height) => height !== first));
  await settled(1);
  choose(first);
  await settled(2);
  video.pause();
  seen.ranges = video.buffered.length;
}

// show adds a video to the page and notes what it shows under a name.
function show(name) {
  const video = Object.assign(document.createElement('video'), { muted: true });
  document.body.append(video);
  window.seen[name] = watch(video);
  return video;
}

// What is seen of the first video without a player is what this machine can do.
const { plain, videos } = JSON.parse(new URLSearchParams(location.search).get('given'));
window.seen = {};
Object.assign(show('plain'), { src: plain }).play();
window.done = Promise.all(videos.flatMap((given) => (
  Object.entries(players).map(async ([player, load]) => {
    const name = `${given.name}, ${player}`;
    const video = show(name);
    await change(video, window.seen[name], await load(video, given), given.heights);
  })
)));
