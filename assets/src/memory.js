// What the player remembers in this browser: volume, quality, and where each
// video was left. A browser that keeps nothing (a frame of another site, a
// private window) is no reason to fail.
(() => {
  'use strict';

  const key = 'streamgate:player';
  const mostVideos = 100; // whose position is kept
  const leastSeconds = 5; // a video that was hardly begun, or is nearly over, begins anew

  function read() {
    try {
      const all = JSON.parse(localStorage.getItem(key));
      return all && typeof all === 'object' && !Array.isArray(all) ? all : {};
    } catch {
      return {};
    }
  }

  function write(change) {
    try {
      localStorage.setItem(key, JSON.stringify({ ...read(), ...change }));
    } catch { /* it is forgotten */ }
  }

  const number = (value, least, most) => (Number.isFinite(value) && value >= least && value <= most ? value : undefined);
  const positions = () => (Array.isArray(read().positions) ? read().positions.filter(Array.isArray) : []);

  StreamGate.memory = {
    volume: () => ({ volume: number(read().volume, 0, 1) ?? 1, muted: read().muted === true }),
    setVolume: (volume, muted) => write({ volume, muted }),

    // quality is the height of the chosen rendition, pixels; 0: automatic.
    quality: () => number(read().quality, 0, 1e5) ?? 0,
    setQuality: (height) => write({ quality: height }),

    // position is where a video goes on, seconds; 0: at its start.
    position: (id) => number((positions().find(([video]) => video === id) || [])[1], 0, 1e7) ?? 0,
    setPosition: (id, at, duration) => {
      const others = positions().filter(([video]) => video !== id);
      const worth = at >= leastSeconds && at < duration - leastSeconds;
      write({ positions: [...(worth ? [[id, Math.floor(at)]] : []), ...others].slice(0, mostVideos) });
    },
  };

  // moment reads a time of a link: 75, 75s, 1m15s, 1h2m3s, 1:15, 1:02:03; NaN
  // if it is none.
  StreamGate.moment = (text) => {
    const clock = /^(?:(\d{1,4}):)?(\d{1,6}):(\d{1,2}(?:\.\d+)?)$/.exec(text);
    const units = /^(?=.)(?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8}(?:\.\d+)?)s?)?$/.exec(text);
    const [, h, m, s] = clock || units || [];
    return clock || units ? Number(h || 0) * 3600 + Number(m || 0) * 60 + Number(s || 0) : NaN;
  };

  // wishes reads what a link asks of the player: at (seconds; NaN: nothing),
  // autoplay and muted. In a fragment (#t=75) a time beats that of the query;
  // of a stretch (#t=75,90) it is the start.
  StreamGate.wishes = ({ search, hash }) => {
    const query = new URLSearchParams(search);
    const fragment = new URLSearchParams(hash.replace(/^#/, ''));
    const yes = (name) => ['1', 'true', ''].includes(query.get(name));
    const text = (fragment.get('t') || query.get('t') || '').replace(/^npt:/, '').split(',')[0];
    return { at: StreamGate.moment(text), autoplay: yes('autoplay'), muted: yes('muted') };
  };
})();
