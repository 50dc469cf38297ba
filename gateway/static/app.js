// The page's only script. Without it everything can be read, searched, replayed and saved;
// it adds uploads, freshness, and words that follow the sound.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const token = $("meta[name=earwitness-token]").content;

function say(text) {
  $("#say").textContent = text;
}

// ---- Times in the reader's own zone and language ------------------------------------------

const toMinute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const toSecond = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const toDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const toClock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const today = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(0, "day");

function localTimes(root) {
  for (const time of $$("time[datetime]", root)) {
    time.textContent = localTime(new Date(time.dateTime), time.dataset);
  }
}

function localTime(at, wanted) {
  if ("day" in wanted) return toDay.format(at);
  if ("exact" in wanted) return toSecond.format(at);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? `${today}, ${toClock.format(at)}` : toMinute.format(at);
}

// ---- Freshness: the server says that something changed, we fetch the fragment -------------

// Put `fresh` in place of `old`, node by node, so that focus, scroll, open details and a
// running animation stay where nothing changed. Rows are matched by id.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const alike = old.nodeType === 1 && fresh.nodeType === 1 && old.tagName === fresh.tagName;
  if (!alike) return void old.replaceWith(fresh);
  morphAttributes(old, fresh);
  const byId = new Map([...old.children].filter((c) => c.id).map((c) => [c.id, c]));
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = child.id && byId.get(child.id);
    if (same) {
      if (same !== at) old.insertBefore(same, at);
      else at = at.nextSibling;
      morph(same, child);
    } else if (at && !at.id && !child.id && at.nodeName === child.nodeName) {
      const next = at.nextSibling;
      morph(at, child);
      at = next;
    } else {
      old.insertBefore(child, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    // A reader opened it; the server does not know.
    if (!fresh.hasAttribute(name) && !(old.tagName === "DETAILS" && name === "open")) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !(old.tagName === "DETAILS" && name === "open")) {
      old.setAttribute(name, value);
    }
  }
}

function announce(before) {
  for (const row of $$("#live [data-state]")) {
    const old = before.get(row.id);
    const news = old ? old !== row.dataset.state : before.size > 0;
    if (news) say(`${row.dataset.name}: ${row.dataset.word}`);
  }
}

let fetching = false;
let again = false;
let shownText = "";

async function refresh() {
  const live = $("#live");
  if (!live || settled()) return;
  if (fetching) return void (again = true);
  fetching = true;
  try {
    const answer = await fetch(live.dataset.fragment + location.search);
    const text = answer.ok ? await answer.text() : shownText;
    if (text !== shownText) show(live, (shownText = text));
  } catch {
    // The gateway is being restarted; its next event calls us again.
  } finally {
    fetching = false;
  }
  if (again) {
    again = false;
    setTimeout(refresh, 500);
  }
}

function show(live, text) {
  const before = new Map($$("[data-state]", live).map((row) => [row.id, row.dataset.state]));
  const focus = document.activeElement?.dataset?.key;
  const fresh = live.cloneNode(false);
  fresh.innerHTML = text;
  localTimes(fresh);
  morph(live, fresh);
  if (focus && !document.activeElement?.dataset?.key) $(`[data-key="${focus}"]`, live)?.focus();
  announce(before);
  openTranscript();
}

// A recording that is done changes no more; its words would be lost by replacing them.
function settled() {
  return $("#head")?.dataset.state === "done";
}

let events = null;

function listen() {
  if (document.hidden || events || !$("#live")) return;
  events = new EventSource("/v1/events");
  events.onmessage = refresh;
}

// Browsers open six connections to one host; tabs nobody looks at leave theirs to others.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return listen();
  events?.close();
  events = null;
});

// ---- Uploads ------------------------------------------------------------------------------

async function upload(file) {
  const line = uploadLine(file.name);
  try {
    const minted = await mint(file);
    await send(minted, file, (share) => line.progress(share));
    line.done(minted.recording_hint);
    say(`${file.name}: uploaded`);
  } catch (error) {
    line.failed(error.message);
    say(`${file.name}: ${error.message}`);
  }
}

function uploadLine(name) {
  const line = document.createElement("p");
  const [title, state, bar] = ["span", "span", "progress"].map((tag) => document.createElement(tag));
  line.className = "upload";
  title.textContent = name;
  state.className = "meta";
  state.textContent = "waiting";
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `Upload of ${name}`);
  line.append(title, state, bar);
  $("#uploads").hidden = false;
  $("#uploads").append(line);
  const close = () => {
    line.remove();
    $("#uploads").hidden = !$("#uploads").children.length;
  };
  return {
    progress(share) {
      bar.value = share;
      state.textContent = share < 1 ? `uploading, ${Math.floor(share * 100)} %` : "keeping it safe";
    },
    done(id) {
      state.textContent = "uploaded; it appears in the list";
      bar.remove();
      line.dataset.id = id;
      setTimeout(close, 6000);
    },
    failed(why) {
      line.classList.add("failed");
      state.textContent = why.replaceAll("`", "");
      const button = document.createElement("button");
      button.className = "link";
      button.textContent = "Dismiss";
      button.onclick = close;
      bar.replaceWith(button);
    },
  };
}

