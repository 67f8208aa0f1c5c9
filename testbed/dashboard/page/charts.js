// Plots: one thin layer above uPlot, a density on a canvas, and swatches for legends. Text only ever becomes text.
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 200;
const REDRAW_MS = 250;
export const DASHES = [[], [9, 4], [2, 3], [11, 3, 2, 3], [5, 2], [1, 5]];

export const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const runColor = index => css(`--run-${index % 6}`);

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function swatch(color, dash = [], width = 2) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 30 10");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({x1: 0, y1: 5, x2: 30, y2: 5, stroke: color, "stroke-width": width}))
    line.setAttribute(name, value);
  if (dash.length) line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.append(line);
  return svg;
}

const theme = matchMedia("(prefers-color-scheme: dark)");
const charts = new Set();
theme.addEventListener("change", () => charts.forEach(chart => chart.rebuild()));

export class Chart {
  // series: [{label, color() , dash, width, points, alpha}]; draws at most four times a second, and only what is in view
  constructor(box, {xLabel, yLabel, height = HEIGHT, sync = null, digits = 4, marks = null, format = null}) {
    Object.assign(this, {box, xLabel, yLabel, height, digits, marks, format});
    this.sync = sync;
    this.readout = box.closest(".panel").querySelector(".readout");
    this.plot = null; this.key = ""; this.series = []; this.data = [[]]; this.zoomed = false;
    this.drawn = 0; this.timer = 0; this.inView = true; this.dirty = false; this.reason = "";
    new ResizeObserver(() => this.resize()).observe(box);
    new IntersectionObserver(seen => { this.inView = seen.at(-1).isIntersecting; if (this.inView && this.dirty) this.draw(); }, {rootMargin: "300px"}).observe(box);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.dirty) this.draw(); });
    charts.add(this);
  }

  empty(reason) {  // no data: say why
    if (this.reason === reason) return;
    this.destroy();
    this.reason = reason;
    this.box.classList.add("empty");
    this.box.replaceChildren(element("span", reason));
  }

  show(series, data) {
    if (this.reason) { this.reason = ""; this.box.classList.remove("empty"); this.box.replaceChildren(); }
    const key = JSON.stringify(series.map(each => [each.label, each.dash, each.colorName, each.points]));
    if (key !== this.key) { this.destroy(); this.key = key; this.series = series; }
    this.data = data;
    this.dirty = true;
    if (this.timer) return;
    const wait = this.drawn + REDRAW_MS - performance.now();
    this.timer = setTimeout(() => { this.timer = 0; if (this.inView && !document.hidden) this.draw(); }, Math.max(0, wait));
  }

  draw() {
    if (this.reason || !this.series.length) return;
    this.dirty = false;
    this.drawn = performance.now();
    if (!this.plot) this.build();
    else { this.plot.setData(this.data, !this.zoomed); if (this.zoomed) this.plot.redraw(); }
    this.box.dataset.points = this.data[0].length;
  }

  build() {
    const ink = css("--soft"), grid = css("--grid");
    const axis = {stroke: ink, grid: {stroke: grid, width: 1}, ticks: {stroke: grid, width: 1, size: 4}, font: "11px system-ui, sans-serif", labelFont: "11.5px system-ui, sans-serif", labelSize: 18, labelGap: 0};
    const plain = value => value === null ? "" : String(+value.toPrecision(12));
    this.plot = new uPlot({
      width: Math.max(80, this.box.clientWidth), height: this.height,
      legend: {show: false}, padding: [8, 16, 0, 0],
      scales: {x: {time: false}},
      cursor: {sync: this.sync ? {key: this.sync, scales: ["x", null]} : undefined, y: false, points: {size: 6}},
      axes: [{...axis, label: this.xLabel, size: 26, space: 55, values: (_, ticks) => ticks.map(plain)},
             {...axis, label: this.yLabel, size: 46, space: 32, values: (_, ticks) => ticks.map(plain)}],
      series: [{}, ...this.series.map(each => ({
        label: each.label, stroke: css(each.colorName), dash: each.dash, width: each.width ?? 1.6, alpha: each.alpha ?? 1,
        spanGaps: each.spanGaps ?? true,
        points: {show: each.points ? (u, s) => u.data[s].reduce((n, y) => n + (y !== null && y !== undefined), 0) < 80 : false, size: 5, fill: css(each.colorName)},
      }))],
      hooks: {
        drawClear: this.marks ? [u => this.marks(u)] : [],
        setSelect: [u => { this.zoomed = u.select.width > 0; }],
        setCursor: [u => this.read(u)],
        ready: [u => u.over.addEventListener("dblclick", () => { this.zoomed = false; })],
      },
    }, this.data, this.box);
  }

  read(u) {
    if (!this.readout) return;
    const at = u.cursor.idx;
    if (at === null || at === undefined) { this.readout.textContent = ""; return; }
    const values = this.series.map((each, place) => {
      let near = at;
      while (near >= 0 && (u.data[place + 1][near] ?? null) === null) near--;
      return near < 0 ? null : +u.data[place + 1][near].toPrecision(this.digits);
    }).filter(value => value !== null);
    this.readout.textContent = `${this.xLabel.split(" ")[0]} ${+u.data[0][at].toPrecision(8)}: ${values.join(" · ")}`;
  }

  resize() { if (this.plot && this.box.clientWidth) this.plot.setSize({width: this.box.clientWidth, height: this.height}); }
  rebuild() { if (this.plot) { this.plot.destroy(); this.plot = null; this.draw(); } }
  destroy() { clearTimeout(this.timer); this.timer = 0; this.key = ""; this.zoomed = false; if (this.plot) { this.plot.destroy(); this.plot = null; } }
}

