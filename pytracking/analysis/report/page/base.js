"use strict";
// Data of the page, what the reader has chosen, and small helpers. Text enters the document as text only.

const data = JSON.parse(document.getElementById("data").textContent);
const state = { hidden: new Set(), subset: 0, sequence: null, metric: Object.keys(data.metrics)[0] };
const views = [];
const headline = Object.keys(data.metrics)[0];

function changed() {
  for (const draw of views) draw();
}

function byId(id) {
  return document.getElementById(id);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// {shape, float32} -> its numbers with at(i, j, k).
function unpack(packed) {
  const binary = atob(packed.float32);
  const bytes = Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
  const values = new Float32Array(bytes.buffer);
  const shape = packed.shape;
  const at = (...indices) => values[indices.reduce((offset, index, axis) => offset * shape[axis] + index, 0)];
  return { values, shape, at };
}

function number(value, decimals = 1) {
  return value === null || value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(decimals).replace("-", "−");
}

function signed(value) {
  return (value > 0 ? "+" : "") + number(value, 2);
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

const metricValues = Object.fromEntries(Object.entries(data.metrics).map(([title, packed]) => [title, unpack(packed)]));
const shownTrackers = () => data.ranking.filter((k) => !state.hidden.has(k));
const subset = () => data.subsets[state.subset];

// Black of the plots' palette would vanish on a dark page; the style sheet says what stands in for it.
data.trackers.forEach((tracker, k) => {
  const colour = tracker.colour === "#000000" ? "var(--black)" : tracker.colour;
  document.documentElement.style.setProperty(`--tracker-${k}`, colour);
});

function trackerColour(k) {
  return `var(--tracker-${k})`;
}

// A colour that a canvas understands.
function resolvedColour(k) {
  const style = getComputedStyle(document.documentElement);
  const colour = data.trackers[k].colour;
  return colour === "#000000" ? style.getPropertyValue("--black").trim() : colour;
}

function line(node, k, width = 2) {
  node.style.stroke = trackerColour(k);
  node.style.strokeWidth = width;
  node.style.strokeDasharray = data.trackers[k].dash.join(" ");
  node.style.fill = "none";
  return node;
}

function swatch(k) {
  const path = line(svg("line", { x1: 1, y1: 5, x2: 27, y2: 5 }), k, 3);
  return svg("svg", { class: "swatch", viewBox: "0 0 28 10", width: 28, height: 10, "aria-hidden": "true" }, path);
}

function trackerName(k) {
  return el("span", { class: "name" }, swatch(k), data.trackers[k].name);
}

// What the metrics and curves are of, in words.
function subsetLabel() {
  if (state.sequence !== null) return data.sequences[state.sequence].name;
  return subsetName(subset());
}

function subsetName(item) {
  const count = plural(item.rows.length, "sequence");
  return item.name === "" ? `all ${count}` : `${item.title}, ${count}`;
}

// {metric -> value of every tracker} for what is chosen.
function chosenMetric(title, k) {
  return state.sequence === null ? subset().metrics[title][k] : metricValues[title].at(state.sequence, k);
}
