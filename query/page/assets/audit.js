// The audit: its last result, and a button to run it.

import { $, amount, announce, ask, counted, el, lasting, number, table, text, time } from "./dom.js";

let running = false;
let asking = false;
let wait = 0;
let written = "";

export function begin() {
  $("run-audit").addEventListener("click", run);
}

export function shown() {
  load();
  fingerprints();
}

// take looks after an audit that is under way at every state, else now and then.
export function take() {
  wait -= 1;
  if (running || wait <= 0) load();
}

async function run() {
  try {
    const token = document.querySelector("meta[name=tally-token]").content;
    await ask("/live/audit", { method: "POST", headers: { "X-Tally-Token": token } });
    announce("The audit runs");
    running = true;
  } catch (e) {
    announce(e.message);
    if (e.status !== 409) {
      $("audit").replaceChildren(el("p", { class: "card error" }, e.message));
      written = "";
      return;
    }
  }
  await load();
}

async function load() {
  if (asking) return;
  asking = true;
  try {
    const state = await ask("/live/audit");
    if (running && !state.running) {
      announce(state.error ? `The audit failed: ${state.error}` : `The audit is done: ${state.report.audit}`);
      fingerprints();
    }
    running = state.running;
    wait = 10;
    write(state);
  } catch (e) {
    wait = 30;
    text($("tile-audit"), "–");
    $("run-audit").disabled = true;
    const words = e.status === 403 ? "The audit is for the worker's own machine only." : e.message;
    $("audit").replaceChildren(el("p", { class: "card error" }, words));
    written = "";
  } finally {
    asking = false;
  }
}

function write(s) {
  const tile = $("tile-audit");
  const good = s.report?.audit === "ok";
  text(tile, s.running ? "running" : !s.at ? "not run yet" : s.error ? "failed" : good ? "ok" : "differences");
  tile.className = `word ${!s.at || s.running ? "" : good ? "good" : "bad"}`;
  $("run-audit").setAttribute("aria-disabled", String(s.running));
  const now = JSON.stringify(s);
  if (now === written) return;
  written = now;
  const parts = [];
  if (s.running) {
    parts.push(el("p", { class: "card" }, el("progress", { "aria-label": "The audit runs" }), ` ${counted(s.read, "record")} read`));
  }
  if (s.error) parts.push(el("p", { class: "card error" }, s.error));
  if (s.report) parts.push(...result(s));
  if (parts.length === 0) parts.push(el("p", { class: "card" }, "It has not run since this worker began."));
  $("audit").replaceChildren(...parts);
}

function result(s) {
  const r = s.report;
  const good = r.audit === "ok";
  return [
    el("div", { class: "card", id: "verdict" },
      el("p", { class: "verdict" }, el("span", { class: `state ${good ? "good" : "bad"}` },
        good ? "ok: everything fits" : counted(r.difference_count, "difference"))),
      el("p", { class: "gone" }, `${counted(r.records, "record")} in ${counted(Object.keys(r.dispositions).length, "disposition")}, `,
        `${counted(r.compared, "order")} recomputed in ${took(s.seconds)}, at `, time(s.at), " UTC. ",
        r.causes ? `${counted(r.causes.events, "event")} with ${counted(r.causes.checked, "link")} between them. ` : "",
        r.causes?.unresolved ? `Nobody knows how ${counted(r.causes.unresolved, "notice")} ended: tally notices ls lists them. ` : "",
        r.in_flight ? `${counted(r.in_flight, "order")} in flight. ` : "",
        r.unprocessed ? `${counted(r.unprocessed, "record")} not processed yet.` : "")),
    differences(r),
    sums(r),
    el("div", { class: "card" }, el("h2", { id: "money-title" }, "What became of the money"),
      el("div", { class: "scroll", role: "region", "aria-labelledby": "money-title", tabindex: "0" }, fates(r))),
    el("div", { class: "pair" },
      el("div", { class: "card" }, el("h2", {}, "Orders and payments"), counts(r)),
      el("div", { class: "card" }, el("h2", {}, "Records by how they ended"), dispositions(r))),
  ].filter(Boolean);
}

const took = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : s < 10 ? `${s.toFixed(1)} s` : lasting(s));