async function mint(file) {
  const answer = await fetch("/v1/uploads", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Earwitness-Token": token },
    body: JSON.stringify({
      name: file.name || "recording",
      size: file.size,
      content_type: file.type || "application/octet-stream",
      tenant: $("#files").dataset.tenant,
    }),
  });
  const told = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(told?.error?.message ?? "The upload was refused.");
  return told;
}

// fetch() tells nothing about how far an upload is; XMLHttpRequest does.
function send(minted, file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(minted.method, minted.url);
    for (const [name, value] of Object.entries(minted.headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (e) => progress(e.total ? e.loaded / e.total : 1);
    request.onerror = () => reject(new Error("The connection broke off. Try again."));
    request.onload = () => {
      if (request.status < 300) return resolve();
      let told = null;
      try {
        told = JSON.parse(request.responseText);
      } catch {
        // Not from us; the sentence below must do.
      }
      reject(new Error(told?.error?.message ?? "The upload was refused."));
    };
    request.send(file);
  });
}

// One after another: a thousand files dropped at once are a thousand lines, not connections.
let queue = Promise.resolve();

function uploadAll(files) {
  for (const file of files) queue = queue.then(() => upload(file));
}

function acceptFiles() {
  const input = $("#files");
  input.addEventListener("change", () => {
    uploadAll([...input.files]);
    input.value = "";
  });
  const drop = $("#drop");
  const carriesFiles = (e) => [...(e.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragover", (e) => {
    if (!carriesFiles(e)) return;
    e.preventDefault();
    drop.hidden = false;
  });
  addEventListener("dragleave", (e) => {
    if (!e.relatedTarget) drop.hidden = true;
  });
  addEventListener("drop", (e) => {
    drop.hidden = true;
    if (!carriesFiles(e)) return;
    e.preventDefault();
    uploadAll([...e.dataTransfer.files]);
  });
}

// ---- One recording: words that follow the sound -------------------------------------------

const player = $("#player");
// All words in order of time: {s, e, li, i}; `i` counts inside the passage.
let words = [];
let passages = [];
let opened = false;
let current = null;
let currentLi = null;

function seek(seconds, play) {
  if (!player) return;
  player.currentTime = seconds;
  follow(seconds, true);
  // A browser may refuse to play before the first gesture; the place is right all the same.
  if (play) player.play().catch(() => {});
}

async function openTranscript() {
  const section = $("#transcript");
  if (!section || opened) return;
  opened = true;
  const items = $$("li[data-n]", section);
  if (items.length) {
    const answer = await fetch(section.dataset.words);
    if (!answer.ok) return;
    const transcript = await answer.json();
    passages = (transcript?.segments ?? []).map((segment) => segment.words);
    words = passages.flatMap((list, n) => list.map((w, i) => ({ s: w.start_s, e: w.end_s, li: items[n], i })));
    words.sort((a, b) => a.s - b.s);
    // Passages get their words when they come into sight: three hours are 30,000 words.
    const seen = new IntersectionObserver(
      (entries) => entries.filter((e) => e.isIntersecting).forEach((e) => { fill(e.target); seen.unobserve(e.target); }),
      { rootMargin: "600px" },
    );
    items.forEach((li) => seen.observe(li));
    roam(section, items);
    $("#unsure").hidden = !passages.flat().some(unsure);
    section.dataset.ready = "";
  }
  fromHash();
}

// Share below which a word is marked. Raw scores of an engine: a hint, not a probability.
const UNSURE_BELOW = 0.4;

function unsure(word) {
  return word.confidence !== null && word.confidence < UNSURE_BELOW;
}

function fill(li) {
  if (!li || "filled" in li.dataset) return;
  li.dataset.filled = "";
  const list = passages[Number(li.dataset.n)] ?? [];
  if (!list.length) return;
  const parts = list.flatMap((word) => {
    const span = document.createElement("span");
    span.className = unsure(word) ? "w unsure" : "w";
    span.textContent = word.text;
    span.dataset.t = word.start_s;
    span.tabIndex = -1;
    span.setAttribute("role", "button");
    return [span, " "];
  });
  $("p", li).replaceChildren(...parts);
}

// Where arrow keys stop inside a passage.
const STOPS = "[data-t], .correct";

