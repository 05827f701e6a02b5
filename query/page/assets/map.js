// The map: rates on topics, lights and lags on services, and the table of partitions.

import { $, brief, clock, counted, el, number, rate, stamp, text } from "./dom.js";

// begin lets the mouse follow what is connected with a box.
export function begin() {
  $("map").addEventListener("pointerover", (e) => light(e.target.closest("g[data-topic], g[data-service]")));
  $("map").addEventListener("pointerleave", () => light(null));
}

function light(box) {
  const svg = $("map");
  svg.classList.toggle("chosen", Boolean(box));
  for (const e of svg.querySelectorAll(".lit")) e.classList.remove("lit");
  if (!box) return;
  box.classList.add("lit");
  const reader = box.dataset.service;
  for (const topic of svg.querySelectorAll("g[data-readers]")) {
    if (topic.dataset.readers.split(" ").includes(reader)) topic.classList.add("lit");
  }
  for (const way of svg.querySelectorAll(".arrow, .flow")) {
    const { topic, service } = way.dataset;
    if (box.dataset.topic ? topic !== box.dataset.topic : service !== box.dataset.service) continue;
    way.classList.add("lit");
    node("topic", topic)?.classList.add("lit");
    node("service", service)?.classList.add("lit");
  }
}

const node = (kind, name) => $("map").querySelector(`g[data-${kind}="${CSS.escape(name)}"]`);

// lag says how much is unread; what is not exact is an upper bound.
export const lag = (of) => (of.exact ? "" : "≤ ") + number(of.lag);

export function take(state) {
  let unread = 0;
  let flows = 0;
  let exact = true;
  for (const p of state.processors) {
    if (p.workers.length === 0 && p.state !== "Stable" && optional(p)) continue;
    unread += p.lag;
    flows += p.rate;
    exact = exact && p.exact;
  }
  text($("tile-lag"), lag({ lag: unread, exact }));
  text($("tile-rate"), rate(flows));
  topics(state);
  services(state);
  grid(state);
}

// optional processors need not run: without them nothing is late.
const optional = (p) => p.name === "views";

function topics(state) {
  const rates = new Map();
  for (const t of state.topics) {
    rates.set(t.name, t.rate);
    const box = node("topic", t.name);
    text(box?.querySelector(".rate"), t.partitions ? `${rate(t.rate)}/s` : "not there");
    const row = document.querySelector(`#topics tr[data-topic="${CSS.escape(t.name)}"]`);
    text(row?.querySelector(".partitions"), number(t.partitions));
    text(row?.querySelector(".offsets"), number(t.offsets));
    text(row?.querySelector(".rate"), rate(t.rate));
  }
  const works = new Map();
  for (const p of state.processors) works.set(p.service, (works.get(p.service) ?? 0) + p.rate);
  for (const way of $("map").querySelectorAll(".flow")) {
    const { topic, service, way: to } = way.dataset;
    const flow = Math.min(rates.get(topic) ?? 0, to === "out" ? works.get(service) ?? 0 : Infinity);
    way.classList.toggle("on", flow > 0);
    way.classList.toggle("much", flow > 500);
  }
}

function services(state) {
  const byName = new Map();
  for (const p of state.processors) {
    const s = byName.get(p.service) ?? { rate: 0, lag: 0, exact: true, workers: 0, states: new Set() };
    s.rate += p.rate;
    s.lag += p.lag;
    s.exact = s.exact && p.exact;
    s.workers += p.workers.length;
    s.states.add(p.state);
    s.optional = optional(p);
    byName.set(p.service, s);
  }
  for (const [name, s] of byName) {
    const box = node("service", name);
    if (!box) continue;
    const [kind, words] = health(s);
    const dot = box.querySelector(".light");
    dot.setAttribute("class", `light ${kind}`);
    text(box.querySelector(".rate"), words);
  }
}

function health(s) {
  if (s.workers === 0) return s.optional ? ["", "not running"] : ["bad", "no worker"];
  if ([...s.states].some((state) => state !== "Stable")) return ["warn", "rebalancing"];
  if (s.lag > 0) return ["warn", `${brief(s.rate)}/s, ${s.exact ? "" : "≤ "}${brief(s.lag)} left`];
  return ["good", `${rate(s.rate)}/s`];
}

// grid is the table of partitions. Its cells are made once, and again when there are more.
function grid(state) {
  const table = $("grid");
  const most = Math.max(0, ...state.processors.map((p) => p.partitions.length));
  const head = table.tHead.rows[0];
  while (head.cells.length < most + 3) {
    head.append(el("th", { scope: "col", class: "part" }, `Partition ${head.cells.length - 3}`));
  }
  for (const p of state.processors) {
    const row = table.querySelector(`tr[data-processor="${CSS.escape(p.name)}"]`);
    if (!row) continue;
    const workers = row.querySelector(".workers");
    text(workers, p.workers.length ? p.workers.join(", ") : "none");
    workers.classList.toggle("bad", p.workers.length === 0 && !optional(p));
    text(row.querySelector(".rate"), rate(p.rate));
    while (row.cells.length < most + 3) row.append(el("td", { class: "cell" }, el("b"), el("time")));
    p.partitions.forEach((part, i) => cell(row.cells[i + 3], part, state.at));
  }
}

// near is the time of day, and the day if it is another one.
const near = (iso, now) => (iso.slice(0, 10) === now.slice(0, 10) ? clock(iso) : `${iso.slice(5, 10)} ${iso.slice(11, 16)}`);

function cell(td, part, now) {
  text(td.querySelector("b"), lag(part));
  td.classList.toggle("warn", part.lag > 0);
  const at = td.querySelector("time");
  text(at, part.stream ? near(part.stream, now) : "no time yet");
  if (part.stream) at.setAttribute("datetime", part.stream);
  const inputs = part.inputs.map((i) => `${i.topic}: ${i.committed < 0 ? "nothing" : `up to ${i.committed}`} of ${i.end}`);
  td.title = [
    part.worker ? `worker ${part.worker}` : "no worker known",
    part.stream ? `records up to ${stamp(part.stream)} UTC` : "",
    ...inputs, counted(part.lag, "record") + " unread",
  ].filter(Boolean).join("\n");
}
