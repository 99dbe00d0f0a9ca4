// Plays a video's DASH with dash.js: for the operator, to compare with HLS.
(() => {
  'use strict';

  const video = document.querySelector('video[data-url]');
  const rendition = document.querySelector('.rendition');
  const note = document.querySelector('.note');
  const player = dashjs.MediaPlayer().create();

  function name(type) {
    const r = player.getCurrentRepresentationForType(type);
    if (!r) return '';
    const rate = `${(r.bandwidth / 1e6).toFixed(1)} Mbit/s`;
    return r.height ? `${r.height}p, ${rate}` : `sound, ${rate}`;
  }

  function show() {
    rendition.textContent = [name('video'), name('audio')].filter(Boolean).join(' · ');
  }

  player.updateSettings({ debug: { logLevel: 0 } });
  for (const event of ['QUALITY_CHANGE_RENDERED', 'CAN_PLAY']) player.on(dashjs.MediaPlayer.events[event], show);
  player.on(dashjs.MediaPlayer.events.ERROR, ({ error }) => {
    note.textContent = `dash.js has stopped: ${String((error && error.message) || 'it does not say why').slice(0, 200)}`;
    note.hidden = false;
  });
  player.initialize(video, video.dataset.url, false);
})();
