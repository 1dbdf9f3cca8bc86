// Playback: frames with every tracker's box, and overlap over time with a cursor that follows.

const RATE = 25;
const AHEAD = 12;
// Its width is that of the page, so that its text keeps its size.
const STRIP = { width: 900, height: 170, left: 34, right: 10, top: 10, bottom: 24 };
const player = { clip: null, at: 0, playing: false, speed: 1, shown: 0, images: new Map() };

function tracks(n) {
  const read = JSON.parse(byId(`tracks-${n}`).textContent);
  return Object.fromEntries(Object.entries(read).map(([name, packed]) => [name, unpack(packed)]));
}

function openClip(n) {
  stopPlaying();
  const clip = data.clips[n];
  player.clip = clip;
  player.number = n;
  player.at = 0;
  player.images = new Map();
  player.frames = JSON.parse(byId(`frames-${n}`).textContent).frames;
  Object.assign(player, tracks(n));
  player.total = player.annotation.shape[0];
  const parts = player.parts;
  parts.choice.value = String(n);
  parts.scrub.max = clip.shown - 1;
  const stride = clip.stride === 1 ? "every frame is in this file" : `every ${ordinal(clip.stride)} frame is in this file`;
  parts.about.textContent = `${plural(player.total, "frame")} of ${clip.size[0]} × ${clip.size[1]} pixels; ${stride}`;
  byId("player").hidden = false;
  drawStrip();
  show(0);
  byId("playback").scrollIntoView({ block: "start" });
  parts.stage.focus({ preventScroll: true });
}

function ordinal(count) {
  const ends = { 1: "st", 2: "nd", 3: "rd" };
  return `${count}${Math.floor(count / 10) % 10 === 1 ? "th" : ends[count % 10] || "th"}`;
}

const frameNumber = () => player.at * player.clip.stride;

// The image of an embedded frame; a few on either side are kept.
function image(index) {
  if (!player.images.has(index)) {
    const picture = new Image();
    picture.addEventListener("load", () => { if (index === player.at && player.images.get(index) === picture) drawStage(); });
    picture.src = `data:image/jpeg;base64,${player.frames[index]}`;
    player.images.set(index, picture);
    for (const old of player.images.keys()) if (Math.abs(old - player.at) > 2 * AHEAD) player.images.delete(old);
  }
  return player.images.get(index);
}

function show(index) {
  player.at = Math.min(player.clip.shown - 1, Math.max(0, index));
  for (let next = player.at; next < Math.min(player.clip.shown, player.at + AHEAD); next += 1) image(next);
  const { scrub, frame, stage } = player.parts;
  scrub.value = player.at;
  const text = `Frame ${frameNumber() + 1} of ${player.total}`;
  scrub.setAttribute("aria-valuetext", text);
  frame.textContent = text;
  stage.setAttribute("aria-label", `${player.clip.sequence}, ${text.toLowerCase()}. Space plays, arrow keys step.`);
  drawStage();
  drawCursor();
  drawValues();
}

function strokeBox(context, box, scale, colour, width, dash) {
  const [x, y, w, h] = box.map((value) => value * scale);
  if (![x, y, w, h].every(Number.isFinite) || w <= 0 || h <= 0) return;
  context.setLineDash([]);
  context.strokeStyle = isDark(colour) ? "rgba(255,255,255,.75)" : "rgba(0,0,0,.65)";
  context.lineWidth = width + 2;
  context.strokeRect(x, y, w, h);
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.strokeRect(x, y, w, h);
}

function isDark(colour) {
  const [r, g, b] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 60;
}

function drawStage() {
  if (!player.clip) return;
  const canvas = player.parts.stage;
  const [width, height] = player.clip.size;
  const ratio = window.devicePixelRatio || 1;
  const across = Math.max(1, Math.round((canvas.clientWidth || 640) * ratio));
  if (canvas.width !== across || canvas.height !== Math.round((across * height) / width)) {
    canvas.width = across;
    canvas.height = Math.round((across * height) / width);
  }
  const context = canvas.getContext("2d");
  const picture = image(player.at);
  if (!picture.complete || !picture.naturalWidth) return;
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const scale = canvas.width / width;
  const t = frameNumber();
  const box = (source, ...row) => [0, 1, 2, 3].map((side) => source.at(...row, t, side));
  // The order of the command line: the first tracker is thick and on top.
  for (let k = data.trackers.length - 1; k >= 0; k -= 1) {
    if (state.hidden.has(k)) continue;
    const dash = data.trackers[k].dash.map((length) => length * 1.6 * ratio);
    strokeBox(context, box(player.boxes, k), scale, resolvedColour(k), (k === 0 ? 3.5 : 2) * ratio, dash);
  }
  if (!player.hideAnnotation) strokeBox(context, box(player.annotation), scale, "#ffffff", 1.2 * ratio, []);
}

