// What the console's pages do beyond plain HTML: keys, local times, the live
// dot, copying, and uploads that go on after a reload. All of it is optional.
(() => {
  "use strict";

  const $ = (selector, root = document) => root.querySelector(selector);

  // Times in the reader's own zone.
  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  function times(root) {
    for (const t of root.querySelectorAll("time[datetime]")) {
      t.title = local.format(new Date(t.dateTime));
    }
  }
  times(document);
  document.addEventListener("htmx:after:swap", () => times(document));

  // The dot says whether the page hears hints; after a pause it reads anew.
  let heard = false;
  function live(on) {
    const state = $(".live-state");
    if (!state) return;
    state.classList.toggle("on", on);
    state.classList.toggle("off", !on);
    const word = on ? "live" : "not live: connecting again";
    if ($(".word", state).textContent !== word) $(".word", state).textContent = word;
  }
  document.addEventListener("open", () => {
    if (heard) for (const name of ["queue", "videos", "access", "alerts", "webhooks"]) document.body.dispatchEvent(new CustomEvent(name));
    heard = true;
    live(true);
  });
  for (const name of ["htmx:sse:error", "htmx:sse:close"]) document.addEventListener(name, () => live(false));
  document.addEventListener("htmx:after:swap", () => { if (heard) live(true); });

  // Keys: / finds, g and a letter goes, j k move through a table, x ticks.
  const home = $("a.brand")?.getAttribute("href");
  const places = { o: home, v: home + "videos", q: home + "queue", w: home + "workers", a: home + "access",
    m: home + "metrics", l: home + "alerts", n: home + "nodes" };
  let going = false;
  document.addEventListener("keydown", (e) => {
    if (e.target.closest("input, select, textarea, [contenteditable]") || e.ctrlKey || e.metaKey || e.altKey) return;
    if (going && places[e.key]) location.assign(places[e.key]);
    going = e.key === "g";
    if (e.key === "/") {
      e.preventDefault();
      $("#find").focus();
    }
    if (e.key === "j" || e.key === "k") move(e.key === "j" ? 1 : -1);
    if (e.key === "x") $("input[type=checkbox]", document.activeElement.closest("tr") || document)?.click();
  });
  function move(step) {
    const links = [...document.querySelectorAll("td.name a")];
    const at = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, at + step))]?.focus();
  }

  // What is shown short is copied whole.
  document.addEventListener("copy", (e) => {
    const node = document.getSelection().anchorNode;
    const whole = node?.parentElement?.closest("[data-copy]")?.dataset.copy;
    if (!whole) return;
    e.clipboardData.setData("text/plain", whole);
    e.preventDefault();
  });

  // Uploads
  const box = $("#upload");
  if (box) loadTus();
  function loadTus() {
    const form = $("form", box);
    const list = $(".transfers", box);
    box.classList.add("ready-to-drop");
    $("#file", form).multiple = true;
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      send([...$("#file", form).files], $("#title", form).value, $("[name=public]", form).checked);
      form.reset();
    });
    for (const name of ["dragover", "dragleave", "drop"]) {
      box.addEventListener(name, (e) => {
        e.preventDefault();
        box.classList.toggle("over", name === "dragover");
        if (name === "drop") send([...e.dataTransfer.files], "", $("[name=public]", form).checked);
      });
    }
    function send(files, title, isPublic) {
      for (const file of files) start(file, files.length === 1 && title ? title : file.name.replace(/\.[^.]+$/, ""), isPublic);
    }
    function start(file, title, isPublic) {
      const row = document.createElement("li");
      const name = document.createElement("span");
      const bar = document.createElement("span");
      const meter = document.createElement("progress");
      const share = document.createElement("span");
      const pause = document.createElement("button");
      name.textContent = title;
      bar.className = "bar";
      share.className = "num";
      meter.max = 100;
      meter.value = 0;
      meter.setAttribute("aria-label", "Upload of " + title);
      pause.type = "button";
      pause.className = "small";
      pause.textContent = "Pause";
      bar.append(meter, share);
      row.append(name, bar, pause);
      list.append(row);
      const metadata = { title, filename: file.name };
      if (isPublic) metadata.public = "true";
      const upload = new tus.Upload(file, {
        endpoint: box.dataset.endpoint,
        metadata,
        chunkSize: 32 * 1024 * 1024,
        retryDelays: [0, 1000, 3000, 8000, 15000],
        removeFingerprintOnSuccess: true,
        onProgress(sent, all) {
          const percent = all ? Math.floor(100 * sent / all) : 0;
          meter.value = percent;
          share.textContent = percent + " %";
        },
        onSuccess() {
          meter.value = 100;
          share.textContent = "arrived";
          pause.remove();
          document.body.dispatchEvent(new CustomEvent("videos"));
        },
        onError(err) {
          share.textContent = reason(err);
          pause.textContent = "Try again";
          running = false;
        },
      });
      let running = true;
      pause.addEventListener("click", () => {
        running = !running;
        pause.textContent = running ? "Pause" : "Go on";
        if (running) upload.start();
        else upload.abort();
      });
      // The same file, chosen again after a reload, goes on where it was.
      upload.findPreviousUploads().then((before) => {
        if (before.length) upload.resumeFromPreviousUpload(before[0]);
        upload.start();
      });
    }
    function reason(err) {
      try {
        return JSON.parse(err.originalResponse.getBody()).detail;
      } catch {
        return err.originalResponse ? "refused: " + err.originalResponse.getStatus() : "the connection broke";
      }
    }
  }
})();