function differences(r) {
  if (r.difference_count === 0) return null;
  const more = r.difference_count - r.differences.length;
  return el("div", { class: "card" }, el("h2", { id: "differences-title" }, "Differences"),
    el("div", { class: "scroll", role: "region", "aria-labelledby": "differences-title", tabindex: "0" },
      table(more > 0 ? `The first ${number(r.differences.length)} of ${number(r.difference_count)}` : counted(r.difference_count, "difference"),
        ["What", "Key", "Where", "How"], r.differences.map((d) => el("tr", {},
          el("th", { scope: "row" }, d.kind), el("td", { class: "key id" },
            d.key ? el("a", { href: `#/order/${encodeURIComponent(d.key)}` }, d.key) : ""),
          el("td", { class: "key id" }, d.place ?? ""), el("td", { class: "how" }, d.detail)))))); 
}

// sums are the fingerprints of confirm's table as the audit found them: what the workers wrote
// down, what is left of the changelog, and what the rules give.
function sums(r) {
  if (!r.fingerprints?.length) return null;
  const id = (f) => el("td", { class: "id" }, f ?? "–");
  return el("div", { class: "card prints" }, el("h2", { id: "sums-title" }, "The table, three times"),
    el("div", { class: "scroll", role: "region", "aria-labelledby": "sums-title", tabindex: "0" },
      table("Fingerprints of confirm's rows: as the workers recorded them, as the changelog has them, as the rules give them.",
        ["Partition", ["Rows", "number"], "Recorded", "Of the changelog", "Of a replay", "Result"],
        r.fingerprints.map((f) => el("tr", {}, el("th", { scope: "row" }, number(f.partition)),
          el("td", { class: "number" }, number(f.rows)), id(f.recorded), id(f.folded), id(f.replayed),
          el("td", {}, el("span", { class: `state ${f.state === "ok" ? "good" : f.state === "differences" ? "bad" : ""}` }, f.state)))))));
}

function fates(r) {
  const rare = ["excess", "mismatched", "unmatched", "expired", "late", "reversed", "adjusted", "voided"];
  const some = Object.values(r.money);
  const columns = ["received", "confirmed", "pending", ...rare.filter((f) => some.some((m) => Number(m[f]) !== 0)), "owed"];
  return table("Received is the sum of the others. Owed is what of them was said to go back, adjusted and voided what corrections booked.",
    ["Currency", ...columns.map((c) => [c, "number"])],
    Object.keys(r.money).sort().map((c) => el("tr", { "data-currency": c }, el("th", { scope: "row" }, c),
      columns.map((f) => el("td", { class: "number" }, amount(r.money[c][f], c))))), { id: "money" });
}

function counts(r) {
  const names = ["orders", "confirmed", "pending", "expired", "cancelled", "payments", "waiting", "excess",
    "mismatched", "unmatched", "late", "reversed", "adjusted", "voided", "duplicates", "conflicted", "invalid"];
  return table("Counted by the audit", ["What", ["How many", "number"]], names.filter((n) => r[n] || n === "orders" || n === "payments" || n === "confirmed")
    .map((n) => el("tr", { "data-count": n }, el("th", { scope: "row" }, n), el("td", { class: "number" }, number(r[n])))), { id: "counts" });
}

function dispositions(r) {
  const names = Object.keys(r.dispositions).sort((a, b) => r.dispositions[b] - r.dispositions[a]);
  return table("Each record has one", ["Disposition", ["Records", "number"]], names.map((n) => el("tr", {},
    el("th", { scope: "row" }, n), el("td", { class: "number" }, number(r.dispositions[n])))));
}

async function fingerprints() {
  try {
    const prints = await ask("/live/fingerprints");
    $("fingerprints").replaceChildren(prints.length ? el("div", { class: "card prints" }, el("h2", { id: "prints-title" }, "Fingerprints of tables"),
      el("div", { class: "scroll", role: "region", "aria-labelledby": "prints-title", tabindex: "0" },
        table("What all rows of a partition come to, whatever their order. The same rows have the same everywhere: on disk, in memory and in a replay.",
          ["Table", ["Partition", "number"], ["Rows", "number"], "Fingerprint", "Says"], prints.map((f) => el("tr", {},
            el("th", { scope: "row" }, f.table), el("td", { class: "number" }, number(f.partition)),
            el("td", { class: "number" }, number(f.rows)), el("td", { class: "id" }, f.value), el("td", {}, f.source)))))) : "");
  } catch { /* there are none to show */ }
}
