"use strict";

const RECENT = "samvar.recent", MOST_RECENT = 20;
const SECONDS_A_BASE = 0.1; // of CPU, for the three SNVs of a base
const $ = id => document.getElementById(id);
const query = $("query"), knockouts = $("knockouts"), rows = $("batch").querySelector("tbody");
let running = null; // the AbortController of what is looked up
let batchLines = []; // what the API said of the batch, as text

// ------------------------------------------------------------------------------- the address

// The query stands behind the # of the address, which browsers do not send.
const addressOf = (text, thorough) =>
  "#" + new URLSearchParams(thorough ? { q: text, knockouts: 1 } : { q: text });

function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  return { text: (asked.get("q") || "").trim(), thorough: asked.has("knockouts") };
}

const apiAddress = (name, text, thorough) =>
  `api/${name}?` + new URLSearchParams({ query: text, knockouts: thorough });

// ------------------------------------------------------------------------------- recent queries

function recent() {
  try {
    const kept = JSON.parse(localStorage.getItem(RECENT));
    return Array.isArray(kept) ? kept.filter(text => typeof text === "string") : [];
  } catch { return []; }
}

function keep(texts) {
  try { localStorage.setItem(RECENT, JSON.stringify(texts)); } catch { /* no storage: none kept */ }
  showRecent();
}

const remember = text =>
  keep([text, ...recent().filter(other => other !== text)].slice(0, MOST_RECENT));

function showRecent() {
  const texts = recent();
  $("recent").hidden = !texts.length;
  $("recent").querySelector("ul").replaceChildren(...texts.map(text => {
    const item = document.createElement("li");
    item.append(linkTo(text, false));
    return item;
  }));
}

function linkTo(text, thorough) {
  const link = document.createElement("a");
  link.href = addressOf(text, thorough);
  link.textContent = link.title = text;
  return link;
}

// ------------------------------------------------------------------------------- one query

function begin(message) {
  if (running) running.abort();
  running = new AbortController();
  $("error").hidden = true;
  tell(message);
  return running;
}

function tell(message) {
  const cancel = document.createElement("button");
  cancel.type = "button";
  cancel.textContent = "Cancel";
  cancel.addEventListener("click", () => running && running.abort());
  $("status").replaceChildren(message + " ", cancel);
}

function end(own, ...content) {
  if (running !== own) return;
  running = null;
  $("status").replaceChildren(...content);
}

function showError(words) {
  $("error").textContent = words;
  $("error").hidden = false;
  bringIntoSight($("error"));
}

function bringIntoSight(part) { // what is in the upper half of the window stays where it is
  const { top } = part.getBoundingClientRect();
  if (top >= 0 && top < innerHeight / 2) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  part.scrollIntoView({ behavior: still ? "instant" : "smooth" });
}

async function fetched(address, own, options = {}) {
  let response;
  try {
    response = await fetch(address, { ...options, signal: own.signal });
  } catch (error) {
    if (own.signal.aborted) throw error;
    throw new Error("The server does not answer: is samvar serve still running?");
  }
  if (response.ok) return response;
  let words = `${response.status} ${response.statusText}`;
  try { words = (await response.json()).error || words; } catch { /* no JSON: the status alone */ }
  throw new Error(words);
}

async function lookUp(text, thorough) {
  const own = begin("Looking up ...");
  hideAnswer();
  for (const row of rows.rows)
    row.classList.toggle("open", row.dataset.query === text);
  try {
    const response = await fetched(apiAddress("page", text, thorough), own);
    const page = await response.text(), region = response.headers.get("Samvar-Region");
    if (running !== own) return;
    show(parsed(page));
    document.title = `samvar: ${text.slice(0, 60)}`;
    remember(text);
    $("links").replaceChildren(
      asLink("The page alone, to save or print", apiAddress("page", text, thorough)),
      asLink("JSON", apiAddress("answer", text, thorough)));
    $("answer").focus({ preventScroll: true });
    bringIntoSight($("links"));
    if (region) await scan(decodeURIComponent(region), own);
    end(own);
  } catch (error) {
    if (running !== own) return;
    if (!own.signal.aborted) showError(error.message);
    end(own, own.signal.aborted ? "Cancelled." : "");
  }
}

// Every SNV of a region, below its landscape.
async function scan(region, own) {
  const [start, end] = region.match(/\d+/g).slice(-2).map(Number), bases = end - start + 1;
  const seconds = Math.ceil(bases * SECONDS_A_BASE);
  tell(`Scoring the ${3 * bases} SNVs of the region, about ${seconds} seconds of computing ...`);
  const address = "api/scan/page?" + new URLSearchParams({ query: region });
  let page;
  try {
    page = parsed(await (await fetched(address, own)).text());
  } catch (error) {
    if (own.signal.aborted) throw error;
    if (running === own) showError(`The SNVs of the region were not scored: ${error.message}`);
    return;
  }
  if (running !== own) return;
  const section = page.querySelector("section");
  for (const name of section.querySelectorAll("code.variant"))
    name.replaceChildren(linkTo(name.textContent, knockouts.checked));
  $("answer").querySelector(".about").before(reachable(section));
  $("links").append(asLink("Every SNV alone", address),
    asLink("Every SNV as JSON", address.replace("/page", "")));
}

