// What a demonstration adds to a gate: two wallets of the development chain,
// and a button that hands its token from one to the other.
(() => {
  'use strict';

  const panel = document.querySelector('.demo');
  const says = panel.querySelector('.owner');
  const hand = panel.querySelector('.hand');
  const names = ['holder', 'stranger'];
  let owner = '';

  async function call(method, params = []) {
    const answer = await fetch(panel.dataset.chain, {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
    const { error, result } = await answer.json();
    if (error) throw error;
    return result;
  }

  /* The wallets (EIP-6963, EIP-1193). Their keys stay in the chain. */

  const provider = (name) => ({
    async request({ method, params }) {
      if (method === 'personal_sign') return call('dev_personalSign', [name, params[0]]);
      if (method !== 'eth_requestAccounts' && method !== 'eth_accounts') return call(method, params);
      return (await call('dev_accounts')).filter((account) => account.name === name).map((account) => account.address);
    },
  });

  const icon = (colour) => 'data:image/svg+xml,' + encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 28 28">' +
    `<rect width="28" height="28" rx="7" fill="${colour}"/><path d="M6 10h16v11H6zM6 10l11-4v4" fill="#fff"/><circle cx="18" cy="15.500" r="1.800" fill="${colour}"/></svg>`);

  const wallets = names.map((name) => Object.freeze({
    info: Object.freeze({
      uuid: name === 'holder' ? '5a1f2a52-6a0d-4d0e-9f43-0c5f6a7d1b01' : '5a1f2a52-6a0d-4d0e-9f43-0c5f6a7d1b02',
      name: `Demo wallet: ${name}`, icon: icon(name === 'holder' ? '#2f8f6f' : '#8a5fd0'), rdns: `dev.streamgate.${name}`,
    }),
    provider: provider(name),
  }));

  function announce() {
    for (const detail of wallets) window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }));
  }
  window.addEventListener('eip6963:requestProvider', announce);
  announce();

  /* The token */

  const other = () => (owner === 'holder' ? 'stranger' : 'holder');

  function tell(token) {
    owner = token.name;
    const text = `The ${owner || 'wallet ' + token.owner} has the token now.`;
    if (says.textContent !== text) says.textContent = text; // said aloud only when it changes
    hand.textContent = `Hand the token to the ${other()}`;
    hand.disabled = false;
  }

  const lost = () => { says.textContent = 'The development chain cannot be reached.'; };

  async function look() {
    if (!hand.disabled || !owner) await call('dev_demoToken').then(tell, lost);
    setTimeout(look, 2000);
  }

  hand.addEventListener('click', async () => {
    hand.disabled = true;
    says.textContent = `Handing the token to the ${other()} …`;
    await call('dev_handOver', [other()]).then(tell, lost);
    hand.disabled = false;
  });

  look();
})();
