// The dead letters: how many of each class, and the newest.

import { $, announce, ask, counted, el, number, text, time } from "./dom.js";

let seen = -1; // offsets in the topic when it was read last
let asking = false;
let refused = false;

// take reads the dead letters again when there are more.
export function take(state) {
  const topic = state.topics.find((t) => t.name.endsWith("-dead-letters"));
  if (!topic || refused || asking || topic.offsets === seen) return;
  load(topic.offsets);
}

async function load(offsets) {
  asking = true;
  try {
    const letters = await ask("/live/dead-letters");
    if (seen >= 0 && !$("view-dead-letters").hidden) announce(`${counted(letters.total, "dead letter")}`);
    seen = offsets;
    write(letters);
  } catch (e) {
    refused = e.status === 403 || e.status === 404;
    const words = e.status === 403
      ? "What is in them is shown on the worker's own machine only." : e.message;
    $("letters").replaceChildren(el("p", { class: "card error" }, words));
    text($("tile-letters"), "–");
  } finally {
    asking = false;
  }
}

function write(l) {
  const tile = $("tile-letters");
  text(tile, (l.partial ? "≥ " : "") + number(l.total));
  tile.className = l.total ? "warn" : "";
  if (l.total === 0) {
    $("letters").replaceChildren(el("p", { class: "card" }, "There are none."));
    return;
  }
  $("letters").replaceChildren(
    el("div", { class: "pair" },
      el("div", { class: "card" }, el("h2", {}, "By class"), bars(l.classes, l.total)),
      el("div", { class: "card" }, el("h2", {}, "By group"), bars(l.groups, l.total))),
    el("div", { class: "card" },
      el("h2", {}, l.total > l.newest.length ? `The newest ${number(l.newest.length)} of ${number(l.total)}` : counted(l.total, "dead letter")),
      l.partial ? el("p", { class: "gone" }, "Older ones were not counted.") : null,
      l.unreadable ? el("p", { class: "gone" }, `${counted(l.unreadable, "record")} in the topic are no dead letters.`) : null,
      el("ol", { class: "letters" }, l.newest.map(letter))));
}

function bars(counts, total) {
  const names = Object.keys(counts).sort((a, b) => counts[b] - counts[a] || a.localeCompare(b));
  return el("ul", { class: "bars" }, names.map((name) => el("li", { "data-name": name },
    el("span", {}, name),
    el("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
      el("rect", { width: Math.max(1, 100 * counts[name] / total), height: 10, rx: 2 })),
    el("span", { class: "number" }, number(counts[name])))));
}

function letter(l) {
  const shown = l.value.length;
  return el("li", { "data-place": l.place },
    el("div", { class: "line" },
      el("span", { class: l.class === "parked" ? "state" : "state bad" }, l.class),
      el("strong", { class: "id" }, l.key || "no key"),
      el("span", { class: "gone" }, `refused by ${l.group}`),
      time(l.when)),
    el("p", {}, l.reason),
    el("p", { class: "where" }, "record ", el("span", { class: "id" }, l.record), ", letter ", el("span", { class: "id" }, l.place)),
    el("details", {}, el("summary", {}, `${counted(l.bytes, "byte")}${l.hex ? " in hex" : ""}`,
      el("span", { class: "unseen" }, ` of ${l.key || l.record}`)),
    shown ? el("pre", { tabindex: "0" }, l.value) : el("p", { class: "gone" }, "It has no value.")));
}
