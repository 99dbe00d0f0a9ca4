// The watch page's player: hls.js where the browser has Media Source
// Extensions, the browser's own HLS elsewhere (older iOS). No inline script or
// style: the page's CSP forbids both.
'use strict';

// play moves the player that is in root. What it returns stops it.
//
//   session  the session that it plays, if it is to be renewed; else the
//            page's own address says whether there is one
//   now, vaults, moved   as in StreamGate.keep
//   begin    play at once
//   at       begin there, seconds; else where the page's address says, else
//            where the video was left
//   again    what "Try again" does once access has ended; it is told where
//            playback was, seconds
StreamGate.play = (root, how = {}) => {
  const life = new AbortController();
  const player = root.querySelector('.player');
  const $ = (name) => player.querySelector(name);
  const video = $('video');
  const seek = $('.seek');
  const clock = $('.clock');
  const quality = $('.quality');
  const volume = $('.volume');
  const message = $('.message');
  const { memory } = StreamGate;
  const id = player.dataset.video;
  const wishes = StreamGate.wishes(location);
  const duration = () => (Number.isFinite(video.duration) ? video.duration : Number(player.dataset.duration) || 0);

  /* The ticket in the paths of a session; none if the video is public. */

  const ticket = new RegExp(`${StreamGate.root}/s/([^/]+)/`);
  let token = how.session ? how.session.token : (player.dataset.hls.match(ticket) || [])[1];
  // Playlists were read under an earlier ticket, and what they list with them.
  const here = (url) => (token ? url.replace(ticket, `${StreamGate.root}/s/${token}/`) : url);

  /* Loading */

  // A cell that is not made yet is held for about 9 s and then answered 503,
  // which means "ask again": patience, not an error.
  const patience = {
    maxTimeToFirstByteMs: 20000,
    maxLoadTimeMs: 60000,
    timeoutRetry: { maxNumRetry: 6, retryDelayMs: 500, maxRetryDelayMs: 4000 },
    errorRetry: { maxNumRetry: 30, retryDelayMs: 500, maxRetryDelayMs: 4000 },
  };

  const last = Math.max(0, duration() - 1);
  const begin = Math.min(last, how.at || (wishes.at >= 0 ? wishes.at : memory.position(id)));
  const playAtOnce = how.begin || wishes.autoplay;
  let hls = null;
  let mended = 0; // errors in a row
  if (window.Hls && Hls.isSupported()) {
    hls = new Hls({
      enableWorker: false,
      autoStartLoad: true,
      startPosition: begin || -1,
      backBufferLength: 60,
      maxMaxBufferLength: 60, // else a small film is loaded whole, by viewers who leave or lose access
      xhrSetup: (xhr, url) => xhr.open('GET', here(url), true),
      fragLoadPolicy: { default: patience },
      manifestLoadPolicy: { default: patience },
      playlistLoadPolicy: { default: patience },
    });
    hls.on(Hls.Events.FRAG_BUFFERED, () => { mended = 0; });
    hls.on(Hls.Events.ERROR, (_, data) => (refusal(data) ? admitted(data) : data.fatal && recover(data)));
    hls.on(Hls.Events.MANIFEST_PARSED, listQualities);
    if (playAtOnce) hls.on(Hls.Events.MANIFEST_PARSED, start);
    hls.on(Hls.Events.LEVEL_SWITCHED, nameQuality);
    hls.loadSource(player.dataset.hls);
    hls.attachMedia(video);
  } else if (video.canPlayType('application/vnd.apple.mpegurl')) {
    loadNative(begin, playAtOnce);
    quality.hidden = true;
  } else {
    say('This browser can play neither Media Source Extensions nor HLS.');
  }

  function start() { video.play().catch(() => {}); }

  function loadNative(at, playing) {
    video.src = here(player.dataset.hls);
    video.addEventListener('loadedmetadata', () => { video.currentTime = at; }, { once: true });
    if (playing) start();
  }

  const status = (data) => data.response && data.response.code;
  const refusal = (data) => status(data) === 401 || status(data) === 403;

  // admitted asks whether the session goes on when something was refused: its
  // ticket may only have expired while the device was asleep.
  async function admitted(data) {
    if (!keeper) end({ detail: 'This video is no longer public. Reload the page to ask for access.' });
    else if (await keeper.check() && data.fatal) recover(data);
  }

  function load() {
    if (life.signal.aborted) return;
    if (hls.levels.length) hls.startLoad();
    else hls.loadSource(player.dataset.hls);
  }

  function recover(data) {
    if (status(data) === 410) {
      end({ detail: 'A part of this video could not be made. Reload the page to see why.' });
    } else if (++mended > 8) {
      say('The video cannot be played just now. Reload the page to try again.');
    } else if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
      setTimeout(load, 1500);
    } else {
      hls.recoverMediaError();
    }
  }

  function say(...parts) {
    message.replaceChildren(...parts);
    message.hidden = false;
  }

  /* The session */

  const keeper = token && StreamGate.keep({
    token, session: how.session, now: how.now, vaults: how.vaults, ended: end,
    // The browser's own HLS must load anew for each ticket: as seldom as can be.
    share: hls ? 0.5 : 0.85,
    moved: (session) => {
      token = session.token;
      if (!hls) loadNative(video.currentTime, !video.paused);
      if (how.moved) how.moved(session);
    },
  });

  // stop lets go of the media and of everything that runs.
  function stop() {
    keepPosition();
    life.abort();
    if (keeper) keeper.stop();
    video.pause();
    if (document.pictureInPictureElement === video) document.exitPictureInPicture().catch(() => {});
    if (hls) hls.destroy();
    video.removeAttribute('poster');
    video.removeAttribute('src');
    video.load();
  }

  // end stops because there is nothing to watch any more, and says why.
  function end(problem) {
    if (life.signal.aborted) return;
    const at = video.currentTime;
    stop();
    const { item, readable } = StreamGate;
    say(item('strong', 'Playback has stopped'), item('p', ...readable(problem.detail)));
    if (!how.again) return;
    const button = Object.assign(item('button', 'Try again'), { className: 'primary', type: 'button' });
    button.addEventListener('click', () => how.again(at));
    message.append(button);
    button.focus();
  }

  /* Quality */

  function listQualities() {
    const best = [...hls.levels.keys()].sort((a, b) => hls.levels[b].bitrate - hls.levels[a].bitrate);
    for (const i of best) {
      const l = hls.levels[i];
      quality.append(new Option(`${levelName(l)} · ${(l.bitrate / 1e6).toFixed(1)} Mb/s`, i));
    }
    quality.hidden = hls.levels.length < 2;
    const chosen = memory.quality();
    const fitting = best.find((i) => hls.levels[i].height <= chosen) ?? best.at(-1);
    if (chosen && !quality.hidden) {
      hls.loadLevel = fitting;
      quality.value = fitting;
    }
  }

  // levelName is how viewers know a rendition: a copy of the source by its size.
  function levelName(l) {
    if (!l.height) return 'Sound';
    const { original } = player.dataset;
    return original && l.uri.includes(`/${original}/`) ? `${l.height}p (original)` : `${l.height}p`;
  }

  function nameQuality(_, data) {
    const l = hls.levels[data.level];
    quality.options[0].text = hls.autoLevelEnabled && l && l.height ? `Auto: ${levelName(l)}` : 'Auto';
  }

  quality.addEventListener('change', () => {
    const i = Number(quality.value);
    hls.nextLevel = i;
    memory.setQuality(i < 0 ? 0 : hls.levels[i].height);
  });

  /* Speed */

  const speed = $('.speed');
  speed.addEventListener('change', () => { video.defaultPlaybackRate = video.playbackRate = Number(speed.value); }); // the default survives a load
  function changeSpeed(step) {
    const next = speed.options[speed.selectedIndex + step];
    if (!next) return;
    speed.value = next.value;
    speed.dispatchEvent(new Event('change'));
  }

  /* Play, seek, sound */

  const toggle = () => (video.paused ? video.play().catch(() => {}) : video.pause());
  const go = (t) => { video.currentTime = Math.min(Math.max(0, t), Math.max(0, duration() - 0.05)); };
  // What the viewer does is remembered; what a link asks for is not.
  function setSound(level, muted) {
    video.volume = Math.min(1, Math.max(0, level));
    video.muted = muted;
    memory.setVolume(video.volume, video.muted);
  }
  const setVolume = (v) => setSound(v, false);
  const toggleMute = () => setSound(video.volume || 1, !silent());
  const silent = () => video.muted || video.volume === 0;
  const fullscreen = () => (document.fullscreenElement ? document.exitFullscreen() : player.requestFullscreen && player.requestFullscreen());

  function time(s) {
    s = Math.floor(s);
    const p = (n) => String(n).padStart(2, '0');
    return s >= 3600 ? `${Math.floor(s / 3600)}:${p(Math.floor(s / 60) % 60)}:${p(s % 60)}` : `${Math.floor(s / 60)}:${p(s % 60)}`;
  }

  function draw() {
    const d = duration();
    const at = d ? video.currentTime / d : 0;
    clock.textContent = `${time(video.currentTime)} / ${time(d)}`;
    root.querySelector('.copy span').textContent = time(video.currentTime);
    $('.played').setAttribute('width', at * 1000);
    if (!seeking) seek.value = at * 1000;
    seek.setAttribute('aria-valuetext', `${time(video.currentTime)} of ${time(d)}`);
  }

  let seeking = false;
  seek.addEventListener('input', () => { seeking = true; go((seek.value / 1000) * duration()); draw(); });
  seek.addEventListener('change', () => { seeking = false; });
  for (const name of ['timeupdate', 'durationchange', 'seeking']) video.addEventListener(name, draw);
  const label = (button, text) => $(button).setAttribute('aria-label', text);
  video.addEventListener('play', () => { player.classList.add('started', 'playing'); label('.play', 'Pause'); });
  video.addEventListener('pause', () => { player.classList.remove('playing'); label('.play', 'Play'); });
  for (const name of ['waiting', 'seeking']) video.addEventListener(name, () => player.classList.add('stalled'));
  for (const name of ['playing', 'seeked', 'canplay']) video.addEventListener(name, () => player.classList.remove('stalled'));
  video.addEventListener('volumechange', drawSound);
  function drawSound() {
    player.classList.toggle('muted', silent());
    label('.mute', silent() ? 'Unmute' : 'Mute');
    volume.value = video.muted ? 0 : video.volume;
  }
  volume.addEventListener('input', () => setVolume(Number(volume.value)));
  $('.big-play').addEventListener('click', () => { toggle(); player.focus(); });
  $('.play').addEventListener('click', toggle);
  $('.mute').addEventListener('click', toggleMute);
  $('.pip').addEventListener('click', () => (document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture()).catch(() => {}));
  $('.pip').hidden = !document.pictureInPictureEnabled;
  $('.full').addEventListener('click', fullscreen);
  video.addEventListener('click', toggle);
  video.addEventListener('dblclick', fullscreen);

  const keys = {
    ' ': toggle, k: toggle, m: toggleMute, f: fullscreen,
    '<': () => changeSpeed(-1), '>': () => changeSpeed(1),
    j: () => go(video.currentTime - 10), l: () => go(video.currentTime + 10),
    ArrowLeft: () => go(video.currentTime - 5), ArrowRight: () => go(video.currentTime + 5),
    ArrowUp: () => setVolume(video.volume + 0.1), ArrowDown: () => setVolume(video.volume - 0.1),
    Home: () => go(0), End: () => go(duration()),
  };
  document.addEventListener('keydown', (e) => {
    const busy = e.target.closest('select, summary, a, .volume, .row button, .message button, .demo button, .share');
    if (busy || e.ctrlKey || e.metaKey || e.altKey) return;
    const act = keys[e.key] || (/^[0-9]$/.test(e.key) && (() => go((Number(e.key) / 10) * duration())));
    if (!act) return;
    e.preventDefault();
    act();
    stir();
  }, { signal: life.signal });

  /* Where it was left, and where a link leads */

  let kept = 0; // ms
  function keepPosition() {
    if (life.signal.aborted || !player.classList.contains('started') || video.readyState === 0) return;
    kept = Date.now();
    memory.setPosition(id, video.currentTime, duration());
  }
  video.addEventListener('timeupdate', () => Date.now() - kept > 5000 && keepPosition());
  for (const name of ['pause', 'seeked', 'ended']) video.addEventListener(name, keepPosition);
  window.addEventListener('pagehide', keepPosition, { signal: life.signal });
  window.addEventListener('hashchange', () => {
    const { at } = StreamGate.wishes(location);
    if (at >= 0) go(at);
  }, { signal: life.signal });

  StreamGate.share(root.querySelector('.share'), player.dataset.link, () => video.currentTime);
  StreamGate.mediaKeys(video, {
    title: player.dataset.title, artwork: () => here(video.getAttribute('poster') || ''), duration, go, signal: life.signal,
  });

  let idle;
  function stir() {
    player.classList.remove('idle');
    clearTimeout(idle);
    idle = setTimeout(() => !video.paused && player.classList.add('idle'), 2600);
  }
  for (const name of ['pointermove', 'pointerdown', 'focusin']) player.addEventListener(name, stir);
  video.addEventListener('pause', stir);
  video.addEventListener('play', stir);

  /* Storyboard: stills over the seek bar */

  let stills = [];
  async function loadStoryboard() {
    const answer = await fetch(here(player.dataset.storyboard));
    if (!answer.ok) return;
    const base = new URL(player.dataset.storyboard, location.href);
    const seconds = (s) => s.split(':').reduce((sum, n) => sum * 60 + Number(n), 0);
    stills = (await answer.text()).split(/\n\n+/).flatMap((cue) => {
      const m = cue.match(/([\d:.]+) --> ([\d:.]+)[^\n]*\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)/);
      return m ? [{ end: seconds(m[2]), url: new URL(m[3], base).href, x: m[4], y: m[5], w: m[6], h: m[7] }] : [];
    });
  }

  const preview = $('.preview');
  $('.bar').addEventListener('pointermove', (e) => {
    const box = $('.bar').getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (e.clientX - box.left) / box.width));
    const at = share * duration();
    const still = stills.find((s) => at < s.end) || stills.at(-1);
    const picture = preview.querySelector('.still');
    if (still) {
      Object.assign(picture.style, {
        width: `${still.w}px`, height: `${still.h}px`,
        backgroundImage: `url("${here(still.url)}")`, backgroundPosition: `-${still.x}px -${still.y}px`,
      });
    }
    preview.querySelector('span').textContent = time(at);
    preview.hidden = false;
    const half = preview.offsetWidth / 2;
    preview.style.left = `${Math.min(box.width - half, Math.max(half, share * box.width))}px`;
  });
  $('.bar').addEventListener('pointerleave', () => { preview.hidden = true; });

  /* What is still being made: the page is asked again, and the parts that
     tell are taken over. */

  let asked = 0;
  async function refresh() {
    const making = root.querySelector('.making');
    const stillsMissing = !player.dataset.storyboard && !player.classList.contains('sound') && asked++ < 60;
    if (player.dataset.state === 'ready' && !stillsMissing) return;
    const { ok, document: fresh } = await StreamGate.page(token ? `${StreamGate.root}/s/${token}/` : location.href);
    if (life.signal.aborted) return;
    if (ok) {
      making.replaceChildren(...fresh.querySelector('.making').childNodes);
      $('.made').replaceWith(document.importNode(fresh.querySelector('.made'), true));
      root.querySelector('.facts').textContent = fresh.querySelector('.facts').textContent;
      const now = fresh.querySelector('.player').dataset;
      player.dataset.state = now.state;
      if (!stills.length && now.storyboard) {
        Object.assign(player.dataset, { storyboard: now.storyboard });
        video.poster = fresh.querySelector('video').getAttribute('poster') || '';
        await loadStoryboard();
      }
    }
    setTimeout(again, 2000);
  }
  const again = () => (life.signal.aborted ? null : refresh().catch(() => setTimeout(again, 4000)));

  if (player.dataset.storyboard) loadStoryboard().catch(() => {});
  setTimeout(again, 2000);
  video.volume = memory.volume().volume;
  video.muted = memory.volume().muted || wishes.muted;
  drawSound();
  draw();
  return { stop, resume: () => keeper && keeper.resume() };
};

if (document.querySelector('main .player')) StreamGate.play(document.querySelector('main'));
