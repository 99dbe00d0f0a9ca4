// Wallets of this browser sign a person in to the console, or become theirs: the
// node is asked what to sign, the wallet signs it, and the form brings that.
(() => {
  'use strict';

  const form = document.querySelector('form[data-wallet]');
  if (!form) return;
  const $ = (name) => form.querySelector(name);
  const { item } = StreamGate;

  function say(text) {
    $('.note').textContent = text;
    $('.note').hidden = !text;
  }

  function button(wallet) {
    const made = Object.assign(item('button', wallet.name), { type: 'button' });
    if (wallet.icon) made.prepend(Object.assign(new Image(20, 20), { src: wallet.icon, alt: '' }));
    made.addEventListener('click', () => use(wallet));
    return item('li', made);
  }

  let busy = false;
  async function use(wallet) {
    if (busy) return;
    busy = true;
    say('');
    const { message, signature, wrong } = await StreamGate.wallet.prove(wallet, form.dataset.wallet, (text) => { $('.step').textContent = text; });
    $('.step').textContent = '';
    busy = false;
    if (wrong) {
      say(wrong);
      return;
    }
    form.elements.message.value = message;
    form.elements.signature.value = signature;
    form.submit();
  }

  form.hidden = false;
  StreamGate.wallet.find((found, settled) => {
    $('.wallets').replaceChildren(...found.map(button));
    $('.none').hidden = !settled || found.length > 0;
  });
})();
