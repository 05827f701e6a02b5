// Which view is shown, and the connection that brings what is new.

import { $, announce, clock, text } from "./dom.js";
import * as map from "./map.js";
import * as buffers from "./buffers.js";
import * as story from "./story.js";
import * as letters from "./letters.js";
import * as audit from "./audit.js";

const views = { map, buffers, order: story, "dead-letters": letters, audit };
let current = "map";
let source = null;
let lost = false;

// show follows the address: #/order/ID is the view order of ID. An address that is not of
// that form is a place on this page and changes nothing.
function show(first) {
  const hash = location.hash;
  if (hash !== "" && !hash.startsWith("#/")) return;
  const [name, ...rest] = hash.slice(2).split("/");
  const wanted = Object.hasOwn(views, name) ? name : "map";
  for (const view of Object.keys(views)) $(`view-${view}`).hidden = view !== wanted;
  for (const link of document.querySelectorAll("nav a")) {
    const its = link.hash.slice(2) || "map";
    if (its === wanted) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const moved = wanted !== current;
  current = wanted;
  const title = document.querySelector(`#view-${wanted} h1`);
  document.title = `${title.textContent} · Tallystick`;
  views[wanted].shown?.(decode(rest.join("/")));
  if (!first && moved) {
    title.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

function connection(state, words) {
  const e = $("connection");
  e.dataset.state = state;
  text(e, words);
}

// take hands a state of the system to the views.
function take(event) {
  const state = JSON.parse(event.data);
  if (state.error) {
    if (!lost) announce(`No news from Kafka: ${state.error}`);
    lost = true;
    connection("lost", "no news from Kafka");
    text($("asof"), state.error);
    return;
  }
  if (lost) announce("Connected again");
  lost = false;
  connection("live", "live");
  text($("asof"), `As of ${clock(state.at)} UTC.`);
  map.take(state);
  buffers.take(state);
  letters.take(state);
  audit.take(state);
}

function open() {
  if (source || document.hidden || paused()) return;
  source = new EventSource("/live/events");
  source.addEventListener("state", take);
  source.addEventListener("error", () => {
    if (!lost) announce("The connection to the worker is lost");
    lost = true;
    connection("lost", "connection lost");
    if (source?.readyState === EventSource.CLOSED) { // refused: it does not try again
      close();
      setTimeout(open, 5000);
    }
  });
}

function close() {
  source?.close();
  source = null;
}

const paused = () => $("pause").getAttribute("aria-pressed") === "true";

$("pause").addEventListener("click", () => {
  $("pause").setAttribute("aria-pressed", String(!paused()));
  if (paused()) {
    close();
    connection("waiting", "paused");
  } else {
    connection("waiting", "connecting");
    open();
  }
});
// Nobody watches a page that is not seen.
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("hashchange", () => show(false));
// The link to the content must not change the view.
document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault();
  $("main").focus();
});

map.begin();
story.begin();
audit.begin();
show(true);
open();
