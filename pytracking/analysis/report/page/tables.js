// Sortable tables: overall metrics, metrics by attribute, and one row a sequence.

// columns: {key, title, tip, value(row), cell(row), header, text}; the state of sorting outlives redrawing.
function sortableTable(place, caption, columns, rows, options = {}) {
  let order = options.order || { key: columns[0].key, descending: false };
  const body = el("tbody");
  const heads = columns.map((column) => {
    const button = el("button", { type: "button", title: column.tip, onclick: () => sortBy(column) }, column.label || column.title, el("span", { class: "arrow", "aria-hidden": "true" }));
    // Right-aligned headings end where their numbers end.
    if (!column.text) button.prepend(button.lastChild);
    return el("th", { scope: "col", class: column.text ? "text" : "figure", "data-key": column.key }, button);
  });
  place.replaceChildren(el("table", {}, el("caption", { class: "spoken" }, caption), el("thead", {}, el("tr", {}, ...heads)), body));

  function sortBy(column) {
    const again = order.key === column.key;
    order = { key: column.key, descending: again ? !order.descending : !column.text };
    if (options.sorted) options.sorted(order);
    draw();
  }

  function compare(first, second) {
    const column = columns.find((item) => item.key === order.key) || columns[0];
    const [a, b] = [column.value(first), column.value(second)];
    if (column.text) return (order.descending ? -1 : 1) * String(a).localeCompare(String(b), "en", { numeric: true });
    const known = [a, b].map((value) => value !== null && Number.isFinite(value));
    if (!known[0] || !known[1]) return known[1] - known[0];
    return order.descending ? b - a : a - b;
  }

  function draw() {
    columns.forEach((column, n) => {
      const sorted = column.key === order.key ? (order.descending ? "descending" : "ascending") : "none";
      heads[n].setAttribute("aria-sort", sorted);
    });
    const lines = [...rows()].sort(compare).map((row) => {
      const cells = columns.map((column, n) => {
        const tag = n === 0 ? "th" : "td";
        const cell = el(tag, { scope: n === 0 ? "row" : null, class: column.text ? "text" : "figure" });
        cell.append(column.cell(row));
        if (column.dress) column.dress(cell, row);
        return cell;
      });
      const tr = el("tr", {}, ...cells);
      if (options.dressRow) options.dressRow(tr, row);
      return tr;
    });
    if (!lines.length) lines.push(el("tr", {}, el("td", { colspan: columns.length, class: "text empty" }, options.empty || "nothing")));
    body.replaceChildren(...lines);
  }

  draw();
  return draw;
}

function metricColumn(title) {
  return {
    key: title,
    title,
    value: (k) => chosenMetric(title, k),
    cell: (k) => {
      const text = number(chosenMetric(title, k));
      const spread = state.sequence === null && title === headline ? subset().deviation[k] : null;
      return spread === null ? text : `${text} ± ${number(spread)}`;
    },
    dress: (cell, k) => {
      const best = Math.max(...shownTrackers().map((other) => chosenMetric(title, other) ?? -Infinity));
      if (shownTrackers().length > 1 && chosenMetric(title, k) === best) cell.classList.add("best");
    },
  };
}

// The interval of a difference as a bar about zero; `reach` is the end of the scale.
function intervalBar(found, reach) {
  const x = (value) => 60 + (54 * value) / reach;
  return svg(
    "svg",
    { class: { yes: "interval told", "too few": "interval few" }[found.verdict] || "interval", viewBox: "0 0 120 16", width: 120, height: 16, "aria-hidden": "true" },
    svg("line", { class: "zero", x1: 60, x2: 60, y1: 0, y2: 16 }),
    svg("line", { class: "range", x1: x(found.low), x2: x(found.high), y1: 8, y2: 8 }),
    svg("circle", { cx: x(found.mean), cy: 8, r: 3.5 }),
  );
}

function differenceColumn() {
  const found = (k) => (state.sequence === null ? subset().differences[k] : null);
  return {
    key: "difference",
    title: `${headline} − ${data.trackers[data.base].name}`,
    tip: `difference to ${data.trackers[data.base].name} with its interval of ${100 * data.bootstrap.level} %`,
    value: (k) => (found(k) ? found(k).mean : k === data.base ? 0 : null),
    cell: (k) => {
      if (k === data.base) return "base";
      if (!found(k)) return "–";
      const { mean, low, high } = found(k);
      const reach = Math.max(1, ...data.trackers.map((_, j) => (found(j) ? Math.max(Math.abs(found(j).low), Math.abs(found(j).high)) : 0)));
      return el("span", { class: "difference" }, el("span", {}, `${signed(mean)} [${signed(low)}, ${signed(high)}]`), intervalBar(found(k), reach));
    },
  };
}

