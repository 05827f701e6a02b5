// What waits for its other half: how many, since when, how much money.

import { $, announce, ask, counted, el, money, number, since, table, text, time } from "./dom.js";

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

let silent = ""; // the partitions that did not answer

function write(b) {
  const missing = b.missing ?? [];
  const least = b.partial || missing.length > 0;
  const about = [`${b.source}.`];
  const without = missing.length === 0 ? ""
    : `Without ${counted(missing.length, "partition")} whose worker does not answer: ${missing.join(", ")}.`;
  if (without) about.push(without);
  if (b.partial) about.push("There is more than was counted.");
  text($("buffers-about"), about.join(" "));
  $("buffers-about").classList.toggle("warn", Boolean(without));
  if (without !== silent && !$("view-buffers").hidden) announce(without || "All partitions answer again.");
  silent = without;
  for (const side of ["orders", "payments"]) {
    const half = b[side];
    text($(`${side}-count`), more(least) + number(half.count));
    text($(`tile-${side}`), more(least) + number(half.count));
    text($(`${side}-oldest`), half.oldest ? `the oldest for ${since(half.oldest, b.at)}` : (least ? "none is known to wait" : "none waits"));
    fill($(`${side}-money`), sums(side, half.money, least));
  }
  fill($("longest"), longest(b, least));
}

// more marks a number that is a part of what there is.
const more = (least) => (least ? "≥ " : "");

// fill replaces what an element holds, unless it looks the same: what has the focus keeps it.
function fill(e, child) {
  if (e.firstElementChild?.isEqualNode(child)) return;
  e.replaceChildren(child);
}

function sums(side, byCurrency, least) {
  const currencies = Object.keys(byCurrency).sort();
  if (currencies.length === 0) return el("p", { class: "gone" }, least ? "No money is known to wait." : "No money waits.");
  const what = side === "orders" ? "Not paid yet" : "Received for orders that are not there";
  return table(what, ["Currency", ["Amount", "number"]],
    currencies.map((c) => el("tr", { "data-currency": c }, el("th", { scope: "row" }, c),
      el("td", { class: "number" }, more(least) + money(byCurrency[c], c)))));
}

function longest(b, least) {
  if (b.longest.length === 0) return el("p", { class: "gone" }, least ? "Nothing is known to wait." : "Nothing waits.");
  const all = b.longest.length === b.orders.count + b.payments.count;
  const caption = all && !least ? counted(b.longest.length, "order")
    : `The oldest ${number(b.longest.length)}${least ? " that are known" : ""}`;
  return table(caption, ["Order", "Misses", "Since (UTC)", "Due (UTC)", ["Amount", "number"]],
    b.longest.map((w) => el("tr", {},
      el("th", { scope: "row" }, el("a", { href: `#/order/${encodeURIComponent(w.order)}`, class: "id" }, w.order)),
      el("td", {}, w.misses === "order" ? "its order" : "payment"),
      el("td", {}, time(w.since)),
      el("td", {}, w.due ? time(w.due) : "–"),
      el("td", { class: "number" }, money(w.minor, w.currency)))));
}
