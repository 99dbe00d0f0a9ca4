'use strict';

const { test, mock } = require('node:test');
const assert = require('node:assert');
const { load, json, settle } = require('./page.js');

// skew is how far the device's clock is behind the node's, ms.
const skew = 3600_000;
const nodeTime = () => Date.now() + skew;

// story keeps a session against a node whose answers are of the test: by the
// request's path, or anything else under ''.
function story(t, answers, { renewed = true, life = 120, ends = 3600, share } = {}) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_700_000_000_000 });
  t.after(() => mock.timers.reset());
  const s = { asked: [], moved: [], ended: [], looks: 0 };
  const session = (token) => ({
    token, video_id: 'film', expires_at: new Date(nodeTime() + life * 1000).toISOString(), ends_at: new Date(begun + ends * 1000).toISOString(),
  });
  const begun = nodeTime();
  const window = load(['api.js', 'session.js'], {
    fetch: async (path, init) => {
      if (path.endsWith('/session')) s.looks++;
      else s.asked.push([path, JSON.parse(init.body)]);
      const answer = answers[path] || answers[''];
      return answer({ ...s, session });
    },
  });
  s.keeper = window.StreamGate.keep({
    token: 'one', session: renewed ? session('one') : undefined, now: nodeTime(), vaults: ['0xv'], share,
    moved: (now) => s.moved.push(now.token), ended: (problem) => s.ended.push(problem.detail),
  });
  s.pass = async (seconds) => {
    for (let i = 0; i < seconds * 2; i++) {
      mock.timers.tick(500);
      await settle();
    }
  };
  return s;
}

const live = () => json(204);
const refusal = (status, code, detail) => () => json(status, { status, code, detail });
const renew = '/api/v1/sessions:renew';
const sessions = '/api/v1/videos/film/sessions';

test('a ticket is renewed at half of its life by the node\'s clock', async (t) => {
  const s = story(t, { '': live, [renew]: ({ session, moved }) => json(200, session(`t${moved.length}`), nodeTime()) });
  await s.pass(59);
  assert.deepEqual(s.asked, []);
  await s.pass(2);
  assert.deepEqual(s.asked, [[renew, { token: 'one' }]]);
  await s.pass(60);
  assert.deepEqual(s.asked[1], [renew, { token: 't0' }]);
  assert.deepEqual(s.moved, ['t0', 't1']);
  assert.deepEqual(s.ended, []);
  assert.ok(s.looks > 55 && s.looks < 62, `${s.looks} looks in 121 s`);
});

test('the share of the life is the player\'s choice', async (t) => {
  const s = story(t, { '': live, [renew]: ({ session }) => json(200, session('two'), nodeTime()) }, { share: 0.85 });
  await s.pass(101);
  assert.deepEqual(s.asked, []);
  await s.pass(2);
  assert.equal(s.asked[0][0], renew);
});

test('when the session ends, the next takes over', async (t) => {
  const s = story(t, { '': live, [sessions]: ({ session }) => json(201, session('two'), nodeTime()) }, { ends: 120 });
  await s.pass(61);
  assert.deepEqual(s.asked, [[sessions, { resume: 'one', vaults: ['0xv'] }]]);
  assert.deepEqual(s.moved, ['two']);
});

test('a session that has ended says why, once, and nothing is asked any more', async (t) => {
  const s = story(t, { '/s/one/session': refusal(403, 'not_a_holder', 'You sold it.') });
  await s.pass(3);
  assert.deepEqual(s.ended, ['You sold it.']);
  assert.equal(s.looks, 1);
  await s.pass(200);
  assert.deepEqual([s.looks, s.asked, s.ended], [1, [], ['You sold it.']]);
});

test('a renewal that is refused ends it', async (t) => {
  const s = story(t, { '': live, [renew]: refusal(403, 'session_ended', 'The operator has ended it.') });
  await s.pass(61);
  assert.deepEqual(s.ended, ['The operator has ended it.']);
});

test('without an answer it goes on, and asks again', async (t) => {
  const rubbish = () => new Response('<html>', { status: 200 });
  const down = () => { throw new TypeError('Failed to fetch'); };
  const broken = () => json(503, { status: 503, code: 'unavailable', detail: 'Not now.' });
  for (const fault of [down, broken, rubbish]) {
    await t.test(fault.name, async (t) => {
      const answers = { '': fault };
      const s = story(t, answers);
      await s.pass(70);
      assert.deepEqual([s.ended, s.moved], [[], []]);
      assert.ok(s.asked.length >= 4, `${s.asked.length} renewals tried`);
      answers[''] = live;
      answers[renew] = ({ session }) => json(200, session('two'), nodeTime());
      await s.pass(3);
      assert.deepEqual(s.moved, ['two']);
    });
  }
});

