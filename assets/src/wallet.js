// Wallets of this browser (EIP-6963) and sign-in with them (EIP-4361).
(() => {
  'use strict';

  /* Keccak-256, which addresses are written with: small rather than fast. */

  const mask = (1n << 64n) - 1n;
  const rate = 136; // bytes
  const turn = (lane, n) => ((lane << n) | (lane >> (64n - n))) & mask;

  function permute(s) {
    let bits = 1; // of the round constants
    for (let round = 0; round < 24; round++) {
      const c = [0, 1, 2, 3, 4].map((x) => s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20]);
      for (let i = 0; i < 25; i++) s[i] ^= c[(i + 4) % 5] ^ turn(c[(i + 1) % 5], 1n);
      let lane = s[1];
      for (let x = 1, y = 0, t = 0; t < 24; t++) {
        [x, y] = [y, (2 * x + 3 * y) % 5];
        [lane, s[x + 5 * y]] = [s[x + 5 * y], turn(lane, BigInt(((t + 1) * (t + 2) / 2) % 64))];
      }
      for (let y = 0; y < 25; y += 5) {
        const row = s.slice(y, y + 5);
        for (let x = 0; x < 5; x++) s[y + x] = row[x] ^ (~row[(x + 1) % 5] & mask & row[(x + 2) % 5]);
      }
      for (let j = 0; j < 7; j++) {
        if (bits & 1) s[0] ^= 1n << BigInt((1 << j) - 1);
        bits = bits & 0x80 ? (bits << 1) ^ 0x171 : bits << 1;
      }
    }
  }

  function keccak256(bytes) {
    const padded = new Uint8Array((Math.floor(bytes.length / rate) + 1) * rate);
    padded.set(bytes);
    padded[bytes.length] = 1;
    padded[padded.length - 1] |= 0x80;
    const s = new Array(25).fill(0n);
    const words = new DataView(padded.buffer);
    for (let at = 0; at < padded.length; at += rate) {
      for (let i = 0; i < rate / 8; i++) s[i] ^= words.getBigUint64(at + 8 * i, true);
      permute(s);
    }
    const out = new DataView(new ArrayBuffer(32));
    for (let i = 0; i < 4; i++) out.setBigUint64(8 * i, s[i], true);
    return new Uint8Array(out.buffer);
  }

  const utf8 = (text) => new TextEncoder().encode(text);
  const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  const isAddress = (text) => /^0x[0-9a-fA-F]{40}$/.test(text);

  // checksum writes an address as EIP-55 has it.
  function checksum(address) {
    const digits = address.slice(2).toLowerCase();
    const sum = hex(keccak256(utf8(digits)));
    return '0x' + Array.from(digits, (d, i) => (sum[i] >= '8' ? d.toUpperCase() : d)).join('');
  }

  const toWatch = 'Sign in to watch. This costs nothing and moves nothing.';

  // message is the text of EIP-4361 that the wallet signs.
  const message = ({ domain, address, statement = toWatch, uri, chain, nonce, issued }) => `${domain} wants you to sign in with your Ethereum account:
${address}

${statement}

URI: ${uri}
Version: 1
Chain ID: ${chain}
Nonce: ${nonce}
Issued At: ${issued}`;

  /* Discovery */

  // find calls changed with the list of wallets whenever one has announced
  // itself. The one in window.ethereum stands in where none does.
  function find(changed) {
    const found = new Map();
    let settled = false;
    const list = () => {
      const stand = window.ethereum && typeof window.ethereum.request === 'function'
        ? [{ id: '', name: 'The wallet of this browser', icon: '', provider: window.ethereum }] : [];
      changed(found.size || !settled ? [...found.values()] : stand, settled);
    };
    window.addEventListener('eip6963:announceProvider', ({ detail }) => {
      const { info, provider } = detail || {};
      if (!info || !info.uuid || !provider || typeof provider.request !== 'function') return;
      const icon = String(info.icon || '').startsWith('data:image/') ? info.icon : ''; // others the page may not load
      found.set(info.uuid, { id: info.uuid, name: String(info.name || 'A wallet').slice(0, 60), icon, provider });
      list();
    });
    window.addEventListener('ethereum#initialized', list);
    window.dispatchEvent(new Event('eip6963:requestProvider'));
    setTimeout(() => { settled = true; list(); }, 400); // extensions answer at once, or when they have loaded
    list();
  }

  // follow tells changed each account that a wallet goes over to (EIP-1193).
  function follow({ provider }, changed) {
    if (typeof provider.on !== 'function') return;
    provider.on('accountsChanged', (accounts) => {
      if (Array.isArray(accounts) && isAddress(accounts[0])) changed(checksum(accounts[0]));
    });
  }

  /* Sign-in */

  // explain makes a sentence of what a wallet threw (EIP-1193).
  function explain(error) {
    if (error && error.code === 4001) return 'You declined in your wallet. Choose a wallet when you are ready.';
    if (error && error.code === -32002) return 'Your wallet is still waiting for an earlier answer. Open it.';
    const said = String((error && error.message) || '').slice(0, 200);
    return said ? `The wallet says: ${said}` : 'The wallet did not answer. Try again.';
  }

  // prove has a wallet sign what the node asks for at a path: it returns the
  // message and the signature, or what went wrong as a sentence. step is told
  // what is waited for.
  async function prove({ provider }, path, step) {
    try {
      return await ceremony(provider, path, step);
    } catch (error) {
      return { wrong: explain(error) };
    }
  }

  async function ceremony(provider, path, step) {
    step('Choose an account in your wallet.');
    const [account] = await provider.request({ method: 'eth_requestAccounts' }) || [];
    if (!isAddress(account)) return { wrong: 'The wallet has no account to sign in with.' };
    const asked = await StreamGate.post(path, {});
    if (asked.problem) return { wrong: asked.problem.detail };
    const { nonce, domain, uri, chains, statement } = asked.body;
    if (!chains.length) return { wrong: 'Wallets cannot sign in here: the node knows no chain.' };
    const text = message({
      domain, statement, uri, nonce, address: checksum(account), chain: await chainOf(provider, chains),
      issued: new Date(asked.now).toISOString(), // by the node's clock, which will judge it
    });
    step('Sign the message in your wallet.');
    const signature = await provider.request({ method: 'personal_sign', params: ['0x' + hex(utf8(text)), account] });
    return { message: text, signature };
  }

  // signIn signs a viewer in: it returns null, or what went wrong as a sentence.
  async function signIn(wallet, step) {
    const { message: text, signature, wrong } = await prove(wallet, '/api/v1/auth/nonce', step);
    if (wrong) return wrong;
    step('Checking the signature …');
    const answer = await StreamGate.post('/api/v1/auth/verify', { message: text, signature });
    if (answer.problem) return answer.problem.detail;
    if (StreamGate.framed) StreamGate.bearer = answer.body.token; // the cookie may not be kept
    return null;
  }

  // chainOf is the wallet's own chain if one may sign in on it, else the first
  // that the node knows: what a key signs is good for any.
  async function chainOf(provider, chains) {
    const own = await provider.request({ method: 'eth_chainId' }).then(Number, () => NaN);
    return chains.some((chain) => chain.id === own) ? own : chains[0].id;
  }

  StreamGate.wallet = { find, follow, prove, signIn, checksum, keccak256, message, isAddress };
})();
