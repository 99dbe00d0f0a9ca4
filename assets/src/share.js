// The button that copies a link to where playback is.
(() => {
  'use strict';

  // share moves the part .share of a page. link is the path of the page to
  // share, at tells the time, seconds.
  StreamGate.share = (part, link, at) => {
    const shown = part.querySelector('input');
    const said = part.querySelector('.copied');
    part.querySelector('.copy').addEventListener('click', async () => {
      const whole = new URL(link, location.origin);
      const seconds = Math.floor(at());
      if (seconds) whole.searchParams.set('t', seconds);
      shown.value = whole.href;
      try {
        await navigator.clipboard.writeText(whole.href);
        shown.hidden = true;
        said.textContent = 'Copied.';
      } catch { // there is no clipboard without https
        shown.hidden = false;
        shown.select();
        said.textContent = 'Copy it from here.';
      }
    });
  };
})();
