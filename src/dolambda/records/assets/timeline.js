// Draws the tasks of each worker: zoom by dragging, a double click shows all, a click shows a task.
// Input: the columns of `timeline_data.py`. Output: a canvas in place of the picture for printing.
"use strict";

const ROW_PX = 16, HEIGHT_PX = 640, LABELLED_ROWS = 40, NEAR_PX = 5, MARK_PX = 3;
let zoom = null; // of the first timeline; kept while a running run's page is updated

async function unpacked(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

function columnsOf(buffer, size) {
  return {
    size,
    begin: new Float32Array(buffer, 0, size),
    seconds: new Float32Array(buffer, 4 * size, size),
    task: new Uint32Array(buffer, 8 * size, size),
    worker: new Uint16Array(buffer, 12 * size, size),
    error: new Uint16Array(buffer, 14 * size, size), // 0 for a task that returned a value
  };
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function inWords(seconds) {
  if (seconds >= 120) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds >= 1 || seconds === 0) return `${+seconds.toFixed(2)} s`;
  return `${+(1000 * seconds).toPrecision(3)} ms`;
}

// Tasks are sorted by worker, then by their beginning.
function firstOfRows(columns, rows) {
  const first = new Uint32Array(rows + 1);
  for (let at = 0; at < columns.size; at++) first[columns.worker[at] + 1]++;
  for (let row = 0; row < rows; row++) first[row + 1] += first[row];
  return first;
}

function drawTasks(u, columns, first) {
  const { left, top, width, height } = u.bbox;
  const { min, max } = u.scales.x;
  const rows = first.length - 1, rowHeight = height / rows, scale = width / (max - min);
  const gap = rowHeight < 4 ? 0 : Math.min(rowHeight / 5, 3 * devicePixelRatio);
  const failed = [];
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  u.ctx.fillStyle = colour("--busy");
  for (let row = 0; row < rows; row++) {
    const y = Math.round(top + row * rowHeight + gap / 2);
    const tall = Math.max(1, Math.round(top + (row + 1) * rowHeight - gap / 2) - y);
    let drawn = -1; // what falls into a pixel that is drawn already is not drawn again
    for (let at = first[row]; at < first[row + 1]; at++) {
      const x = left + (columns.begin[at] - min) * scale;
      const end = Math.max(x + 1, x + columns.seconds[at] * scale);
      if (end < left || x > left + width) continue;
      if (columns.error[at]) failed.push([x, y, Math.max(MARK_PX, end - x), Math.max(MARK_PX, tall)]);
      else if (end > drawn) {
        const from = Math.max(x, drawn), wide = end - from;
        u.ctx.fillRect(from, y, wide > 4 ? wide - 1 : wide, tall);
        drawn = Math.ceil(end);
      }
    }
  }
  u.ctx.fillStyle = colour("--bad");
  for (const place of failed) u.ctx.fillRect(...place);
  u.ctx.restore();
}

function taskAt(u, columns, first) {
  const rows = first.length - 1, { left, top } = u.cursor;
  if (left < 0 || top < 0) return -1;
  const rowAt = (y) => Math.max(0, Math.min(rows - 1, Math.floor((y / u.over.clientHeight) * rows)));
  const when = u.posToVal(left, "x");
  const near = u.posToVal(left + NEAR_PX, "x") - when;
  const isAt = (at, around) => columns.begin[at] - around <= when &&
    when <= columns.begin[at] + columns.seconds[at] + around;
  let failed = -1, found = -1; // a failed task is found near its place, too: it may be tiny
  const from = first[rowAt(top - NEAR_PX)], to = first[rowAt(top + NEAR_PX) + 1];
  for (let at = from; at < to; at++) if (columns.error[at] && isAt(at, near)) failed = at;
  const row = rowAt(top);
  for (let at = first[row]; at < first[row + 1]; at++) {
    if (isAt(at, 0)) found = at;
    if (columns.error[at] && isAt(at, near)) return at;
  }
  return failed >= 0 ? failed : found;
}

function described(columns, facts, at) {
  const error = facts.errors[columns.error[at] - 1];
  const when = `from ${inWords(columns.begin[at])}, took ${inWords(columns.seconds[at])}`;
  const worker = facts.workers[columns.worker[at]];
  const failure = columns.error[at] ? `: ${error || "failed"}` : "";
  return `Task ${columns.task[at]} on worker ${worker}, ${when}${failure}`;
}

function optionsOf(figure, facts, columns, first, detail, isFirst) {
  const rows = facts.workers.length, height = Math.min(ROW_PX, HEIGHT_PX / rows);
  const line = { stroke: () => colour("--line"), width: 1 };
  const ink = { stroke: () => colour("--soft"), font: "12px system-ui, sans-serif" };
  const labelled = rows <= LABELLED_ROWS;
  const splits = Array.from({ length: rows }, (_, row) => row + 0.5);
  let pinned = false;
  const show = (u) => {
    const at = taskAt(u, columns, first);
    if (at >= 0) detail.textContent = described(columns, facts, at);
    return at >= 0;
  };
  return {
    width: figure.clientWidth,
    height: Math.ceil(rows * height) + 40,
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, points: { show: false }, y: false },
    scales: { x: { time: false }, y: { range: [0, rows], dir: -1 } },
    series: [{}, { paths: () => null, points: { show: false } }],
    axes: [
      { ...ink, grid: line, ticks: line, size: 32, values: (_, all) => all.map(inWords) },
      {
        ...ink, show: labelled, side: 3, size: 84, grid: { show: false }, ticks: { show: false },
        splits: () => splits, values: () => facts.workers,
      },
    ],
    hooks: {
      drawAxes: [(u) => drawTasks(u, columns, first)],
      setCursor: [(u) => { if (!pinned) show(u); }],
      setScale: [(u, key) => {
        const { min, max } = u.scales.x;
        if (key === "x" && isFirst) zoom = min > 0 || max < facts.span ? [min, max] : null;
      }],
      ready: [(u) => u.over.addEventListener("click", () => { pinned = show(u); })],
    },
  };
}

async function drawTimelines(root) {
  const figures = [...root.querySelectorAll("figure.timeline")];
  await Promise.all(figures.map((figure, number) => drawTimeline(figure, number === 0)));
}

async function drawTimeline(figure, isFirst) {
  const facts = JSON.parse(figure.querySelector(".facts").textContent);
  const columns = columnsOf(await unpacked(figure.querySelector(".columns").textContent), facts.size);
  const first = firstOfRows(columns, facts.workers.length);
  const chart = figure.querySelector(".chart"), detail = figure.querySelector(".detail");
  figure.classList.add("live");
  const kept = zoom;
  const u = new uPlot(
    optionsOf(figure, facts, columns, first, detail, isFirst), [[0, facts.span], [0, 0]], chart);
  if (kept && isFirst) u.setScale("x", { min: kept[0], max: kept[1] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => u.redraw(false, true));
  new ResizeObserver(() => {
    if (figure.clientWidth && figure.clientWidth !== u.width)
      u.setSize({ width: figure.clientWidth, height: u.height });
  }).observe(figure);
}

drawTimelines(document);
