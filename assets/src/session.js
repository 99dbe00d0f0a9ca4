// A playback session, kept alive while its video plays. Its ticket is in the
// path of everything that the player loads, and is short-lived: a new one is
// asked for in time.
(() => {
  'use strict';

  const lookEvery = 2000; // ms between two looks at whether the session goes on
  const retryAfter = 2000; // ms, when the node could not be asked
  const leastWait = 1000; // ms before a ticket is renewed, however short its life

  const isRefusal = (answer) => [401, 403, 404, 410].includes(answer.status); // 404: the video was deleted
  const isAnswer = (answer) => answer.status >= 400 && answer.status < 500;

  // keep looks after a session until it ends or is stopped.
  //
  //   token    the ticket
  //   session  the session as the node answered it, to be renewed; without it
  //            the ticket is only watched, as it was made by a key
  //   now      the node's time of that answer, ms
  //   vaults   what the session was asked with, for the one that follows it
  //   share    of a ticket's life after which it is renewed
  //   moved    is told each new session
  //   ended    is told the problem that ended it
  StreamGate.keep = ({ token, session, now, vaults = [], share = 0.5, moved, ended }) => {
    let over = false;
    let lookTimer, renewTimer, looking, resuming;

    function stop() {
      over = true;
      clearTimeout(lookTimer);
      clearTimeout(renewTimer);
    }

    function end(problem) {
      if (over) return;
      stop();
      ended(problem);
    }

    // plan renews after a share of what is left by the node's clock: that of
    // the device may be wrong.
    function plan(at) {
      clearTimeout(renewTimer);
      renewTimer = setTimeout(renew, Math.max(leastWait, (Date.parse(session.expires_at) - at) * share));
    }

    function take(answer) {
      session = answer.body;
      token = session.token;
      moved(session);
      plan(answer.now);
    }

    const later = () => { renewTimer = setTimeout(renew, retryAfter); };

    // renew gets the next ticket. One that ends with its session cannot be
    // followed by another: then a new session takes over.
    async function renew() {
      if (Date.parse(session.expires_at) >= Date.parse(session.ends_at)) return resume();
      const answer = await StreamGate.post('/api/v1/sessions:renew', { token });
      if (over) return;
      if (!answer.problem) take(answer);
      else if (answer.status === 401) await resume();
      else if (isRefusal(answer)) end(answer.problem);
      else later();
    }

    // resume makes a session that takes over from this one, also after a
    // device was asleep for longer than a ticket lives.
    function resume() {
      resuming ??= takeOver().finally(() => { resuming = null; });
      return resuming;
    }

    async function takeOver() {
      if (over) return;
      clearTimeout(renewTimer);
      const answer = await StreamGate.post(`/api/v1/videos/${session.video_id}/sessions`, { resume: token, vaults });
      if (over) return;
      if (!answer.problem) take(answer);
      else if (isAnswer(answer)) end(answer.problem);
      else later();
    }

    // look asks whether the session goes on. Without an answer it does: the
    // player goes on with what it has. What is said of a session that another
    // is just taking over from does not count.
    async function look() {
      const asked = token;
      const answer = await StreamGate.get(`/s/${token}/session`);
      await resuming;
      if (over || asked !== token) return;
      if (answer.status === 401 && session) await resume();
      else if (isRefusal(answer)) end(answer.problem);
    }

    // check looks at once; it says whether the session goes on.
    async function check() {
      looking ??= look().finally(() => { looking = null; });
      await looking;
      return !over;
    }

    async function watch() {
      await check();
      if (!over) lookTimer = setTimeout(watch, lookEvery);
    }

    lookTimer = setTimeout(watch, lookEvery);
    if (session) plan(now);
    return { check, resume, stop };
  };

  // leave tells the node that nobody watches any more, also while the page is
  // going away.
  StreamGate.leave = (token) => {
    navigator.sendBeacon(StreamGate.root + '/api/v1/sessions:leave', new Blob([JSON.stringify({ token })], { type: 'application/json' }));
  };
})();
