// What waits for its other half: how many, since when, how much money.

import { $, ask, counted, el, money, number, since, table, text, time } from "./dom.js";

let next = 0;
let asking = false;

// take asks anew every few states.
export function take() {
  if (next > 0) {
    next -= 1;
    return;
  }
  load();
}

export function shown() { load(); }

const known = () => !$("buffers-about").hasAttribute("data-unknown");

async function load() {
  if (asking || !known()) return;
  asking = true;
  try {
    write(await ask("/live/buffers"));
    next = 1;
  } catch (e) {
    text($("buffers-about"), e.message);
    next = e.status === 404 ? 30 : 5;
  } finally {
    asking = false;
  }
}

function write(b) {
  const missing = b.missing ?? [];
  const least = b.partial || missing.length > 0 ? "≥ " : "";
  const about = [`${b.source}.`];
  if (missing.length > 0) about.push(`Without ${counted(missing.length, "partition")} whose worker does not answer: ${missing.join(", ")}.`);
  if (b.partial) about.push("There is more than was counted.");
  text($("buffers-about"), about.join(" "));
  for (const side of ["orders", "payments"]) {
    const half = b[side];
    text($(`${side}-count`), least + number(half.count));
    text($(`tile-${side}`), least + number(half.count));
    text($(`${side}-oldest`), half.oldest ? `the oldest for ${since(half.oldest, b.at)}` : "none waits");
    fill($(`${side}-money`), sums(side, half.money));
  }
  fill($("longest"), longest(b));
}

// fill replaces what an element holds, unless it looks the same: what has the focus keeps it.
function fill(e, child) {
  if (e.firstElementChild?.isEqualNode(child)) return;
  e.replaceChildren(child);
}

function sums(side, byCurrency) {
  const currencies = Object.keys(byCurrency).sort();
  if (currencies.length === 0) return el("p", { class: "gone" }, "No money waits.");
  const what = side === "orders" ? "Not paid yet" : "Received for orders that are not there";
  return table(what, ["Currency", ["Amount", "number"]],
    currencies.map((c) => el("tr", { "data-currency": c }, el("th", { scope: "row" }, c),
      el("td", { class: "number" }, money(byCurrency[c], c)))));
}

function longest(b) {
  if (b.longest.length === 0) return el("p", { class: "gone" }, "Nothing waits.");
  const caption = b.longest.length < b.orders.count + b.payments.count
    ? `The oldest ${number(b.longest.length)}` : counted(b.longest.length, "order");
  return table(caption, ["Order", "Misses", "Since (UTC)", "Due (UTC)", ["Amount", "number"]],
    b.longest.map((w) => el("tr", {},
      el("th", { scope: "row" }, el("a", { href: `#/order/${encodeURIComponent(w.order)}`, class: "id" }, w.order)),
      el("td", {}, w.misses === "order" ? "its order" : "payment"),
      el("td", {}, time(w.since)),
      el("td", {}, w.due ? time(w.due) : "–"),
      el("td", { class: "number" }, money(w.minor, w.currency)))));
}
