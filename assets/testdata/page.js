// What the tests of scripts share: a window without a document, and a node
// that answers as it is told.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

// load runs scripts of ../src in a window of their own and returns it.
exports.load = (names, globals = {}) => {
  const window = Object.assign(new EventTarget(), {
    TextEncoder, Event, URL, URLSearchParams, document: { currentScript: { src: 'http://node.example/assets/api.js' } },
    CustomEvent, Blob, Date, // the test's own Date, so that it may be moved
    setTimeout: (...args) => setTimeout(...args), clearTimeout: (...args) => clearTimeout(...args),
    ...globals,
  });
  window.window = window;
  window.top ??= window;
  vm.createContext(window);
  for (const name of names) {
    const file = path.join(__dirname, '../src', name);
    vm.runInContext(fs.readFileSync(file, 'utf8'), window, { filename: file });
  }
  return window;
};

// json is an answer of the node.
exports.json = (status, body, at = Date.now()) => new Response(status === 204 ? null : JSON.stringify(body), {
  status, headers: { Date: new Date(at).toUTCString() },
});

// settle lets all that waits for nothing but itself run.
exports.settle = async () => {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
};
