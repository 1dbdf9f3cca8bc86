// Success and precision curves: one SVG each, with a cursor for mouse, finger and keyboard.

const SIZE = { width: 420, height: 300, left: 46, right: 12, top: 12, bottom: 44 };
const plotX = (part) => SIZE.left + part * (SIZE.width - SIZE.left - SIZE.right);
const plotY = (percent) => SIZE.top + (1 - percent / 100) * (SIZE.height - SIZE.top - SIZE.bottom);

function drawAxes(plot) {
  const group = svg("g", { class: "axes" });
  for (let tick = 0; tick <= 100; tick += 20) {
    group.append(
      svg("line", { class: "rule", x1: plotX(0), x2: plotX(1), y1: plotY(tick), y2: plotY(tick) }),
      svg("text", { x: plotX(0) - 7, y: plotY(tick) + 4, "text-anchor": "end" }, String(tick)),
    );
  }
  const last = plot.thresholds[plot.thresholds.length - 1];
  for (let part = 0; part <= 1.001; part += 0.2) {
    const text = plot.decimals ? (part * last).toFixed(1) : String(Math.round(part * last));
    group.append(svg("text", { x: plotX(part), y: plotY(0) + 17, "text-anchor": "middle" }, text));
  }
  if (plot.read_at !== null) {
    const x = plotX(plot.thresholds[plot.read_at] / last);
    group.append(svg("line", { class: "read-at", x1: x, x2: x, y1: plotY(0), y2: plotY(100) }));
  }
  group.append(
    svg("text", { class: "label", x: plotX(0.5), y: SIZE.height - 6, "text-anchor": "middle" }, plot.xlabel),
    svg("text", { class: "label", transform: `translate(12 ${plotY(50)}) rotate(-90)`, "text-anchor": "middle" }, plot.ylabel),
  );
  return group;
}

function makeChart(plot) {
  const ofSequences = unpack(plot.values);
  const ofSubsets = data.subsets.map((item) => unpack(item.curves[plot.key]));
  const count = plot.thresholds.length;
  const value = (k, n) =>
    state.sequence === null ? ofSubsets[state.subset].at(k, n) : ofSequences.at(state.sequence, k, n);
  const lines = svg("g", { class: "lines" });
  const cursor = svg("g", { class: "cursor", visibility: "hidden" });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", tabindex: 0, id: `chart-${plot.key}` },
    drawAxes(plot), lines, cursor,
  );
  const tip = el("div", { class: "tip", role: "status", hidden: true });
  const heading = el("figcaption", {}, plot.title);
  const figure = el("figure", { class: "chart card" }, heading, el("div", { class: "plot" }, picture, tip));
  let at = null;

  function draw() {
    lines.replaceChildren(
      ...shownTrackers().reverse().map((k) => {
        const points = Array.from({ length: count }, (_, n) => `${plotX(n / (count - 1)).toFixed(1)},${plotY(value(k, n)).toFixed(1)}`);
        return line(svg("polyline", { points: points.join(" "), "data-tracker": k }), k);
      }),
    );
    const spoken = shownTrackers().map((k) => `${data.trackers[k].name} ${number(chosenMetric(plot.metric, k))}`);
    const told = plot.key === "success" ? plot.metric : `${plot.metric} at ${plot.thresholds[plot.read_at]}`;
    picture.setAttribute("aria-label", `${plot.title} plot of ${subsetLabel()}; ${told}: ${spoken.join(", ")}. Arrow keys read values.`);
    point(at);
  }

  function point(index) {
    at = index;
    cursor.setAttribute("visibility", index === null ? "hidden" : "visible");
    tip.hidden = index === null;
    if (index === null) return;
    const x = plotX(index / (count - 1));
    const order = [...shownTrackers()].sort((a, b) => value(b, index) - value(a, index));
    cursor.replaceChildren(
      svg("line", { x1: x, x2: x, y1: plotY(0), y2: plotY(100) }),
      ...order.map((k) => {
        const dot = svg("circle", { cx: x, cy: plotY(value(k, index)), r: 3.5 });
        dot.style.fill = trackerColour(k);
        return dot;
      }),
    );
    const threshold = plot.thresholds[index].toFixed(plot.decimals);
    tip.replaceChildren(
      el("b", {}, `${plot.xlabel.split(" [")[0]} ${threshold}${plot.key === "prec" ? " px" : ""}`),
      ...order.map((k) => el("div", { class: "row" }, trackerName(k), el("span", { class: "value" }, number(value(k, index))))),
    );
    const right = index > count / 2;
    tip.style.left = right ? "auto" : `${(100 * x) / SIZE.width + 2}%`;
    tip.style.right = right ? `${100 - (100 * x) / SIZE.width + 2}%` : "auto";
  }

  function pointAt(event) {
    const box = picture.getBoundingClientRect();
    const part = (((event.clientX - box.left) / box.width) * SIZE.width - plotX(0)) / (plotX(1) - plotX(0));
    point(Math.round(Math.min(1, Math.max(0, part)) * (count - 1)));
  }

  picture.addEventListener("pointermove", pointAt);
  picture.addEventListener("pointerdown", pointAt);
  picture.addEventListener("pointerleave", () => point(null));
  picture.addEventListener("blur", () => point(null));
  picture.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key in steps) point(Math.min(count - 1, Math.max(0, (at === null ? (plot.read_at ?? (count - 1) / 2) - steps[event.key] : at) + steps[event.key])));
    else if (event.key === "Escape") point(null);
    else return;
    event.preventDefault();
  });
  views.push(draw);
  return figure;
}

function startCurves() {
  byId("curves").append(...data.plots.map(makeChart));
}
