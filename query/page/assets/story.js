// The story of one order: what was asked, what was said, why, where it is, and what it
// did to the rows.

import { $, announce, ask, counted, el, lasting, money, table, time } from "./dom.js";

let told = "";

export function begin() {
  $("search").addEventListener("submit", (e) => {
    e.preventDefault();
    const id = $("order").value.trim();
    if (!id) return;
    const wanted = `#/order/${encodeURIComponent(id)}`;
    if (location.hash === wanted) tell(id);
    else location.hash = wanted;
  });
}

// shown tells the story of the order that the address names.
export function shown(id) {
  if (!id) return;
  $("order").value = id;
  if (id !== told) tell(id);
}

async function tell(id) {
  told = id;
  const story = $("story");
  story.setAttribute("aria-busy", "true");
  try {
    const s = await ask(`/live/orders/${encodeURIComponent(id)}`);
    if (told !== id) return;
    story.replaceChildren(...write(s));
    document.title = `Order ${s.order} · Tallystick`;
    announce(`Order ${s.order} is ${s.state}: ${counted(s.events.length, "event")}`);
  } catch (e) {
    if (told !== id) return;
    told = "";
    const words = e.status === 404 ? `No topic says anything of the order “${id}”.` : e.message;
    story.replaceChildren(el("p", { class: "card error" }, words));
    announce(words);
  } finally {
    story.removeAttribute("aria-busy");
  }
}

const ends = {
  confirmed: "good", expired: "bad", rejected: "bad", refused: "bad", cancelled: "warn",
};

function write(s) {
  const asking = new Set(s.asking);
  const why = s.why ? el("span", { class: "gone" }, `since ${s.why}`) : null;
  return [
    el("div", { class: "story-head" },
      el("h2", {}, "Order ", el("span", { class: "id" }, s.order)),
      el("span", { class: `state ${ends[s.state] ?? ""}` }, s.state), why,
      el("span", { class: "gone" }, span(s.events))),
    ...(s.notes ?? []).map((n) => el("p", { class: "gone" }, n)),
    s.horizon?.length ? el("p", { class: "gone" }, "What was before ",
      el("span", { class: "id" }, s.horizon.map(place).join(", ")), " is gone from its topic.") : "",
    el("p", { class: "about" }, "In the order of cause and effect. Times are UTC; amounts in words are in minor units."),
    el("ol", { class: "timeline", "aria-label": `What happened to order ${s.order}` },
      s.events.map((e) => entry(e, s.events, asking.has(e.topic)))),
    el("p", { class: "gone" }, `Told from ${counted(s.cost.records, "record")} of ${counted(s.cost.topics, "topic")}, `
      + (s.cost.by === "index" ? "found by the index of the views." : "found by a scan of the order's partitions.")),
  ];
}

const place = (p) => `${p.topic}/${p.partition}@${p.offset}`;

function span(events) {
  if (events.length < 2) return counted(events.length, "event");
  const times = events.map((e) => Date.parse(e.at));
  return `${counted(events.length, "event")} in ${lasting((Math.max(...times) - Math.min(...times)) / 1000)}`;
}

function mood(e) {
  if (e.refused) return "bad";
  if (/^(OrderConfirmed|ConfirmationSent)$/.test(e.type)) return "good";
  return /(Expired|Rejected|Refused|Bounced|Mismatch|Unmatched|Conflicted|Suspected|Short)$/.test(e.type) ? "bad" : "";
}

function entry(e, all, command) {
  const deadline = e.type === "Deadline";
  const kind = deadline ? "deadline" : command ? "command" : "event";
  const passed = (Date.parse(e.at) - Date.parse(all[0].at)) / 1000;
  return el("li", { class: command || deadline ? kind : mood(e), id: `event-${e.no}` }, el("article", {},
    el("div", { class: "line" },
      el("h3", {}, e.type),
      el("span", { class: `kind ${kind}` }, kind),
      e.by ? el("span", { class: "after" }, deadline ? `came to ${e.by}` : `by ${e.by}`) : null,
      e.refused ? el("span", { class: "state bad" }, "in the dead letters") : null,
      el("span", { class: "when" }, time(e.at), e.no > 1 ? ` (${passed < 0 ? "−" : "+"}${lasting(Math.abs(passed))})` : "")),
    e.words ? el("p", { class: "detail" }, e.words) : null,
    el("p", { class: "where" }, el("span", { class: "id" }, place(e)), causes(e, all)),
    record(e),
    e.row ? change(e.row, e.type) : null));
}

function record(e) {
  if (!e.value) return null;
  return el("details", { class: "record" }, el("summary", {}, "The record", el("span", { class: "unseen" }, ` of ${e.type}, number ${e.no}`)),
    e.id ? el("p", { class: "where" }, "Id ", el("span", { class: "id" }, e.id)) : null,
    el("pre", { tabindex: "0" }, JSON.stringify(e.value, null, 2)));
}

// causes lead to what made an event come about.
function causes(e, all) {
  const links = (e.because ?? []).map((no) => {
    const link = el("a", { href: `#event-${no}` }, all[no - 1].type);
    link.addEventListener("click", (click) => {
      click.preventDefault();
      go($(`event-${no}`));
    });
    return link;
  });
  const missing = (e.missing ?? []).map((id) => el("span", { class: "id" }, `${id} (not found)`));
  const out = [...links, ...missing].flatMap((c, i) => (i ? [", ", c] : [c]));
  if (out.length === 0) return [];
  return [e.copy_of ? " · a copy of " : " · because of ", ...out];
}

function go(li) {
  for (const e of document.querySelectorAll(".timeline .lit")) e.classList.remove("lit");
  li.classList.add("lit");
  li.setAttribute("tabindex", "-1");
  li.focus();
  li.scrollIntoView({ block: "nearest" });
}

// change shows what became of a row: in words, and the fields that are not what they were.
function change(c, type) {
  const was = flat(c.before);
  const is = flat(c.after);
  const names = [...new Set([...was.keys(), ...is.keys()])].filter((n) => was.get(n) !== is.get(n));
  if (names.length === 0) return el("p", { class: "changes" }, `Row of ${c.processor}: ${c.words}`);
  const row = (n) => el("tr", {}, el("th", { scope: "row", class: "id" }, n),
    el("td", { class: "id" }, was.has(n) ? el("del", {}, was.get(n)) : "–"),
    el("td", { class: "id" }, is.has(n) ? el("ins", {}, is.get(n)) : "–"));
  return el("details", { class: "changes" },
    el("summary", {}, `Row of ${c.processor}: ${c.words}`),
    el("div", { class: "scroll", role: "region", "aria-label": `Row of ${c.processor} before and after ${type}`, tabindex: "0" },
      table("The fields that changed", ["Field", "Before", "After"], names.map(row))));
}

// flat lists the fields of a row by their paths. Money is written as such.
function flat(value, path = "", out = new Map()) {
  if (value === null || value === undefined) return out;
  if (typeof value !== "object") {
    out.set(path, String(value));
  } else if (!Array.isArray(value) && value.currency && /^-?\d+$/.test(String(value.minor ?? ""))) {
    out.set(path, money(value.minor, value.currency));
  } else {
    for (const [name, inner] of Object.entries(value)) flat(inner, path ? `${path}.${name}` : name, out);
  }
  return out;
}
