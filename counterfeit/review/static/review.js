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
const view = { scale: 1, x: 0, y: 0 };

function draw() {
  for (const image of all(".pane img", compare))
    image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
}

function zoom(factor) {
  const scale = factor ? Math.min(16, Math.max(1, view.scale * factor)) : 1;
  const share = scale === 1 ? 0 : scale / view.scale;
  view.x *= share;
  view.y *= share;
  view.scale = scale;
  draw();
}

function enlarge(link) {
  const figures = all("figure", compare);
  [photo, link].forEach((source, i) => {
    figures[i].hidden = i === 1 && source === photo;
    const image = one("img", figures[i]);
    image.src = source.dataset.large;
    image.alt = one("figcaption", figures[i]).textContent = source.dataset.caption;
  });
  zoom(0);
  compare.showModal();
}

if (compare) {
  for (const link of all("[data-large]"))
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      enlarge(link);
    });
  for (const button of all("[data-zoom]", compare))
    button.addEventListener("click", () => zoom({ in: 1.5, out: 1 / 1.5, fit: 0 }[button.dataset.zoom]));
  for (const pane of all(".pane", compare)) {
    pane.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2); }, { passive: false });
    pane.addEventListener("dblclick", () => zoom(view.scale > 1 ? 0 : 3));
    pane.addEventListener("pointerdown", (event) => pane.setPointerCapture(event.pointerId));
    pane.addEventListener("pointermove", (event) => {
      if (!pane.hasPointerCapture(event.pointerId) || view.scale === 1) return;
      view.x += event.movementX;
      view.y += event.movementY;
      draw();
    });
  }
}

const MOVES = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };

function keyInCompare(event) {
  const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, "0": 0 }[event.key];
  if (factor !== undefined) zoom(factor);
  else if (event.key in MOVES && view.scale > 1) {
    view.x += MOVES[event.key][0];
    view.y += MOVES[event.key][1];
    draw();
  } else return;
  event.preventDefault();
}

// Decisions: a key presses the button of its name, once.
const help = one("#help");
const reasons = one(".reasons");
const form = one(".decide");
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
  else if (reasons?.open && /^[1-9]$/.test(key)) chooseReason(key);
  else if (/^[gusz]$/.test(key)) one(`[data-key="${key}"]`)?.click();
  else return;
  event.preventDefault();
}

function chooseReason(number) {
  const button = one(`[data-reason="${number}"]`, reasons), note = one("textarea", form);
  if (button?.value === "counterfeit/other" && !note.value.trim()) {
    note.placeholder = "Say what is counterfeit about it";
    note.focus();
  } else button?.click();
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("textarea, input")) {
    if (event.key === "Escape") event.target.blur();
  } else if (compare?.open) keyInCompare(event);
  else if (!help?.open) keyOnPage(event);
});
one("[data-help]")?.addEventListener("click", () => help.showModal());