export function joined(tables) {  // [[x, y…], …] → one table, as uPlot wants it
  return tables.length === 1 ? tables[0] : uPlot.join(tables);
}

const BINS = 44;
export function density(canvas, symbols) {  // how many symbols fell where, last one marked; returns half the width shown
  const side = Math.max(120, canvas.clientWidth), scale = devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(side * scale);
  const ctx = canvas.getContext("2d");
  ctx.setTransform(scale, 0, 0, scale, 0, 0);
  ctx.clearRect(0, 0, side, side);
  const left = 38, bottom = 30, top = 8, size = Math.min(side - left - 8, side - top - bottom);
  const sorted = symbols.map(([re, im]) => Math.max(Math.abs(re), Math.abs(im))).sort((a, b) => a - b);
  const reach = sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.995))] * 1.15 || 1 : 1;
  const counts = new Float64Array(BINS * BINS);
  let most = 0;
  const bin = value => Math.floor((value / reach + 1) / 2 * BINS);
  for (const [re, im] of symbols) {
    const column = bin(re), row = bin(im);
    if (column >= 0 && column < BINS && row >= 0 && row < BINS) most = Math.max(most, ++counts[row * BINS + column]);
  }
  const [r, g, b] = rgb(css("--run-0")), cell = size / BINS;
  ctx.fillStyle = css("--page"); ctx.fillRect(left, top, size, size);
  for (let row = 0; row < BINS; row++) for (let column = 0; column < BINS; column++) {
    const count = counts[row * BINS + column];
    if (!count) continue;
    ctx.fillStyle = `rgb(${r} ${g} ${b} / ${0.25 + 0.75 * Math.log1p(count) / Math.log1p(most)})`;
    ctx.fillRect(left + column * cell, top + (BINS - 1 - row) * cell, Math.ceil(cell), Math.ceil(cell));
  }
  ctx.strokeStyle = css("--grid"); ctx.lineWidth = 1;
  ctx.beginPath(); ctx.moveTo(left + size / 2, top); ctx.lineTo(left + size / 2, top + size);
  ctx.moveTo(left, top + size / 2); ctx.lineTo(left + size, top + size / 2); ctx.stroke();
  ctx.strokeStyle = css("--line"); ctx.strokeRect(left + .5, top + .5, size, size);
  if (symbols.length) {
    const [re, im] = symbols.at(-1), x = left + (re / reach + 1) / 2 * size, y = top + (1 - im / reach) / 2 * size;
    ctx.strokeStyle = css("--run-1"); ctx.lineWidth = 2;
    ctx.beginPath(); ctx.moveTo(x - 6, y - 6); ctx.lineTo(x + 6, y + 6); ctx.moveTo(x - 6, y + 6); ctx.lineTo(x + 6, y - 6); ctx.stroke();
  }
  ctx.fillStyle = css("--soft"); ctx.font = "11px system-ui, sans-serif";
  const label = +reach.toPrecision(2);
  ctx.textAlign = "left"; ctx.fillText(`−${label}`, left, top + size + 13);
  ctx.textAlign = "right"; ctx.fillText(`${label}`, left + size, top + size + 13);
  ctx.textAlign = "center"; ctx.fillText("I", left + size / 2, top + size + 15);
  ctx.textAlign = "right"; ctx.fillText("Q", left - 8, top + size / 2 + 4);
  ctx.fillText(`${label}`, left - 5, top + 9); ctx.fillText(`−${label}`, left - 5, top + size);
  return reach;
}

function rgb(hex) { return [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16)); }
