// Puts the page together: header, legend, choice of sequences.

function chooseSubset(n, sequence) {
  state.subset = n;
  state.sequence = sequence;
  byId("subset").value = sequence === null ? `subset-${n}` : `sequence-${sequence}`;
  changed();
}

function showCurvesOf(sequence) {
  chooseSubset(state.subset, sequence);
  byId("h-overall").scrollIntoView({ block: "start" });
}

function startHeader() {
  const { protocol, page } = data;
  byId("subtitle").textContent = `${plural(data.sequences.length, "sequence")}, ${plural(data.sequences.reduce((sum, item) => sum + item.frames, 0), "frame")}, ${plural(data.trackers.length, "tracker")}. Made ${page.made}.`;
  const left = data.excludes_invalid ? " Frames without a valid annotation are left out." : "";
  byId("rule").replaceChildren(el("b", {}, `Protocol ${protocol.name}: `), `${protocol.rule}.${left}`);
  if (data.notes.length) {
    const items = data.notes.map((note) => el("li", {}, note));
    const list = el("details", { open: data.notes.length < 6 }, el("summary", {}, plural(data.notes.length, "note")), el("ul", {}, ...items));
    byId("notes").append(list);
  }
  byId("made").append(
    page.command ? el("p", {}, "Made by ", el("code", {}, page.command)) : "",
    el("p", {}, `${page.versions}. Source of the protocol: ${protocol.source}.`),
    el("p", {}, "This file loads nothing from elsewhere."),
  );
}

function startLegend() {
  const buttons = data.ranking.map((k) => {
    const button = el("button", { type: "button", "data-tracker": k, title: "press to hide or show; with Shift, show this one alone" }, trackerName(k));
    button.addEventListener("click", (event) => {
      if (event.shiftKey) state.hidden = new Set(data.ranking.filter((other) => other !== k));
      else if (!state.hidden.delete(k)) state.hidden.add(k);
      changed();
    });
    return button;
  });
  const all = el("button", { type: "button", class: "all", hidden: true, onclick: () => { state.hidden.clear(); changed(); } }, "show all");
  byId("legend").append(...buttons, all);
  views.push(() => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(!state.hidden.has(Number(button.dataset.tracker))));
    all.hidden = !state.hidden.size;
  });
}

function startSubsets() {
  const select = byId("subset");
  const option = (value, text) => el("option", { value }, text);
  const subsets = data.subsets.map((item, n) => option(`subset-${n}`, subsetName(item)));
  select.append(subsets[0]);
  if (subsets.length > 1) select.append(el("optgroup", { label: "Attributes" }, ...subsets.slice(1)));
  select.append(el("optgroup", { label: "Sequences" }, ...data.sequences.map((item, s) => option(`sequence-${s}`, item.name))));
  select.addEventListener("change", () => {
    const [kind, n] = select.value.split("-");
    if (kind === "subset") chooseSubset(Number(n), null);
    else chooseSubset(0, Number(n));
  });
  views.push(() => {
    for (const node of document.querySelectorAll(".of-subset")) node.textContent = subsetLabel();
  });
}

startHeader();
startLegend();
startSubsets();
startOverall();
startCurves();
startAttributes();
startSequences();
startPlayer();
byId("bar").hidden = false;
byId("main").hidden = false;
changed();
