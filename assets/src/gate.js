// The gate of a video that a rule guards: it asks for a session, shows what is
// in the way, and once admitted puts the player in its own place. The address
// never carries the ticket.
(() => {
  'use strict';

  const gate = document.querySelector('.gate');
  const stage = document.querySelector('.stage');
  const $ = (name) => gate.querySelector(name);
  const id = gate.dataset.video;
  const walletKinds = ['erc721', 'erc1155', 'erc20', 'native', 'wallets'];
  const proofs = ['password', 'ticket_code'];
  const maxVaults = 4;

  // The nodes of a rule that bring no words of their own.
  const words = {
    all: 'All of these', any: 'Any of these', not: 'Not this', rule: 'A shared rule', public: 'Everybody',
    wallets: 'A wallet on the list', password: 'The password', ticket_code: 'A ticket code', time_window: 'The right time',
  };
  const results = { pass: 'yes', fail: 'no', unknown: 'not known' };

  let attempt = 0; // what an earlier one brings is of no interest any more
  let entered = {}; // password and code, until admitted
  let acted = false; // whether the viewer did something: then playback begins by itself
  let at = 0; // where playback begins, seconds
  let playing = null;

  /* The ticket of this tab's last session, to resume it after a reload. */

  const key = `streamgate:${id}`;
  let last = load();

  function load() {
    try {
      return JSON.parse(sessionStorage.getItem(key)) || {};
    } catch {
      return {};
    }
  }

  function save(now) {
    last = now;
    try {
      sessionStorage.setItem(key, JSON.stringify(now));
    } catch { /* without storage a reload begins anew */ }
  }

  const remember = (session) => save({ ...last, token: session.token });

  /* Asking */

  function ask() {
    const body = { ...entered };
    if (last.token) body.resume = last.token;
    if (last.vaults && last.vaults.length) body.vaults = last.vaults;
    return StreamGate.post(`/api/v1/videos/${id}/sessions`, body);
  }

  async function enter() {
    const mine = ++attempt;
    busy('Asking whether you may watch …');
    let answer = await ask();
    if (mine !== attempt) return;
    // A ticket that is of no use here is forgotten: the viewer may still be admitted.
    if (answer.problem && !answer.problem.decision && last.token && answer.status >= 400 && answer.status < 429) {
      save({ vaults: last.vaults });
      answer = await ask();
      if (mine !== attempt) return;
    }
    if (answer.problem) refuse(answer.problem);
    else await watch(answer, mine);
  }

  async function watch(answer, mine) {
    if (askedBy && !askedBy.closed) {
      handOver(answer);
      return;
    }
    remember(answer.body);
    signedIn = answer.body.wallet;
    entered = {};
    const page = await StreamGate.page(`${StreamGate.root}/s/${answer.body.token}/`);
    if (mine !== attempt) return;
    const main = page.document && page.document.querySelector('main');
    if (main && main.querySelector('.player')) {
      play(answer, main);
      return;
    }
    const said = main && main.querySelector('.notice p');
    busy(said ? said.textContent : 'The video cannot be shown just now.', Boolean(page.again));
    if (page.again) setTimeout(() => mine === attempt && enter(), 1500);
    else show('.again', true);
  }

  function play(answer, main) {
    step(3, 3);
    stage.replaceChildren(...[...main.children].filter((part) => !part.matches('.brand, script')));
    gate.hidden = true;
    stage.hidden = false;
    if (acted) stage.querySelector('.player').focus();
    playing = StreamGate.play(stage, {
      session: answer.body, now: answer.now, vaults: last.vaults, moved: remember, begin: acted, at, again,
    });
  }

  // again goes back to the gate and asks once more.
  function again(position) {
    playing.stop();
    playing = null;
    stage.replaceChildren();
    stage.hidden = true;
    gate.hidden = false;
    at = position;
    acted = true;
    enter();
  }

  window.addEventListener('pagehide', () => playing && StreamGate.leave(last.token));
  window.addEventListener('pageshow', (e) => e.persisted && playing && playing.resume()); // it was left

  /* In a frame of another site the browser keeps no cookie of ours, and most
     wallets do not show themselves: there a window of our own origin passes the
     gate, and hands its session over to the frame. */

  const forFrame = new URLSearchParams(location.search).get('for') === 'frame';
  const askedBy = forFrame ? window.opener : null;
  let helper = null; // the window that this frame has opened

  function handOver(answer) {
    const { body: session, now } = answer;
    askedBy.postMessage({ streamgate: id, session, now, vaults: last.vaults }, location.origin); // to no other site's page
    busy('You may watch. The video plays in the page that you came from; this window may be closed.', false);
    window.close();
  }

  $('.window').addEventListener('click', () => {
    acted = true;
    helper = window.open(`${gate.dataset.watch}?for=frame`, 'streamgate-gate', 'popup,width=520,height=760');
    busy(helper ? 'Go on in the window that has opened.' : 'The browser has blocked the window. Allow it, and try again.', false);
    show('.window', true);
  });

  window.addEventListener('message', ({ origin, source, data }) => {
    if (origin !== location.origin || !helper || source !== helper || !data || data.streamgate !== id) return;
    helper = null;
    save({ vaults: data.vaults });
    watch({ body: data.session, now: data.now }, ++attempt);
  });

  /* Who buys what is asked for, or waits for a time or a place, is let in
     without doing anything. */

  const soon = 3000; // ms, between two questions
  const later = 15000; // ms, after a while; and with a password, whose tries are counted
  const patience = 120000; // ms, after which a while is over
  let refusal = null; // what was said last, if it is the gate's turn
  let acting = Date.now(); // when the viewer was here last, ms
  let timer;

  // passes tells whether a refusal may pass without the viewer's doing.
  const passes = (problem) => {
    const { decision } = problem;
    if (!decision) return ![404, 409, 410].includes(problem.status);
    const open = leaves(decision.tree).filter((leaf) => leaf.result !== 'pass');
    return Boolean(decision.wallet) || open.some((leaf) => ![...walletKinds, ...proofs].includes(leaf.kind));
  };

  function waitFor(problem) {
    clearTimeout(timer);
    refusal = problem;
    const waits = passes(problem);
    show('.waits', waits);
    const slowly = !problem.decision || Object.keys(entered).length > 0 || Date.now() - acting > patience;
    if (waits) timer = setTimeout(askAgain, slowly ? later : soon);
  }

  const gist = ({ status, detail, decision }) => JSON.stringify([status, detail, decision && [
    decision.wallet, decision.sentence, leaves(decision.tree).map((leaf) => [leaf.kind, leaf.result]),
  ]]);

  // askAgain asks without a word; what the viewer does meanwhile counts more.
  async function askAgain() {
    clearTimeout(timer);
    if (document.hidden || !refusal) return; // until somebody looks
    const mine = attempt;
    const before = refusal;
    const answer = await ask();
    if (mine !== attempt || refusal !== before) {
      if (!answer.problem) StreamGate.leave(answer.body.token);
    } else if (!answer.problem) {
      await watch(answer, ++attempt);
    } else if (answer.problem.decision && gist(answer.problem) !== gist(before)) {
      refuse(answer.problem);
    } else {
      if (answer.problem.decision) unfold(answer.problem.decision.tree);
      waitFor(before);
    }
  }

  // Whoever comes back to the page may have bought, or signed in elsewhere.
  document.addEventListener('visibilitychange', () => {
    acting = Date.now();
    askAgain();
  });

  /* A wallet that goes over to another account */

  const followed = new WeakSet(); // providers
  let signedIn = ''; // address
  let turned = null; // the wallet, and the account that it has gone over to

  function follow(wallet) {
    if (followed.has(wallet.provider)) return;
    followed.add(wallet.provider);
    StreamGate.wallet.follow(wallet, (account) => {
      turned = { wallet, account };
      if (refusal) offer();
    });
  }

  function offer() {
    const other = Boolean(turned && signedIn) && turned.account !== signedIn;
    $('.changed code').textContent = other ? turned.account : '';
    show('.changed', other);
  }

  $('.changed button').addEventListener('click', () => signOut(() => use(turned.wallet)));

  /* Showing */

  const { readable, item } = StreamGate;
  const show = (name, shown) => { $(name).hidden = !shown; };

  function busy(text, waiting = true) {
    gate.setAttribute('aria-busy', waiting);
    gate.classList.remove('wrong');
    $('.why').replaceChildren(...readable(text));
    clearTimeout(timer);
    refusal = null;
    acting = Date.now();
    for (const name of ['.again', '.waits', '.window', '.changed']) show(name, false);
  }

  // step marks where one is on the way: what is before now is done.
  function step(now, done = now - 1) {
    [...$('.steps').children].forEach((item, i) => {
      item.className = i < done ? 'done' : '';
      if (i + 1 === now) item.setAttribute('aria-current', 'step');
      else item.removeAttribute('aria-current');
    });
  }

  // refuse shows a problem, and what can be done about it.
  function refuse(problem) {
    const decision = problem.decision || {};
    const open = leaves(decision.tree).filter((leaf) => leaf.result !== 'pass');
    const asks = (kinds) => open.some((leaf) => kinds.includes(leaf.kind));
    const wallet = decision.wallet || '';
    busy(decision.sentence || problem.detail, false);
    const refused = Boolean(wallet) && asks(walletKinds);
    gate.classList.toggle('refused', refused);
    gate.classList.toggle('wrong', refused || open.some((leaf) => proofs.includes(leaf.kind) && leaf.result === 'fail'));
    for (const [kind, name] of [['password', 'password'], ['ticket_code', 'code']]) {
      show(`.${name}`, asks([kind]));
      const wrong = open.some((leaf) => leaf.kind === kind && leaf.result === 'fail');
      $(`.${name} input`).setAttribute('aria-invalid', wrong);
      if (wrong) delete entered[name];
    }
    show('.steps', asks(walletKinds));
    step(wallet ? 3 : 1);
    show('.wallets', asks(walletKinds) && !wallet);
    show('.who', Boolean(wallet));
    show('.other', Boolean(wallet));
    show('.window', StreamGate.framed && asks(walletKinds) && !wallet);
    $('.who code').textContent = wallet;
    signedIn = wallet;
    show('.vaults', asks(walletKinds) && Boolean(wallet));
    list(decision.admits || []);
    show('.tree', Boolean(wallet));
    unfold(decision.tree);
    show('.again', Boolean(wallet) || !asks([...walletKinds, ...proofs]));
    offer();
    refocus();
    waitFor(problem);
  }

  const unfold = (tree) => $('.tree ul').replaceChildren(...(tree ? [explain(tree)] : []));

  // refocus leads the keyboard on from what is no longer there.
  function refocus() {
    if (!acted || gate.contains(document.activeElement) && document.activeElement.offsetParent) return;
    const next = [...gate.querySelectorAll('input[aria-invalid=true], .other, .again, .wallets button, input')];
    const first = next.find((one) => one.offsetParent);
    if (first) first.focus();
  }

  function list(admits) {
    show('.ways', admits.length > 0);
    $('.ways ul').replaceChildren(...admits.map((text) => item('li', ...readable(text))));
  }

  function leaves(tree) {
    if (!tree) return [];
    return tree.parts && tree.parts.length ? tree.parts.flatMap(leaves) : [tree];
  }

  // explain is one node of the rule, with its parts below it.
  function explain(node) {
    const row = item('li', item('span', words[node.kind] || upper(node.wants || node.kind)), item('b', results[node.result]));
    row.className = node.result;
    const facts = [];
    if (node.have) facts.push(`the wallet has ${node.have}`);
    if (node.block) facts.push(`block ${node.block}, read ${age(node.age_seconds || 0)} ago`);
    if (node.problem) facts.push(node.problem);
    if (node.grace) facts.push('from before the chain became unreachable');
    if (facts.length) row.append(item('small', upper(facts.join(' · '))));
    if (node.parts && node.parts.length) row.append(item('ul', ...node.parts.map(explain)));
    return row;
  }

  const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);
  const age = (s) => (s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`);

  /* Wallets */

  StreamGate.wallet.find((found, settled) => {
    found.forEach(follow);
    $('.wallets ul').replaceChildren(...found.map(walletButton));
    show('.no-wallet', settled && !found.length && !StreamGate.framed);
  });

  function walletButton(wallet) {
    const button = item('button', wallet.name);
    button.type = 'button';
    if (wallet.icon) button.prepend(Object.assign(new Image(28, 28), { src: wallet.icon, alt: '' }));
    button.addEventListener('click', () => use(wallet));
    return item('li', button);
  }

  async function use(wallet) {
    const mine = ++attempt;
    acted = true;
    step(2);
    const wrong = await StreamGate.wallet.signIn(wallet, (text) => mine === attempt && busy(text));
    if (mine !== attempt) return;
    if (!wrong) {
      await enter();
      return;
    }
    step(1);
    busy(wrong, false);
    show('.wallets', true);
    show('.window', StreamGate.framed);
  }

  async function signOut(then) {
    const mine = ++attempt;
    acted = true;
    save({});
    busy('Signing out …');
    const answer = await StreamGate.post('/api/v1/auth/sign-out', {});
    if (mine !== attempt) return;
    StreamGate.bearer = '';
    if (answer.problem) refuse(answer.problem);
    else await then();
  }

  $('.other').addEventListener('click', () => signOut(enter));

  /* What is entered */

  function submit(name, act) {
    $(name).addEventListener('submit', (e) => {
      e.preventDefault();
      acted = true;
      act($(`${name} input`));
    });
  }

  submit('.password', (input) => { entered.password = input.value; enter(); });
  submit('.code', (input) => { entered.code = input.value.trim(); enter(); });
  submit('.vaults form', (input) => {
    const vaults = input.value.split(/[\s,;]+/).filter(Boolean);
    const wrong = vaults.length > maxVaults || !vaults.every(StreamGate.wallet.isAddress);
    input.setAttribute('aria-invalid', wrong);
    $('.vaults .hint').textContent = wrong ? `Enter one to ${maxVaults} addresses: 0x and 40 hex digits.` : '';
    if (wrong) return;
    save({ ...last, vaults });
    enter();
  });
  $('.again').addEventListener('click', () => { acted = true; enter(); });

  enter();
})();