const stripX = (t) => STRIP.left + (t / Math.max(1, player.total - 1)) * (STRIP.width - STRIP.left - STRIP.right);
const stripY = (overlap) => STRIP.top + (1 - overlap) * (STRIP.height - STRIP.top - STRIP.bottom);

// The next of 1, 2, 5, 10, 20, 50, ...
function tickStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) || 10);
}

// Lines with gaps where the target is absent, as one path.
function overlapPath(k) {
  let path = "";
  let down = false;
  for (let t = 0; t < player.total; t += 1) {
    const value = player.overlap.at(k, t);
    if (Number.isFinite(value)) path += `${down ? "L" : "M"}${stripX(t).toFixed(1)} ${stripY(value).toFixed(1)}`;
    down = Number.isFinite(value);
  }
  return path;
}

function absentSpans() {
  const spans = [];
  for (let t = 0; t < player.total; t += 1) {
    if (Number.isFinite(player.annotation.at(t, 2))) continue;
    const last = spans[spans.length - 1];
    if (last && last[1] === t - 1) last[1] = t;
    else spans.push([t, t]);
  }
  return spans;
}

function drawStrip() {
  const { strip } = player.parts;
  STRIP.width = Math.max(300, strip.clientWidth || 900);
  strip.setAttribute("viewBox", `0 0 ${STRIP.width} ${STRIP.height}`);
  const axes = svg("g", { class: "axes" });
  for (const tick of [0, 0.5, 1]) {
    axes.append(
      svg("line", { class: "rule", x1: stripX(0), x2: STRIP.width - STRIP.right, y1: stripY(tick), y2: stripY(tick) }),
      svg("text", { x: STRIP.left - 6, y: stripY(tick) + 4, "text-anchor": "end" }, tick.toFixed(1)),
    );
  }
  const step = tickStep(player.total / Math.max(2, STRIP.width / 110));
  for (let t = step; t <= player.total; t += step) {
    const x = stripX(t - 1);
    axes.append(svg("line", { class: "tick", x1: x, x2: x, y1: stripY(0), y2: stripY(0) + 4 }), svg("text", { x, y: STRIP.height - 5, "text-anchor": x > STRIP.width - 30 ? "end" : "middle" }, String(t)));
  }
  const spans = absentSpans().map(([first, last]) => svg("rect", { class: "absent", x: stripX(first - 0.5), y: stripY(1), width: Math.max(1, stripX(last + 0.5) - stripX(first - 0.5)), height: stripY(0) - stripY(1) }, svg("title", {}, "the target is absent")));
  const paths = shownTrackers().reverse().map((k) => line(svg("path", { d: overlapPath(k), "data-tracker": k }), k, k === 0 ? 2.2 : 1.6));
  player.cursor = svg("line", { class: "now", y1: stripY(1), y2: stripY(0) });
  strip.replaceChildren(...spans, axes, ...paths, player.cursor);
  const means = shownTrackers().map((k) => `${data.trackers[k].name} ${number(meanOverlap(k), 2)}`);
  strip.setAttribute("aria-label", `Overlap with the annotation over time on ${player.clip.sequence}; means: ${means.join(", ")}`);
  player.parts.stripNote.textContent = `Overlap (intersection over union) of each frame's boxes as they stand in the results${spans.length ? "; shaded where the target is absent" : ""}. Press to jump to a frame.`;
}

function meanOverlap(k) {
  const values = Array.from({ length: player.total }, (_, t) => player.overlap.at(k, t)).filter(Number.isFinite);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : NaN;
}

function drawCursor() {
  const x = stripX(frameNumber());
  player.cursor.setAttribute("x1", x);
  player.cursor.setAttribute("x2", x);
}

function drawValues() {
  player.parts.values.replaceChildren(
    ...shownTrackers().map((k) => el("li", {}, trackerName(k), el("span", { class: "value" }, number(player.overlap.at(k, frameNumber()), 2)))),
  );
}

function jumpTo(event) {
  const box = player.parts.strip.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * STRIP.width;
  const part = (x - STRIP.left) / (STRIP.width - STRIP.left - STRIP.right);
  show(Math.round((part * (player.total - 1)) / player.clip.stride));
}

function stopPlaying() {
  player.playing = false;
  drawPlayButton();
}

function togglePlaying() {
  player.playing = !player.playing;
  if (player.playing && player.at === player.clip.shown - 1) show(0);
  drawPlayButton();
  player.shown = performance.now();
  if (player.playing) requestAnimationFrame(advance);
}

function drawPlayButton() {
  const { play } = player.parts;
  play.textContent = player.playing ? "❚❚" : "▶";
  play.setAttribute("aria-label", player.playing ? "Pause" : "Play");
  play.title = `${player.playing ? "pause" : "play"} (space)`;
}