function startOverall() {
  const speed = { key: "fps", title: "FPS", tip: "frames a second over all sequences, reading images excluded", value: (k) => data.trackers[k].fps, cell: (k) => { const fps = data.trackers[k].fps; return fps > 9999 ? ">9999" : number(fps); } };
  const name = { key: "tracker", title: "Tracker", text: true, value: (k) => data.trackers[k].name, cell: trackerName };
  const columns = [name, ...Object.keys(data.metrics).map(metricColumn), speed];
  if (data.trackers.length > 1) columns.push(differenceColumn());
  views.push(sortableTable(byId("overall"), "Metrics of every tracker", columns, shownTrackers, { order: { key: headline, descending: true }, empty: "every tracker is hidden" }));
  const merged = data.trackers.some((tracker) => tracker.runs > 1) ? " ± is the standard deviation over runs (divisor runs − 1)." : "";
  const { samples, level, seed, fewest } = data.bootstrap;
  const few = data.sequences.length < fewest ? ` Warning: ${plural(data.sequences.length, "sequence")} are too few; from about ${fewest} on an interval means something.` : "";
  const bootstrap = data.trackers.length > 1 ? ` Differences: interval of ${100 * level} % by a paired bootstrap over the sequences (${samples} samples, seed ${seed}); a filled dot means that it excludes 0, a dotted line that there are too few sequences to say.${few}` : "";
  byId("overall-hint").textContent = `All metrics in percent.${merged}${bootstrap}`;
}

function startAttributes() {
  if (data.subsets.length < 2) return;
  byId("attributes-section").hidden = false;
  const choose = (n) => { chooseSubset(n, null); byId("h-overall").scrollIntoView({ block: "start" }); };
  const draw = () => {
    const columns = [
      { key: "name", title: "Attribute", text: true, value: (n) => data.subsets[n].name || "all", cell: (n) => el("button", { type: "button", class: "link", onclick: () => choose(n) }, data.subsets[n].title || "all") },
      { key: "count", title: "Sequences", value: (n) => data.subsets[n].rows.length, cell: (n) => String(data.subsets[n].rows.length) },
      ...shownTrackers().map((k) => trackerColumn(k, (n) => data.subsets[n].metrics[headline][k], (n) => shownTrackers().map((j) => data.subsets[n].metrics[headline][j]))),
    ];
    sortableTable(byId("attributes"), `${headline} by attribute`, columns, () => data.subsets.keys(), { order: draw.order, sorted: (order) => { draw.order = order; } });
  };
  views.push(draw);
}

function trackerColumn(k, value, all) {
  return {
    key: `tracker-${k}`,
    title: data.trackers[k].name,
    label: trackerName(k),
    value,
    cell: (row) => number(value(row)),
    dress: (cell, row) => {
      cell.classList.add("bar-cell");
      cell.style.setProperty("--part", `${Math.max(0, value(row) || 0)}%`);
      if (all(row).length > 1 && value(row) === Math.max(...all(row))) cell.classList.add("best");
    },
  };
}

function matches(sequence, words) {
  const text = [sequence.name, ...sequence.attributes].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function startSequences() {
  const filter = byId("filter");
  const metric = byId("metric");
  metric.append(...Object.keys(data.metrics).map((title) => el("option", {}, title)));
  const attributes = data.sequences.some((sequence) => sequence.attributes.length);
  const clips = new Map((data.clips || []).map((clip, n) => [clip.sequence, n]));
  const playable = (s) => clips.has(data.sequences[s].name);
  const open = (s) => (playable(s) ? openClip(clips.get(data.sequences[s].name)) : showCurvesOf(s));

  function nameCell(s) {
    const sequence = data.sequences[s];
    const what = playable(s) ? `Play ${sequence.name}` : `Curves of ${sequence.name}`;
    return el("button", { type: "button", class: "link", "aria-label": what, title: what, onclick: (event) => { event.stopPropagation(); open(s); } },
      el("span", { class: "play-mark", "aria-hidden": "true" }, playable(s) ? "▶" : ""), sequence.name);
  }

  function draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = data.sequences.map((_, s) => s).filter((s) => matches(data.sequences[s], words) && (state.sequence !== null || subset().rows.includes(s)));
    const value = (s, k) => metricValues[state.metric].at(s, k);
    const spread = (s) => { const all = shownTrackers().map((k) => value(s, k)); return Math.max(...all) - Math.min(...all); };
    const columns = [
      { key: "name", title: "Sequence", text: true, value: (s) => data.sequences[s].name, cell: nameCell },
      { key: "frames", title: "Frames", value: (s) => data.sequences[s].frames, cell: (s) => String(data.sequences[s].frames) },
      ...shownTrackers().map((k) => trackerColumn(k, (s) => value(s, k), (s) => shownTrackers().map((j) => value(s, j)))),
    ];
    if (shownTrackers().length > 1) columns.push({ key: "spread", title: "Spread", tip: "best minus worst tracker", value: spread, cell: (s) => number(spread(s)) });
    if (attributes) columns.push({ key: "attributes", title: "Attributes", text: true, value: (s) => data.sequences[s].attributes.join(" "), cell: (s) => data.sequences[s].attributes.join(" ") });
    sortableTable(byId("per-sequence"), `${state.metric} of every sequence`, columns, () => rows, {
      order: draw.order,
      sorted: (order) => { draw.order = order; },
      empty: "no sequence of this name or attribute",
      dressRow: (tr, s) => { tr.classList.add("open"); tr.dataset.sequence = s; tr.addEventListener("click", () => open(s)); },
    });
    byId("count").textContent = rows.length === data.sequences.length ? `${rows.length}` : `${rows.length} of ${data.sequences.length}`;
  }

  filter.addEventListener("input", draw);
  metric.addEventListener("change", () => { state.metric = metric.value; draw(); });
  byId("sequences-hint").textContent = clips.size
    ? "Press a row to open it: ▶ plays its frames, the others show their curves. Press a column to sort by it."
    : "Press a row to see its curves, a column to sort by it.";
  views.push(draw);
}
