// Keys, the heat map and the enlarged view. Everything else is plain forms and links, and works without this file.
"use strict";

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Heat map: fetched when first asked for, laid exactly over the photograph.
const photo = one(".photo");
const heat = one(".heat");
const toggle = one("[data-heat]");

function layHeat() {
  const shown = one("img", photo), frame = photo.getBoundingClientRect();
  if (!shown.naturalWidth) return;
  const scale = Math.min(frame.width / shown.naturalWidth, frame.height / shown.naturalHeight);
  heat.style.width = `${shown.naturalWidth * scale}px`;
  heat.style.height = `${shown.naturalHeight * scale}px`;
  heat.style.objectFit = "fill";
}

function switchHeat() {
  if (!heat) return;
  if (!heat.src) {
    toggle.setAttribute("aria-busy", "true");
    heat.src = heat.dataset.src;
  }
  heat.hidden = !heat.hidden;
  toggle.setAttribute("aria-pressed", String(!heat.hidden));
  one("[data-heat-note]").hidden = heat.hidden;
  layHeat();
}

function saysOfHeat(state) {
  toggle.removeAttribute("aria-busy");
  const note = one("[data-heat-note]");
  note.textContent = note.dataset[state];
}

if (heat) {
  toggle.addEventListener("click", switchHeat);
  heat.addEventListener("load", () => saysOfHeat("loaded"));
  heat.addEventListener("error", () => saysOfHeat("failed"));
  addEventListener("resize", layHeat);
}

// Enlarged view: the photograph, and beside it a reference under the same zoom.
const compare = one("#compare");
const links = all("[data-large]");
const view = { scale: 1, x: 0, y: 0, link: 0 };

function draw() {
  for (const image of all(".pane img", compare))
    image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
}

// About a point that stays where it is, in pixels from the middle of a pane; factor 0 fits.
function zoom(factor, x = 0, y = 0) {
  const scale = factor ? Math.min(16, Math.max(1, view.scale * factor)) : 1;
  const share = scale / view.scale;
  view.x = scale === 1 ? 0 : x - (x - view.x) * share;
  view.y = scale === 1 ? 0 : y - (y - view.y) * share;
  view.scale = scale;
  draw();
}

function move(x, y) {
  if (view.scale === 1) return;
  view.x += x;
  view.y += y;
  draw();
}

// The photograph, and beside it what the link shows.
function show(number) {
  view.link = number;
  const figures = all("figure", compare);
  [photo, links[number]].forEach((source, i) => {
    figures[i].hidden = i === 1 && source === photo;
    const image = one("img", figures[i]);
    image.src = source.dataset.large;
    image.alt = one("figcaption", figures[i]).textContent = source.dataset.caption;
  });
}

function nextReference() {
  if (links.length > 1) show((view.link % (links.length - 1)) + 1);
}

// One finger or the mouse moves, two fingers pinch, the wheel zooms where it points.
function handle(pane) {
  const fingers = new Map();
  const middle = (points) => {
    const box = pane.getBoundingClientRect();
    const mean = (key) => points.reduce((sum, point) => sum + point[key], 0) / points.length;
    return [mean("clientX") - box.x - box.width / 2, mean("clientY") - box.y - box.height / 2];
  };
  const apart = ([a, b]) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  pane.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...middle([event]));
  }, { passive: false });
  pane.addEventListener("dblclick", (event) => zoom(view.scale > 1 ? 0 : 3, ...middle([event])));
  pane.addEventListener("pointerdown", (event) => {
    pane.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"])
    pane.addEventListener(end, (event) => fingers.delete(event.pointerId));
  pane.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = [...fingers.values()];
    fingers.set(event.pointerId, event);
    const after = [...fingers.values()];
    if (after.length === 2) zoom(apart(after) / (apart(before) || 1), ...middle(before));
    const [from, to] = [middle(before), middle(after)];
    move(to[0] - from[0], to[1] - from[1]);
  });
}

if (compare) {
  links.forEach((link, number) =>
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      show(number);
      zoom(0);
      compare.showModal();
    }));
  for (const button of all("[data-zoom]", compare))
    button.addEventListener("click", () => zoom({ in: 1.5, out: 1 / 1.5, fit: 0 }[button.dataset.zoom]));
  one("[data-step]", compare).addEventListener("click", nextReference);
  all(".pane", compare).forEach(handle);
}

const MOVES = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

function keyInCompare(event) {
  const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, "0": 0 }[event.key];
  if (factor !== undefined) zoom(factor);
  else if (event.key in MOVES && view.scale > 1) move(...MOVES[event.key]);
  else if (event.key.toLowerCase() === "n") nextReference();
  else return;
  event.preventDefault();
}

// Decisions: a key presses the button of its name, once.
const help = one("#help");
const reasons = one(".reasons");
const note = one(".decide textarea");
let sent = false;

for (const any of all("form[method=post]"))
  any.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
addEventListener("pageshow", () => { sent = false; });

function toggleReasons() {
  reasons.open = !reasons.open;
  if (reasons.open) one("fieldset button", reasons).focus();
}

function keyOnPage(event) {
  const key = event.key.toLowerCase();
  if (key === "?") help?.showModal();
  else if (key === "h") switchHeat();
  else if (key === "f" && reasons) toggleReasons();
  else if (key === "escape" && reasons?.open) { reasons.open = false; one("summary", reasons).focus(); }
  else if (reasons?.open && /^[1-9]$/.test(key)) one(`[data-reason="${key}"]`, reasons)?.click();
  else if (/^[gusz]$/.test(key)) one(`[data-key="${key}"]`)?.click();
  else return;
  event.preventDefault();
}

// "Other" needs a note: where there is none it is asked for, and Enter then sends both.
const other = one('[value="counterfeit/other"]');
const asked = note?.placeholder;

other?.addEventListener("click", (event) => {
  if (note.value.trim()) return;
  event.preventDefault();
  reasons.open = false;
  note.placeholder = "What is counterfeit about it? Enter sends";
  note.enterKeyHint = "send";
  note.focus();
});
note?.addEventListener("blur", () => {
  note.placeholder = asked;
  note.enterKeyHint = "";
});
note?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || note.enterKeyHint !== "send") return;
  event.preventDefault();
  if (note.value.trim()) other.click();
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("textarea, input")) {
    if (event.key === "Escape") event.target.blur();
  } else if (compare?.open) keyInCompare(event);
  else if (!help?.open) keyOnPage(event);
});
one("[data-help]")?.addEventListener("click", () => help.showModal());
