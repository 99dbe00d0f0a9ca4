// What pages ask of the node, and how they show what it says. All that the
// scripts share is in StreamGate.
window.StreamGate = {};
(() => {
  'use strict';

  // The path under which the site lies, without a trailing slash: "" or
  // "/videos". This script lies in its folder assets.
  StreamGate.root = new URL('..', document.currentScript.src).pathname.replace(/\/$/, '');

  // The bearer token of a sign-in, where the browser keeps no cookie of ours:
  // in a frame of another site. It is lost with the page.
  StreamGate.bearer = '';
  StreamGate.framed = window.top !== window;

  const offline = { status: 0, code: 'offline', detail: 'The node cannot be reached. Check your connection and try again.' };
  const strange = (status) => ({ status, code: '', detail: `The node answered with status ${status}. Try again in a while.` });

  const loginIsOver = ['login_expired', 'signed_out', 'invalid_login'];

  // ask never throws. The path is the node's, without the root. Its answer has a status (0: none came), a body, the
  // node's own time, and if it is no success a problem (RFC 9457).
  async function ask(path, init) {
    try {
      const headers = { ...(init || {}).headers };
      if (StreamGate.bearer) headers.Authorization = `Bearer ${StreamGate.bearer}`;
      const answer = await fetch(StreamGate.root + path, { cache: 'no-store', ...init, headers });
      const body = await answer.json().catch(() => null); // 204 has none
      const now = Date.parse(answer.headers.get('Date')) || Date.now();
      const good = answer.ok && (body || answer.status === 204);
      const problem = good ? null : body && body.detail ? body : strange(answer.status);
      if (StreamGate.bearer && problem && loginIsOver.includes(problem.code)) {
        StreamGate.bearer = '';
        return ask(path, init);
      }
      return { status: answer.status, body, now, problem };
    } catch {
      return { status: 0, body: null, now: Date.now(), problem: offline };
    }
  }

  StreamGate.get = (path) => ask(path);
  StreamGate.post = (path, body) => ask(path, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body),
  });

  // page reads a page of this site by its address: its document, or null if there is
  // no answer, and whether it asks to be read again soon.
  StreamGate.page = async (path) => {
    try {
      const answer = await fetch(path, { headers: { Accept: 'text/html' } });
      const document = new DOMParser().parseFromString(await answer.text(), 'text/html');
      return { ok: answer.ok, document, again: answer.headers.has('Refresh') };
    } catch {
      return { ok: false, document: null, again: false };
    }
  };

  // item makes an element with texts and other elements inside.
  StreamGate.item = (name, ...inside) => {
    const made = document.createElement(name);
    made.append(...inside);
    return made;
  };

  // readable is a sentence of the node as parts to show: addresses are
  // shortened, but stay whole for whoever points at them, and times are those
  // of where the viewer is.
  StreamGate.readable = (text) => text.split(/(0x[0-9a-fA-F]{40}|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))/).map((part, i) => {
    if (i % 2 === 0) return part;
    if (!part.startsWith('0x')) return Object.assign(StreamGate.item('time', new Date(part).toLocaleString()), { dateTime: part });
    return Object.assign(StreamGate.item('code', `${part.slice(0, 6)}…${part.slice(-4)}`), { title: part });
  });
})();
