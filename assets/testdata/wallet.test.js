'use strict';

const { test, mock } = require('node:test');
const assert = require('node:assert');
const fs = require('node:fs');
const { load, json } = require('./page.js');

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const account = '0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed';
const checksummed = '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed';

test('Keccak-256 agrees with another implementation at every length around a block', () => {
  const { keccak256 } = load(['api.js', 'wallet.js']).StreamGate.wallet;
  const vectors = Object.entries(JSON.parse(fs.readFileSync(process.env.KECCAK_VECTORS)));
  assert.ok(vectors.length > 280);
  for (const [input, want] of vectors) assert.equal(hex(keccak256(Buffer.from(input, 'hex'))), want, `of ${input}`);
});

test('addresses are written as EIP-55 has them', () => {
  const { checksum } = load(['api.js', 'wallet.js']).StreamGate.wallet;
  for (const address of [ // the vectors of EIP-55
    '0x52908400098527886E0F7030069857D2E4169EE7', '0x8617E340B3D01FA5F11F306F4090FD50E238070D',
    '0xde709f2102306220921060314715629080e2fb77', '0x27b1fdb04752bbc536007a920d24acb045561c26',
    checksummed, '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
    '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB', '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
  ]) {
    for (const form of [address, address.toLowerCase(), '0x' + address.slice(2).toUpperCase()]) assert.equal(checksum(form), address);
  }
});

// nonce is what the node answers to a sign-in that begins.
const nonce = { nonce: 'N'.repeat(26), domain: '127.0.0.1:8080', uri: 'http://127.0.0.1:8080', chains: [{ id: 5, name: 'Five' }, { id: 1337, name: 'Dev' }] };
const issued = Date.parse('2026-01-02T03:04:05Z');

// signIn signs in with a wallet that answers like this.
async function signIn(wallet, answers = {}) {
  const sent = [];
  const window = load(['api.js', 'wallet.js'], {
    fetch: async (path, init) => {
      sent.push([path, JSON.parse(init.body)]);
      return (answers[path] || (() => json(200, nonce, issued)))();
    },
  });
  const steps = [];
  const asked = [];
  const provider = {
    request: async ({ method, params }) => {
      asked.push([method, params]);
      const answer = { eth_requestAccounts: [account], eth_chainId: '0x539', personal_sign: '0xsig', ...wallet }[method];
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const wrong = await window.StreamGate.wallet.signIn({ provider }, (text) => steps.push(text));
  return { wrong, sent, asked, steps };
}

const failure = (code, message) => Object.assign(new Error(message), { code });

test('sign-in sends the message of EIP-4361 that the wallet signed', async () => {
  const { wrong, sent, asked, steps } = await signIn({});
  const message = `127.0.0.1:8080 wants you to sign in with your Ethereum account:
${checksummed}

Sign in to watch. This costs nothing and moves nothing.

URI: http://127.0.0.1:8080
Version: 1
Chain ID: 1337
Nonce: ${nonce.nonce}
Issued At: 2026-01-02T03:04:05.000Z`;
  assert.equal(wrong, null);
  assert.deepEqual(sent, [['/api/v1/auth/nonce', {}], ['/api/v1/auth/verify', { message, signature: '0xsig' }]]);
  assert.deepEqual(asked.at(-1), ['personal_sign', ['0x' + Buffer.from(message).toString('hex'), account]]);
  assert.equal(steps.length, 3);
});

test('what the node says that a signature is for is in the message', async () => {
  const asked = { ...nonce, statement: 'Sign in to the console.' };
  const window = load(['api.js', 'wallet.js'], { fetch: async () => json(200, asked, issued) });
  const provider = { request: async ({ method }) => ({ eth_requestAccounts: [account], eth_chainId: '0x5', personal_sign: '0xsig' }[method]) };
  const proof = await window.StreamGate.wallet.prove({ provider }, '/ask', () => {});
  assert.equal(proof.wrong, undefined);
  assert.match(proof.message, /\n\nSign in to the console\.\n\nURI: /);
  assert.equal(proof.signature, '0xsig');
});

test('a wallet on a chain that is unknown here signs in on the first that is known', async () => {
  for (const own of ['0x1', 'rubbish', failure(4200, 'no such method')]) {
    const { wrong, sent } = await signIn({ eth_chainId: own });
    assert.equal(wrong, null);
    assert.match(sent[1][1].message, /\nChain ID: 5\n/);
  }
});

test('whatever goes wrong is a sentence', async () => {
  const refused = () => json(401, { status: 401, code: 'nonce_unknown', detail: 'The nonce has been used.' });
  for (const [wallet, answers, want] of [
    [{ eth_requestAccounts: failure(4001, 'User rejected') }, {}, /^You declined/],
    [{ personal_sign: failure(4001, 'User rejected') }, {}, /^You declined/],
    [{ eth_requestAccounts: failure(-32002, 'pending') }, {}, /still waiting/],
    [{ personal_sign: failure(-32603, 'Internal ' + 'x'.repeat(500)) }, {}, /^The wallet says: Internal x{191}$/],
    [{ eth_requestAccounts: new Error('') }, {}, /did not answer/],
    [{ eth_requestAccounts: [] }, {}, /no account/],
    [{ eth_requestAccounts: null }, {}, /no account/],
    [{ eth_requestAccounts: ['<b>'] }, {}, /no account/],
    [{}, { '/api/v1/auth/verify': refused }, /^The nonce has been used.$/],
    [{}, { '/api/v1/auth/nonce': () => { throw new TypeError('gone'); } }, /cannot be reached/],
    [{}, { '/api/v1/auth/nonce': () => new Response('<html>', { status: 502 }) }, /status 502/],
    [{}, { '/api/v1/auth/nonce': () => json(200, { ...nonce, chains: [] }) }, /knows no chain/],
  ]) {
    const { wrong } = await signIn(wallet, answers);
    assert.match(wrong, want);
  }
});

// found collects what find reports once everything has announced itself.
function found(t, prepare) {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const window = load(['api.js', 'wallet.js']);
  const reports = [];
  prepare(window);
  window.StreamGate.wallet.find((list, settled) => reports.push([list.map((one) => `${one.name} ${one.icon}`.trim()), settled]));
  mock.timers.tick(500);
  return { window, reports };
}

const provider = { request: async () => null };
const announce = (window, info) => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: { info, provider } }));