const parsed = page => new DOMParser().parseFromString(page, "text/html");

function asLink(words, address) {
  const link = document.createElement("a");
  link.href = address;
  link.target = "_blank";
  link.textContent = words;
  return link;
}

function hideAnswer() {
  $("answer").hidden = $("links").hidden = true;
}

function show(page) {
  $("answer").replaceChildren(...page.body.childNodes);
  reachable($("answer"));
  $("answer").hidden = $("links").hidden = false;
}

function reachable(part) { // what is wide can be scrolled by the keyboard
  for (const wide of part.querySelectorAll(".scroll")) {
    wide.tabIndex = 0;
    wide.setAttribute("role", "group");
    wide.setAttribute("aria-label", wide.matches("figure") ? "figure" : "table");
  }
  return part;
}

// ------------------------------------------------------------------------------- several queries

async function lookUpAll(text, thorough) {
  const own = begin("Looking up the lines ...");
  history.replaceState(null, "", "#");
  hideAnswer();
  rows.replaceChildren();
  batchLines = [];
  $("batch").hidden = false;
  try {
    const response = await fetched(`api/batch?knockouts=${thorough}`, own,
      { method: "POST", body: text, headers: { "Content-Type": "text/plain" } });
    for await (const line of linesOf(response.body)) {
      batchLines.push(line);
      addRow(JSON.parse(line), thorough);
    }
    end(own, `${rows.rows.length} lines looked up.`);
  } catch (error) {
    if (running !== own) return;
    $("batch").hidden = !rows.rows.length;
    if (!own.signal.aborted) showError(error.message);
    end(own, own.signal.aborted ? `Cancelled after ${rows.rows.length} lines.` : "");
  }
}

async function* linesOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let left = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (left + value).split("\n");
    left = lines.pop();
    yield* lines;
  }
  if (left) yield left;
}

function addRow(told, thorough) {
  const row = rows.insertRow();
  row.dataset.query = told.query;
  row.insertCell().textContent = told.line;
  const name = row.insertCell(), largest = row.insertCell(), text = row.insertCell();
  name.className = "query";
  text.className = "text";
  if (told.error) {
    name.textContent = told.query;
    text.textContent = told.error;
    text.classList.add("wrong");
    return;
  }
  name.append(linkTo(told.query, thorough));
  const deltas = [], words = [];
  for (const explanation of told.answer.explanations) {
    if (explanation.remark) words.push(explanation.remark);
    for (const gene of explanation.genes) {
      words.push(`${gene.symbol}: ${gene.verdict || "a region: open it for its landscape"}`);
      for (const delta of Object.values(gene.deltas || {})) deltas.push(delta.value);
    }
  }
  largest.textContent = deltas.length ? Math.max(...deltas).toFixed(4) : "";
  text.textContent = words.join(" ");
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(batchLines.map(line => line + "\n"),
    { type: "application/x-ndjson" }));
  link.download = "samvar.jsonl";
  link.click();
  URL.revokeObjectURL(link.href);
}

// ------------------------------------------------------------------------------- the page

function submit(event) {
  event.preventDefault();
  const lines = query.value.split("\n").map(line => line.trim()).filter(Boolean);
  if (lines.length > 1) return lookUpAll(lines.join("\n"), knockouts.checked);
  $("batch").hidden = true;
  rows.replaceChildren();
  const address = addressOf(lines[0] || "", knockouts.checked);
  if (lines.length && location.hash !== address) location.hash = address;
  else if (lines.length) lookUp(lines[0], knockouts.checked);
  else query.focus();
}

function followAddress() {
  const { text, thorough } = fromAddress();
  if (!text) {
    if (running) running.abort();
    hideAnswer();
    $("error").hidden = true;
    $("status").replaceChildren();
    document.title = "samvar: look up";
    return;
  }
  query.value = text;
  knockouts.checked = thorough;
  fit();
  lookUp(text, thorough);
}

function fit() { // the field is as high as its lines
  query.rows = Math.min(Math.max(query.value.split("\n").length, 1), 8);
}

async function tellAbout() {
  const about = await (await fetch("api/about")).json();
  $("about").textContent =
    `${about.version}, ${about.model}, ${about.reference}, ${about.annotation}`;
  $("lines").textContent = ` (up to ${about.bounds.lines})`;
}

$("form").addEventListener("submit", submit);
$("forget").addEventListener("click", () => { keep([]); query.focus(); });
$("download").addEventListener("click", download);
query.addEventListener("input", fit);
query.addEventListener("keydown", event => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("form").requestSubmit();
  }
});
addEventListener("hashchange", followAddress);
showRecent();
followAddress();
tellAbout().catch(() => showError("The server does not answer: is samvar serve still running?"));