// The whole transcript is one stop of the Tab key; inside it, arrow keys.
function roam(section, items) {
  $$(".at", section).forEach((at, n) => (at.tabIndex = n ? -1 : 0));
  $$(".correct", section).forEach((link) => (link.tabIndex = -1));
  section.addEventListener("keydown", (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    const jump = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    const target = e.target.closest(STOPS);
    if (!target) return;
    const plays = "t" in target.dataset;
    if (plays && (e.key === "Enter" || e.key === " ")) go(e, target);
    else if (step) stop(e, neighbour(items, target, step));
    else if (jump) stop(e, $(".at", items[Number(target.closest("li").dataset.n) + jump] ?? target.closest("li")));
  });
}

function go(e, target) {
  e.preventDefault();
  seek(Number(target.dataset.t), true);
}

function stop(e, target) {
  e.preventDefault();
  if (!target) return;
  $$('#transcript [tabindex="0"]').forEach((old) => (old.tabIndex = -1));
  target.tabIndex = 0;
  target.focus();
}

function neighbour(items, target, step) {
  const li = target.closest("li");
  const stops = $$(STOPS, li);
  const next = stops[stops.indexOf(target) + step];
  if (next) return next;
  const other = items[Number(li.dataset.n) + step];
  fill(other);
  return other && $$(STOPS, other).at(step > 0 ? 0 : -1);
}

// The word being said: the last one that has begun, until a second after its end.
function wordAt(seconds) {
  let low = 0;
  let high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].s <= seconds + 0.02) low = middle + 1;
    else high = middle;
  }
  const word = words[low - 1];
  return word && seconds < word.e + 1 ? word : null;
}

function follow(seconds, jumped) {
  moveHeads(seconds);
  const word = wordAt(seconds);
  if (word) fill(word.li);
  const span = word && $$(".w", word.li)[word.i];
  if (span === current) return;
  current?.removeAttribute("aria-current");
  current = span;
  current?.setAttribute("aria-current", "true");
  const li = word?.li ?? null;
  if (li === currentLi && !jumped) return;
  currentLi?.classList.remove("now");
  currentLi = li;
  li?.classList.add("now");
  if (li && $("#follow")?.checked) {
    li.scrollIntoView({ block: "nearest", behavior: jumped ? "instant" : "auto" });
  }
}

function moveHeads(seconds) {
  const length = Number($("#sounds")?.dataset.length) || player?.duration;
  if (!length) return;
  for (const head of $$("#sounds .head")) {
    const x = Math.min(1, seconds / length) * 54000;
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
  }
}

function fromHash() {
  const match = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (match) seek(Number(match[1]), false);
}

function openPlayer() {
  if (!player) return;
  const tick = () => {
    follow(player.currentTime, false);
    if (!player.paused) requestAnimationFrame(tick);
  };
  player.addEventListener("play", tick);
  player.addEventListener("seeked", () => follow(player.currentTime, true));
  player.addEventListener("error", () => ($("#unplayable").hidden = false));
  // Before the length is known a browser may forget where it was told to begin.
  player.addEventListener("loadedmetadata", fromHash, { once: true });
  addEventListener("hashchange", fromHash);
  document.addEventListener("click", (e) => {
    const line = e.target.closest(".line");
    const target = e.target.closest("#transcript [data-t], #sounds a[data-t]");
    if (target) return go(e, target);
    if (line && player.duration) {
      const box = line.getBoundingClientRect();
      seek(((e.clientX - box.left) / box.width) * player.duration, true);
    }
  });
}

// ---- Corrections: the form opens in place; without this script the server puts it there ------

function correct(link) {
  closeCorrection();
  const li = link.closest("li");
  const said = $("p", li);
  const form = $("#correction").content.firstElementChild.cloneNode(true);
  form.elements.start_s.value = li.dataset.s;
  form.elements.end_s.value = li.dataset.e;
  form.elements.channel.value = li.dataset.c;
  form.elements.text.value = said.classList.contains("nothing") ? "" : said.textContent.trim();
  li.append(form);
  form.elements.text.focus();
}

function closeCorrection() {
  const form = $("#correcting");
  if (!form) return;
  const link = $(".correct", form.closest("li"));
  form.remove();
  link.focus();
}

function acceptCorrections() {
  document.addEventListener("click", (e) => {
    const link = e.target.closest(".correct");
    const cancel = e.target.closest(".correcting .cancel");
    if (!link && !cancel) return;
    e.preventDefault();
    if (link) correct(link);
    else closeCorrection();
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && e.target.closest(".correcting")) closeCorrection();
  });
}

// ---- Begin --------------------------------------------------------------------------------

for (const select of $$("[data-submits]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
localTimes(document);
acceptFiles();
openPlayer();
acceptCorrections();
openTranscript();
listen();