function advance(now) {
  if (!player.playing) return;
  const wait = 1000 / (RATE * player.speed);
  if (now - player.shown >= wait && player.at < player.clip.shown - 1) {
    // A slow decoder holds the picture back; it never makes frames be skipped.
    const next = image(player.at + 1);
    if (next.complete) {
      player.shown = Math.max(player.shown + wait, now - wait);
      show(player.at + 1);
    }
  }
  if (player.at >= player.clip.shown - 1) stopPlaying();
  else requestAnimationFrame(advance);
}

function playerKeys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.tagName === "SELECT") return;
  const button = event.target.tagName === "BUTTON" || event.target.type === "checkbox";
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  if (event.key === " " && !button) togglePlaying();
  else if (event.key in steps) {
    stopPlaying();
    show(player.at + (event.shiftKey ? 10 : 1) * steps[event.key]);
  } else return;
  event.preventDefault();
}

function buildPlayer() {
  const button = (text, label, title, act) => el("button", { type: "button", "aria-label": label, title, onclick: act }, text);
  const step = (count) => () => { stopPlaying(); show(player.at + count); };
  const parts = {
    choice: el("select", { id: "clip", onchange: (event) => openClip(Number(event.target.value)) }, ...data.clips.map((clip, n) => el("option", { value: n }, clip.sequence))),
    about: el("span", { class: "hint" }),
    stage: el("canvas", { class: "stage", role: "img", tabindex: 0, onclick: () => togglePlaying() }),
    play: button("▶", "Play", "play (space)", togglePlaying),
    scrub: el("input", { type: "range", id: "scrub", min: 0, max: 0, step: 1, value: 0, "aria-label": "Frame" }),
    frame: el("output", { class: "frame", id: "frame", for: "scrub" }),
    speed: el("select", { id: "speed", onchange: (event) => { player.speed = Number(event.target.value); } }, ...[0.25, 0.5, 1, 2, 4].map((speed) => el("option", { value: speed, selected: speed === 1 }, `${speed} ×`))),
    annotation: el("input", { type: "checkbox", checked: true, onchange: (event) => { player.hideAnnotation = !event.target.checked; drawStage(); } }),
    values: el("ul", { class: "values", "aria-label": "Overlap in this frame" }),
    strip: svg("svg", { class: "strip", role: "img" }),
    stripNote: el("p", { class: "hint" }),
  };
  parts.scrub.addEventListener("input", () => { stopPlaying(); show(Number(parts.scrub.value)); });
  parts.strip.addEventListener("pointerdown", (event) => { stopPlaying(); parts.strip.setPointerCapture(event.pointerId); jumpTo(event); });
  parts.strip.addEventListener("pointermove", (event) => { if (event.buttons) jumpTo(event); });
  player.parts = parts;
  const box = byId("player");
  box.addEventListener("keydown", playerKeys);
  box.append(
    el("div", { class: "tools" }, el("label", {}, "Sequence ", parts.choice), parts.about),
    el("div", { class: "watch" },
      el("div", { class: "screen" }, parts.stage,
        el("div", { class: "controls" }, button("◂", "Previous frame", "previous frame (left arrow)", step(-1)), parts.play, button("▸", "Next frame", "next frame (right arrow)", step(1)), parts.scrub, parts.frame,
          el("label", {}, "Speed ", parts.speed))),
      el("div", { class: "beside" }, el("h3", {}, "Overlap in this frame"), parts.values,
        el("label", { class: "annotation" }, parts.annotation, " annotation (white)"),
        el("p", { class: "hint" }, "Space plays and pauses, arrow keys step (with Shift ten frames), Home and End go to the ends."))),
    el("div", { class: "card" }, parts.strip), parts.stripNote,
  );
}

function startPlayer() {
  const clips = data.clips || [];
  const playsOther = data.trackers.some((tracker) => tracker.runs > 1) ? " Of a tracker whose runs are averaged, the first run is shown." : "";
  const none = "No frames are in this file; make it with --play NAME to have some.";
  byId("playback-note").textContent = [clips.length ? `Frames of ${plural(clips.length, "sequence")} are in this file.${playsOther}` : none, data.page.playback].filter(Boolean).join(" Note: ");
  if (!clips.length) return;
  buildPlayer();
  openFirst();
  const draw = () => { drawStrip(); drawCursor(); drawValues(); drawStage(); };
  views.push(draw);
  new ResizeObserver(draw).observe(player.parts.stage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawStage());
}

// The first clip stands ready, without taking the reader to it.
function openFirst() {
  const [x, y] = [scrollX, scrollY];
  openClip(0);
  scrollTo(x, y);
  player.parts.stage.blur();
}
