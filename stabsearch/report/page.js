"use strict";
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

// A trial's card: what its row in the table says, and its loss curve, both copied from where they stand.
const NEAR_PX = 18;
const card = element("aside", { id: "card", class: "card", "aria-label": "Trial", hidden: "" });
let shown = null, isHeld = false, leaving = 0;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function filled(row) {
  const heads = [...row.closest("table").tHead.rows[0].cells].map((head) => head.textContent);
  const cells = Object.fromEntries([...row.cells].map((cell, place) => [heads[place], cell]));
  const said = (name) => cells[name]?.textContent ?? "";
  const list = element("dl");
  for (const name of ["learning rate", "context", "cause", "first bad step", "steps", "evaluation loss", "stage", "message", "bundle"]) {
    if (!said(name) || said(name) === "–") continue;
    const value = element("dd");
    value.append(...[...cells[name].childNodes].map((node) => node.cloneNode(true)));
    list.append(element("dt", {}, name), value);
  }
  const title = element("p", { class: "card-title" }, `trial ${said("trial")} · ${said("outcome")}`);
  const close = element("button", { type: "button", "aria-label": "Close" }, "×");
  close.addEventListener("click", hide);
  return [title, close, drawn(said("trial")), list];
}

function drawn(number) {
  const curve = document.getElementById(`curve-${number}`);
  if (!curve) return element("p", { class: "muted" }, "No losses were recorded.");
  const from = curve.ownerSVGElement;
  const picture = document.createElementNS(from.namespaceURI, "svg");
  picture.setAttribute("viewBox", from.getAttribute("viewBox"));
  picture.setAttribute("aria-hidden", "true");
  const copy = curve.cloneNode(true);
  copy.removeAttribute("id");
  picture.append(from.querySelector(".axes").cloneNode(true), copy);
  return picture;
}

function show(point, hold) {
  clearTimeout(leaving);
  if (isHeld && !hold) return;
  isHeld = hold;
  if (shown !== point) {
    const row = document.querySelector(point.getAttribute("href"));
    if (!row) return;
    shown?.classList.remove("on");
    shown = point;
    point.classList.add("on");
    card.replaceChildren(...filled(row));
  }
  card.hidden = false;
  card.classList.toggle("held", hold);
  place(point.getBoundingClientRect());
}

function place(mark) {
  if (innerWidth < 600) { card.style.left = card.style.top = ""; return; }
  const { width, height } = card.getBoundingClientRect();
  const right = mark.right + 12;
  card.style.left = `${right + width < innerWidth ? right : Math.max(mark.left - width - 12, 8)}px`;
  card.style.top = `${Math.max(Math.min(mark.top - 20, innerHeight - height - 8), 8)}px`;
}

function hide() {
  isHeld = false;
  card.hidden = true;
  shown?.classList.remove("on");
  shown = null;
}

function leave() {
  clearTimeout(leaving);
  if (!isHeld) leaving = setTimeout(hide, 250);
}

function nearest(panel, event) {
  const scale = panel.getScreenCTM();
  let best = null, least = NEAR_PX;
  for (const point of panel.points) {
    const away = Math.hypot(
      point.x * scale.a + scale.e - event.clientX, point.y * scale.d + scale.f - event.clientY);
    if (away < least) [best, least] = [point.mark, away];
  }
  return best;
}

function follow(panel) {
  const marks = [...panel.querySelectorAll("a.point")];
  panel.points = marks.map((mark) => {
    const { e, f } = mark.transform.baseVal[0].matrix;
    return { mark, x: e, y: f };
  });
  const inOrder = [...panel.points].sort((a, b) => a.x - b.x || b.y - a.y).map((point) => point.mark);
  inOrder.forEach((mark, index) => {
    const title = mark.querySelector("title");
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
    mark.setAttribute("tabindex", index ? -1 : 0);
    mark.addEventListener("focus", () => show(mark, false));
    mark.addEventListener("blur", leave);
    mark.addEventListener("keydown", (event) => step(inOrder, index, event));
  });
  panel.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const mark = nearest(panel, event);
    if (mark) show(mark, false); else leave();
  });
  panel.addEventListener("pointerleave", leave);
  panel.addEventListener("click", (event) => {
    if (!event.detail) return open(event.target.closest("a.point"));  // Enter: on to its row
    event.preventDefault();
    const mark = nearest(panel, event);
    if (mark) show(mark, true); else hide();
  });
}

function step(marks, index, event) {
  const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -index, End: marks.length - 1 - index };
  if (!(event.key in moves)) return;
  event.preventDefault();
  const next = marks[(index + moves[event.key] + marks.length) % marks.length];
  marks[index].setAttribute("tabindex", -1);
  next.setAttribute("tabindex", 0);
  next.focus();
}

function open(mark) {
  const folded = mark && document.querySelector(mark.getAttribute("href"))?.closest("details");
  if (folded) folded.open = true;
}

const panels = document.querySelectorAll(".panels svg");
if (panels.length) document.body.append(card);
panels.forEach(follow);
card.addEventListener("pointerenter", () => clearTimeout(leaving));
card.addEventListener("pointerleave", leave);
addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
addEventListener("scroll", () => {
  if (shown && (isHeld || shown === document.activeElement)) place(shown.getBoundingClientRect()); else hide();
}, { passive: true });