test('wallets that announce themselves are found once each, also late ones', (t) => {
  const { window, reports } = found(t, (window) => {
    window.ethereum = provider;
    window.addEventListener('eip6963:requestProvider', () => {
      announce(window, { uuid: '1', name: 'One', icon: 'data:image/png;base64,x' });
      announce(window, { uuid: '1', name: 'One', icon: 'data:image/png;base64,x' });
      announce(window, { uuid: '2', name: 'Two', icon: 'https://wallet.example/icon.png' });
      announce(window, { name: 'without an id' });
      announce(window, undefined);
      window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: { info: { uuid: '3' }, provider: {} } }));
    });
  });
  assert.deepEqual(reports.at(-1), [['One data:image/png;base64,x', 'Two'], true]);
  announce(window, { uuid: '4', name: 'Late' });
  assert.deepEqual(reports.at(-1)[0], ['One data:image/png;base64,x', 'Two', 'Late']);
});

test('window.ethereum stands in where nothing announces itself', (t) => {
  const { reports } = found(t, (window) => { window.ethereum = provider; });
  assert.deepEqual(reports.at(0), [[], false]);
  assert.deepEqual(reports.at(-1), [['The wallet of this browser'], true]);
});

test('no wallet is known as such only after a while', (t) => {
  const { reports } = found(t, () => {});
  assert.deepEqual(reports, [[[], false], [[], true]]);
});

test('the accounts that a wallet goes over to are told, and nothing else', () => {
  const { wallet } = load(['api.js', 'wallet.js']).StreamGate;
  let tell;
  const told = [];
  wallet.follow({ provider: { request: async () => null, on: (name, f) => { assert.equal(name, 'accountsChanged'); tell = f; } } }, (one) => told.push(one));
  for (const accounts of [[account], [], null, ['<b>'], 'x', [account.toUpperCase().replace('X', 'x'), account]]) tell(accounts);
  assert.deepEqual(told, [checksummed, checksummed]);
  wallet.follow({ provider: { request: async () => null } }, () => assert.fail()); // has no events
});

test('in a frame the sign-in is carried along, until it is over', async () => {
  const asked = [];
  const answers = [json(200, { ...nonce, token: 'T' }), json(200, { ...nonce, token: 'T' }), json(200, {}), json(401, { status: 401, code: 'login_expired', detail: 'over' }), json(200, {})];
  const window = load(['api.js', 'wallet.js'], { top: {}, fetch: async (path, init) => { asked.push(init.headers.Authorization); return answers.shift(); } });
  const request = async ({ method }) => ({ eth_requestAccounts: [account], eth_chainId: '0x539', personal_sign: '0xsig' })[method];
  assert.equal(await window.StreamGate.wallet.signIn({ provider: { request } }, () => {}), null);
  await window.StreamGate.get('/api/v1/a');
  const last = await window.StreamGate.get('/api/v1/b');
  assert.equal(last.problem, null);
  assert.deepEqual(asked, [undefined, undefined, 'Bearer T', 'Bearer T', undefined]);
});

test('a site under a path asks there', async () => {
  const asked = [];
  const window = load(['api.js'], {
    document: { currentScript: { src: 'https://example.org/tv/assets/api.0123.js' } },
    fetch: async (path) => { asked.push(path); return json(200, {}); },
  });
  await window.StreamGate.get('/api/v1/x');
  assert.deepEqual([window.StreamGate.root, asked], ['/tv', ['/tv/api/v1/x']]);
});
