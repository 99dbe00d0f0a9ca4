// The system's own media keys and display (Media Session).
(() => {
  'use strict';

  // mediaKeys ties them to a video until signal is aborted.
  //
  //   title     of the video
  //   artwork   tells the poster's address, "" for none
  //   duration  tells how long it is, seconds
  //   go        goes to a time, seconds
  StreamGate.mediaKeys = (video, { title, artwork, duration, go, signal }) => {
    const media = navigator.mediaSession;
    if (!media) return;
    const step = 10; // seconds
    const commands = {
      play: () => video.play().catch(() => {}),
      pause: () => video.pause(),
      seekbackward: (e) => go(video.currentTime - (e.seekOffset || step)),
      seekforward: (e) => go(video.currentTime + (e.seekOffset || step)),
      seekto: (e) => go(e.seekTime),
    };

    function announce() {
      const src = artwork();
      media.metadata = new MediaMetadata({ title, artwork: src ? [{ src: new URL(src, location.href).href, type: 'image/jpeg' }] : [] });
      for (const [name, act] of Object.entries(commands)) media.setActionHandler(name, act);
    }

    function withdraw() {
      media.metadata = null;
      for (const name of Object.keys(commands)) media.setActionHandler(name, null);
    }

    function tell() {
      const whole = duration();
      if (whole > 0) media.setPositionState({ duration: whole, playbackRate: video.playbackRate, position: Math.min(video.currentTime, whole) });
    }

    video.addEventListener('play', announce);
    for (const name of ['play', 'seeked', 'ratechange', 'durationchange']) video.addEventListener(name, tell);
    signal.addEventListener('abort', withdraw);
  };
})();
