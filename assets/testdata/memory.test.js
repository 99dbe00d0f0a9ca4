'use strict';

const { test } = require('node:test');
const assert = require('node:assert');
const { load } = require('./page.js');

// storage is a localStorage.
function storage(text) {
  const kept = new Map(text === undefined ? [] : [['streamgate:player', text]]);
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), kept };
}

const open = (localStorage) => load(['api.js', 'memory.js'], { localStorage }).StreamGate;

test('times of links are read', () => {
  const { moment } = open(storage());
  for (const [text, want] of Object.entries({
    75: 75, '75s': 75, '1m15s': 75, '1m15': 75, '1m': 60, '1h2m3s': 3723, '2h': 7200, '1:15': 75, '1:02:03': 3723, '0': 0, '1.5': 1.5,
    '': NaN, s: NaN, h: NaN, '-5': NaN, '1s2m': NaN, '75 ': NaN, soon: NaN, '1e3': NaN, Infinity: NaN, '1:': NaN, '1:2:3:4': NaN, [`${'9'.repeat(40)}`]: NaN,
  })) assert.equal(moment(text), want, `of "${text}"`);
});

test('what a link asks for is read', () => {
  const { wishes } = open(storage());
  const said = (search, hash = '') => ({ ...wishes({ search, hash }) });
  assert.deepEqual(said(''), { at: NaN, autoplay: false, muted: false });
  assert.deepEqual(said('?t=75'), { at: 75, autoplay: false, muted: false });
  assert.deepEqual(said('?t=5&autoplay=1&muted=1', '#t=1m15s'), { at: 75, autoplay: true, muted: true });
  assert.deepEqual(said('?autoplay=0&muted=no', '#t=npt:10,20'), { at: 10, autoplay: false, muted: false });
  assert.deepEqual(said('?t=soon&muted=true', '#keys'), { at: NaN, autoplay: false, muted: true });
});

test('what was chosen is remembered', () => {
  const kept = storage();
  const { memory } = open(kept);
  assert.deepEqual({ ...memory.volume() }, { volume: 1, muted: false });
  assert.equal(memory.quality(), 0);
  memory.setVolume(0.25, true);
  memory.setQuality(720);
  memory.setPosition('a', 61.7, 100);
  const again = open(kept).memory;
  assert.deepEqual({ ...again.volume() }, { volume: 0.25, muted: true });
  assert.equal(again.quality(), 720);
  assert.equal(again.position('a'), 61);
  assert.equal(again.position('b'), 0);
});

test('a video that was hardly begun or is nearly over begins anew', () => {
  const { memory } = open(storage());
  for (const at of [3, 96, 100]) {
    memory.setPosition('a', 50, 100);
    assert.equal(memory.position('a'), 50);
    memory.setPosition('a', at, 100);
    assert.equal(memory.position('a'), 0, `left at ${at}`);
  }
});

test('the positions of the last hundred videos are kept', () => {
  const kept = storage();
  const { memory } = open(kept);
  for (let i = 0; i < 150; i++) memory.setPosition(`v${i}`, 10, 100);
  memory.setPosition('v60', 20, 100);
  memory.setPosition('new', 30, 100);
  assert.deepEqual(['v49', 'v50', 'v51', 'v149', 'v60', 'new'].map(memory.position), [0, 0, 10, 10, 20, 30]);
  assert.equal(JSON.parse(kept.kept.get('streamgate:player')).positions.length, 100);
});

test('a browser that keeps nothing, or rubbish, is no reason to fail', () => {
  const broken = { getItem() { throw new Error('denied'); }, setItem() { throw new Error('denied'); } };
  for (const kept of [broken, undefined, ...['', 'null', '[]', '7', '{', '{"volume":7,"muted":"x","quality":"a","positions":{}}', '{"positions":[1,["a","b"]]}'].map(storage)]) {
    const { memory } = open(kept);
    assert.deepEqual([memory.volume().volume, memory.volume().muted, memory.quality(), memory.position('a')], [1, false, 0, 0]);
    memory.setVolume(0.5, false);
    memory.setPosition('a', 50, 100);
  }
});
