// Passkeys: makes one on a person's own page, and signs in with one. The node
// is asked for a challenge, the browser answers, and the form brings the answer.
(() => {
  "use strict";

  const known = window.PublicKeyCredential && PublicKeyCredential.parseCreationOptionsFromJSON && PublicKeyCredential.parseRequestOptionsFromJSON;
  for (const form of document.querySelectorAll("form[data-passkey]")) prepare(form);

  function prepare(form) {
    const note = form.querySelector(".note");
    const say = (text) => { note.textContent = text; note.hidden = !text; };
    form.hidden = false;
    if (!known) return off("This browser cannot use passkeys here.");
    if (location.origin !== form.dataset.origin) return off(`Passkeys work at ${form.dataset.origin} only: open the console there.`);
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      say("");
      form.querySelector("button").disabled = true;
      const wrong = await answer(form);
      form.querySelector("button").disabled = false;
      if (wrong) say(wrong);
      else form.submit();
    });

    function off(why) {
      form.querySelector("button").disabled = true;
      say(why);
    }
  }

  // answer fills the form in; it returns what is wrong.
  async function answer(form) {
    try {
      const asked = await fetch(form.dataset.passkey, { method: "POST", cache: "no-store" });
      if (!asked.ok) return (await asked.json().catch(() => ({}))).detail || `The node answered with status ${asked.status}. Try again in a while.`;
      const { ticket, options } = await asked.json();
      const made = form.dataset.make
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      form.elements.ticket.value = ticket;
      form.elements.answer.value = JSON.stringify(made.toJSON());
      return "";
    } catch (err) {
      if (err.name === "InvalidStateError") return "This device has a passkey for you already.";
      if (err.name === "NotAllowedError") return "The browser has no passkey for this, or you did not confirm it. Try again, or use your password.";
      return "The passkey could not be used: " + err.message;
    }
  }
})();
