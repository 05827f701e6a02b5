// What all views use: elements, numbers, times and money as people read them.

export const $ = (id) => document.getElementById(id);

// el makes an element. Attributes that are false or null are left out; children are
// elements or text.
export function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect"].includes(tag);
  const e = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== ""));
  return e;
}

// text sets the text of an element, only if it is another one: readers are not bothered.
export function text(e, value) {
  if (e && e.textContent !== value) e.textContent = value;
}

// announce tells screen readers something.
export function announce(words) { text($("announce"), words); }

const numbers = new Intl.NumberFormat("en");
const few = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const number = (n) => numbers.format(n);
export const rate = (n) => (n >= 10 ? number(Math.round(n)) : few.format(n));
// brief is a number for where there is little room.
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
export const brief = (n) => (n < 1000 ? rate(n) : compact.format(n));

export const counted = (n, what) => `${number(n)} ${what}${Number(n) === 1 ? "" : "s"}`;

// money writes minor units of a currency, without rounding.
export const money = (minor, currency) => `${amount(minor, currency)} ${currency}`;

// amount is money whose currency stands beside it.
export function amount(minor, currency) {
  let digits = 2;
  try {
    const shown = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
    digits = shown.maximumFractionDigits;
  } catch { /* no such currency: two digits, like most */ }
  let n = BigInt(minor);
  const sign = n < 0n ? "−" : "";
  if (n < 0n) n = -n;
  const unit = 10n ** BigInt(digits);
  const rest = digits ? "." + String(n % unit).padStart(digits, "0") : "";
  return `${sign}${numbers.format(n / unit)}${rest}`;
}

// clock is the time of day, UTC, of a time as JSON has it.
export const clock = (iso) => iso.slice(11, 19);
export const stamp = (iso) => {
  const at = new Date(iso).toISOString();
  return `${at.slice(0, 10)} ${at.slice(11, 23)}`;
};

export function time(iso, shown) {
  return el("time", { datetime: iso, title: `${stamp(iso)} UTC` }, shown ?? stamp(iso));
}

// lasting says a number of seconds in the two largest units that matter.
export function lasting(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const since = (iso, now) => lasting((Date.parse(now) - Date.parse(iso)) / 1000);

// Refused is an answer that says why it is none.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// ask fetches JSON. Large whole numbers keep all their digits, as text.
export async function ask(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", ...options });
  const body = await answer.text();
  if (!answer.ok) {
    let said = body.trim();
    try { said = JSON.parse(body).error ?? said; } catch { /* plain text */ }
    throw new Refused(answer.status, said || `the worker answered ${answer.status}`);
  }
  return parse(body);
}

function parse(body) {
  return JSON.parse(body, (_, value, context) => (
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? context.source : value
  ));
}

// table makes a table: head is a list of names, or of [name, class].
export function table(caption, head, rows, attributes = {}) {
  return el("table", attributes, caption ? el("caption", {}, el("span", {}, caption)) : null,
    el("thead", {}, el("tr", {}, head.map((h) => {
      const [name, kind] = Array.isArray(h) ? h : [h];
      return el("th", { scope: "col", class: kind }, name);
    }))),
    el("tbody", {}, rows));
}