test('after a sleep longer than the ticket\'s life the session is resumed', async (t) => {
  const s = story(t, {
    '/s/one/session': refusal(401, 'ticket_expired', 'Expired.'), '/s/two/session': live,
    [sessions]: ({ session }) => json(201, session('two'), nodeTime()),
  });
  await s.pass(5);
  assert.deepEqual(s.asked, [[sessions, { resume: 'one', vaults: ['0xv'] }]]);
  assert.deepEqual([s.moved, s.ended], [['two'], []]);
});

test('a resumption that is refused ends it with its own reason', async (t) => {
  const expired = refusal(401, 'ticket_expired', 'Expired.');
  for (const [status, detail] of [[403, 'You sold it.'], [429, 'Three streams run already.']]) {
    await t.test(detail, async (t) => {
      const s = story(t, { '': expired, [sessions]: refusal(status, 'x', detail) });
      await s.pass(5);
      assert.deepEqual(s.ended, [detail]);
    });
  }
});

test('a key\'s session is watched, and neither renewed nor resumed', async (t) => {
  const answers = { '': live };
  const s = story(t, answers, { renewed: false });
  await s.pass(200);
  assert.deepEqual([s.asked, s.ended], [[], []]);
  answers[''] = refusal(401, 'ticket_expired', 'This session has expired: open a new one.');
  await s.pass(3);
  assert.deepEqual([s.asked, s.ended], [[], ['This session has expired: open a new one.']]);
});

test('the end of the video is the end of its sessions', async (t) => {
  const s = story(t, { '': refusal(404, 'video_not_found', 'There is no such video, or it was deleted.') }, { renewed: false });
  await s.pass(3);
  assert.deepEqual(s.ended, ['There is no such video, or it was deleted.']);
});

test('what is said of an earlier ticket no longer counts', async (t) => {
  let answerLook;
  const s = story(t, {
    '/s/one/session': () => new Promise((resolve) => { answerLook = resolve; }), '': live,
    [sessions]: ({ session }) => json(201, session('two'), nodeTime()),
  });
  await s.pass(3);
  await s.keeper.resume();
  answerLook(json(403, { status: 403, code: 'taken_over', detail: 'Another has taken over.' }));
  await s.pass(5);
  assert.deepEqual([s.moved, s.ended], [['two'], []]);
});

test('while the next session takes over, the end of this one does not count', async (t) => {
  let answerResume;
  const s = story(t, {
    '/s/one/session': refusal(403, 'resumed', 'The video goes on in another place.'), '': live,
    [sessions]: () => new Promise((resolve) => { answerResume = resolve; }),
  });
  s.keeper.resume();
  await s.pass(5);
  answerResume(json(201, { token: 'two', video_id: 'film', expires_at: '2100-01-01T00:00:00Z', ends_at: '2100-01-01T00:00:00Z' }));
  await s.pass(5);
  assert.deepEqual([s.moved, s.ended], [['two'], []]);
});

test('check says whether it goes on', async (t) => {
  const answers = { '': live };
  const s = story(t, answers);
  assert.equal(await s.keeper.check(), true);
  answers[''] = refusal(403, 'not_a_holder', 'You sold it.');
  const both = await Promise.all([s.keeper.check(), s.keeper.check()]);
  assert.deepEqual([both, s.looks, s.ended], [[false, false], 2, ['You sold it.']]);
});

test('stopped, it is quiet', async (t) => {
  const s = story(t, { '': refusal(403, 'x', 'No.') });
  s.keeper.stop();
  await s.keeper.resume();
  await s.pass(200);
  assert.deepEqual([s.looks, s.asked, s.ended], [0, [], []]);
});

test('leaving goes out as JSON', async () => {
  const sent = [];
  const window = load(['api.js', 'session.js'], { navigator: { sendBeacon: (...args) => sent.push(args) } });
  window.StreamGate.leave('one');
  assert.equal(sent[0][0], '/api/v1/sessions:leave');
  assert.equal(sent[0][1].type, 'application/json');
  assert.equal(await sent[0][1].text(), '{"token":"one"}');
});
