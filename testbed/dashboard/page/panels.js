// What each panel shows of the runs. Every figure is in the page with its exact value: data-field, data-value, data-round.
import {Chart, DASHES, css, density, element, joined, swatch} from "/charts.js";

const byId = id => document.getElementById(id);
const color = run => `--run-${run.index % 6}`;
const dash = run => DASHES[run.index % DASHES.length];
const isShare = name => name !== "perplexity";
const PARTS = {guard: "--soft", sync: "--run-4", pilots: "--run-0", gap: "--soft", values: "--run-1", slot: "--run-1", tones: "--run-1", search: "--run-1", tail: "--soft"};
const PART_WORDS = {values: "payload", slot: "payload", tones: "payload tones", search: "payload within", sync: "sync"};
const TIMES = [["learner_s", "learner", "--run-0"], ["radio_s", "radio", "--run-1"], ["control_s", "control", "--run-5"]];
const STATES = {waiting: "waiting for its files", running: "running", quiet: "nothing new for a while", ended: "ended", failed: "failed", gone: "its files are gone; this is what they said"};
const COUNTED = ["ok", "retried", "silent", "skipped", "rejected"];

const number = (value, digits = 3) => value === null || value === undefined ? "–" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : String(+value.toFixed(digits)).replace("-", "−");
const fixed = (value, digits) => value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
const seconds = value => value >= 7200 ? `${(value / 3600).toFixed(1)} h` : value >= 120 ? `${(value / 60).toFixed(1)} min` : `${value.toFixed(1)} s`;

function figure(tag, field, value, round, text, index) {
  const made = element(tag, text);
  made.dataset.field = field;
  made.dataset.run = index;
  if (value !== null && value !== undefined) made.dataset.value = value;
  if (round !== null && round !== undefined) made.dataset.round = round;
  return made;
}

function pair(list, term, field, value, text, index) {
  const box = element("div");
  box.append(element("dt", term), figure("dd", field, value, null, text, index));
  list.append(box);
}

export class Panels {
  constructor(runs) {
    this.runs = runs;
    this.focus = 0;
    const at = id => byId(id).querySelector(".plot");
    const rounds = {xLabel: "round", sync: "rounds"};
    this.charts = {
      loss: new Chart(at("panel-loss"), {...rounds, yLabel: "loss"}),
      metric: new Chart(at("panel-metric"), {...rounds, yLabel: "%"}),
      nmse: new Chart(at("panel-nmse"), {...rounds, yLabel: "NMSE (dB)"}),
      snr: new Chart(at("panel-snr"), {...rounds, yLabel: "SNR (dB)"}),
      trace: new Chart(at("figure-trace"), {xLabel: "time (µs)", yLabel: "amplitude", marks: u => this.mark(u)}),
      spectrum: new Chart(at("figure-spectrum"), {xLabel: "frequency from the carrier (kHz)", yLabel: "power (dB)"}),
      privacy: new Chart(at("panel-privacy"), {...rounds, yLabel: "ε", height: 150}),
      schedule: new Chart(at("panel-schedule"), {...rounds, yLabel: "gain c (dB)", height: 150}),
    };
    byId("focus-run").addEventListener("change", event => { this.focus = +event.target.value; this.details(true); });
    new ResizeObserver(() => this.symbols()).observe(byId("symbols").parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.header(); this.learning(); this.details(true); });
  }

  get known() { return this.runs.filter(Boolean); }
  get focused() { return this.runs[this.focus]; }

  changed(run, news) {  // at most ten times a second
    this.newPicture ||= run.index === this.focus && Boolean(news.picture || news.plan || news.picture_problem);
    this.pending ??= setTimeout(() => {
      const all = this.newPicture || !this.shown;
      this.pending = undefined; this.newPicture = false; this.shown = true;
      this.header(); this.learning(); this.details(all);
      document.body.dataset.ready = this.known.length === this.runs.length;
    }, this.shown ? 100 : 0);
  }

  tick() { for (const run of this.known) this.age(run); }

  // ---- head

  header() {
    const list = byId("runs");
    while (list.children.length < this.runs.length) {
      const item = element("li", "", "run");
      item.append(element("span"), element("span", "", "name"), element("span", "", "place"), element("span", "", "rounds"), element("span", "", "state"));
      list.append(item);
    }
    for (const run of this.known) {
      const [mark, name, place, rounds, state] = list.children[run.index].children;
      if (mark.dataset.color !== css(color(run))) { mark.dataset.color = css(color(run)); mark.replaceChildren(swatch(css(color(run)), dash(run), 3)); }
      name.textContent = `${this.runs.length > 1 ? `${run.index + 1} ` : ""}${run.state.name}`;
      place.textContent = `\u200e${run.state.place}`;
      place.title = run.state.place;
      rounds.textContent = `round ${run.state.rounds_done}${run.state.rounds_asked ? ` of ${run.state.rounds_asked}` : ""}`;
      Object.assign(rounds.dataset, {field: "rounds_done", run: run.index, value: run.state.rounds_done});
      state.className = `state ${run.state.status}`;
      Object.assign(state.dataset, {field: "status", run: run.index, value: run.state.status});
      this.age(run);
    }
    byId("focus").hidden = this.runs.length < 2;
    const select = byId("focus-run");
    if (select.options.length !== this.known.length)
      select.replaceChildren(...this.known.map(run => { const option = element("option", `${run.index + 1}: ${run.state.name} (${run.state.place})`); option.value = run.index; option.selected = run.index === this.focus; return option; }));
  }

  age(run) {
    const state = byId("runs").children[run.index].children[4], said = run.state;
    const words = [STATES[said.status] ?? said.status];
    if (said.detail) words[0] += `: ${said.detail}`;
    if (said.scheme) words.push(`${said.scheme}, ${said.num_devices} devices`);
    const troubles = COUNTED.slice(1).filter(name => said.counts[name]).map(name => `${said.counts[name]} ${name}`);
    if (troubles.length) words.push(troubles.join(", "));
    if (said.private) words.push("private: only what comes from public data is shown");
    if (said.unreadable) words.push(`${said.unreadable} lines of rounds.jsonl are no rounds`);
    if (said.changed_unix_s && ["running", "quiet"].includes(said.status)) words.push(`last round ${seconds(Math.max(0, Date.now() / 1000 - said.changed_unix_s))} ago`);
    state.textContent = words.join(" · ");
  }

  // ---- by round, all runs

  learning() {
    const share = this.known.every(run => isShare(run.state.metric_name));
    const name = this.known.length ? this.known[0].state.metric_name.replaceAll("_", " ") : "metric";
    const unit = share ? "%" : "";
    const title = byId("panel-metric").querySelector("h2");
    title.replaceChildren(`Test ${name} `, element("span", unit, "unit"));
    this.charts.metric.yLabel = `${name}${share ? " (%)" : ""}`;
    const scale = share ? 100 : 1;
    const training = {label: "training", width: 1, alpha: 0.55}, test = {label: "test", points: true, width: 2};
    this.byRound("loss", [["loss", training, 4], ["validation_loss", {label: "validation", width: 1.5, points: true}, 4], ["eval_loss", test, 4]], "no loss yet", {eval_loss: "loss"});
    this.byRound("metric", [["metric", {label: name, points: true, width: 2}, share ? 2 : 3]], "not evaluated yet", {metric: "metric"}, scale, unit);
    this.byRound("nmse", [["nmse_db", {label: "one round", width: 1, alpha: 0.8}, 2]], "not known: it needs ground_truth = true", {}, 1, "dB");
    this.byRound("snr", [["symbol_snr_db", {label: "one round", width: 1}, 2]], "not known yet", {}, 1, "dB");
  }

  byRound(id, fields, reason, untouched = {}, scale = 1, unit = "") {
    const tables = [], series = [], legend = [];
    for (const run of this.known) {
      const withUntouched = fields.some(([field]) => untouched[field] in run.state.untouched);
      const x = withUntouched ? [0, ...run.points.round] : run.points.round;
      const columns = [];
      for (const [field, style, digits] of fields) {
        const latest = run.state.latest[field], before = run.state.untouched[untouched[field]];
        if (!latest && before === undefined) continue;
        const values = run.points[field] ?? [];
        const column = scale === 1 ? values : values.map(value => value === null ? null : value * scale);
        columns.push(withUntouched ? [before === undefined ? null : before * scale, ...column] : column);
        const thin = fields.length > 1 && style.label !== "test";
        series.push({...style, label: `${run.index} ${style.label}`, colorName: color(run), dash: thin && !dash(run).length ? [2, 2] : dash(run)});
        const item = element("li"), value = latest ? latest.value : before, round = latest ? latest.round : 0;
        item.append(swatch(css(color(run)), series.at(-1).dash, style.width), figure("b", field, value, round, `${fixed(value * scale, digits)}${unit ? ` ${unit}` : ""}`, run.index));
        const whose = this.runs.length > 1 ? `${run.index + 1} ${run.state.name}, ` : "";
        const median = run.state.medians[field];
        item.append(element("span", `${whose}${fields.length > 1 ? `${style.label}, ` : ""}round ${round}${median === undefined ? "" : `, median ${fixed(median, 1)} ${unit}`}`, "label"));
        legend.push(item);
      }
      if (columns.length) tables.push([x, ...columns]);
    }
    const withheld = this.known.filter(run => run.state.private && ["nmse", "loss"].includes(id));
    if (withheld.length && tables.length) legend.push(note(`${id === "nmse" ? "NMSE" : "training loss"} withheld: private run`));
    const coarse = this.known.filter(run => run.stretch > 1);
    if (coarse.length && tables.length) legend.push(note(`smallest and largest of every ${coarse.map(run => run.stretch).join(", ")} rounds`));
    byId(`panel-${id}`).querySelector(".legend").replaceChildren(...legend);
    const chart = this.charts[id];
    if (!tables.length) chart.empty(this.known.length && this.known.every(run => run.state.private) && id === "nmse" ? "withheld: private run" : reason);
    else chart.show(series, joined(tables));
  }

  // ---- one run in detail

  details(all) {
    const run = this.focused;
    if (!run) return;
    if (all) this.capture(run);
    this.devices(run);
    this.symbolsSoon();
    this.privacy(run);
    this.schedule(run);
    this.times(run);
  }

  capture(run) {
    const seen = run.picture, facts = byId("capture-facts"), parts = byId("parts");
    facts.dataset.run = run.index;
    if (!seen) {
      const reason = run.pictureProblem ?? "no capture yet: the first and every evaluated round is recorded";
      facts.textContent = "";
      delete facts.dataset.round;
      parts.replaceChildren();
      this.charts.trace.empty(reason);
      this.charts.spectrum.empty("no capture yet");
      return;
    }
    const where = seen.source === "live" ? "live" : "recorded; newer ones are shown of runs with --dashboard";
    const cut = seen.num_captured > seen.num_samples ? `, the first of ${seen.num_captured}` : "";
    facts.textContent = `round ${seen.round}, attempt ${seen.attempt} (${where}) · ${seen.num_samples} samples${cut} at ${number(seen.sample_rate_hz / 1e6)} MS/s · ${number(seen.center_freq_hz / 1e6)} MHz`;
    facts.dataset.round = seen.round;
    facts.dataset.source = seen.source;
    this.charts.trace.show([{label: "I", colorName: "--run-0", dash: [], width: 1, spanGaps: false}, {label: "Q", colorName: "--run-1", dash: [4, 2], width: 1, spanGaps: false}], [seen.time_us, seen.in_phase, seen.quadrature]);
    if (seen.freq_khz.length) this.charts.spectrum.show([{label: "power", colorName: "--run-0", dash: [], width: 1.4}], [seen.freq_khz, seen.power_db]);
    else this.charts.spectrum.empty(seen.withheld ? "withheld: private run" : "too few samples for a spectrum");
    byId("bin-unit").textContent = `dB re full scale, in ${number(seen.bin_hz / 1e3, 2)} kHz`;
    const line = (name, text, dashes) => { const item = element("li"); item.append(swatch(css(name), dashes), ` ${text}`); return item; };
    parts.replaceChildren(line("--run-0", "I", []), line("--run-1", "Q", [4, 2]), ...seen.parts.map(part => {
      const item = element("li"), box = element("i", "", "box");
      box.style.background = css(PARTS[part.name] ?? "--soft");
      item.append(box, `${PART_WORDS[part.name] ?? part.name} ${number(part.begin_us, 0)}–${number(part.end_us, 0)} µs${part.withheld ? ", withheld" : ""}`);
      Object.assign(item.dataset, {part: part.name, begin: part.begin_us, end: part.end_us, withheld: part.withheld});
      return item;
    }));
  }

  mark(u) {  // parts of the trace: a stripe of colour on top, a tint below, a name where it fits
    const seen = this.focused?.picture;
    if (!seen) return;
    const {ctx, bbox} = u, scale = devicePixelRatio || 1;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    ctx.font = `${11 * scale}px system-ui, sans-serif`; ctx.textAlign = "center"; ctx.textBaseline = "top";
    const taken = [], first = ["payload", "sync", "pilots"];
    const word = part => (PART_WORDS[part.name] ?? part.name) + (part.withheld ? ", withheld" : "");
    const rank = part => { const at = first.findIndex(name => word(part).startsWith(name)); return at < 0 ? first.length : at; };
    for (const part of [...seen.parts].sort((a, b) => rank(a) - rank(b))) {
      const from = u.valToPos(part.begin_us, "x", true), to = u.valToPos(part.end_us, "x", true);
      ctx.fillStyle = css(PARTS[part.name] ?? "--soft");
      ctx.globalAlpha = part.withheld ? 0.28 : ["guard", "gap", "tail"].includes(part.name) ? 0.05 : 0.13;
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
      ctx.globalAlpha = 1;
      ctx.fillRect(from, bbox.top, to - from, 3 * scale);
      const half = ctx.measureText(word(part)).width / 2, gap = 5 * scale;
      const centre = Math.min(Math.max((from + to) / 2, bbox.left + half + gap), bbox.left + bbox.width - half - gap);
      if (taken.every(([low, high]) => centre + half + gap < low || centre - half - gap > high) && Math.abs(centre - (from + to) / 2) < half) {
        ctx.fillStyle = css("--ink");
        ctx.fillText(word(part), centre, bbox.top + 6 * scale);
        taken.push([centre - half, centre + half]);
      }
    }
    ctx.restore();
  }

  symbolsSoon() {
    if (this.symbolsTimer) return;
    this.symbolsTimer = setTimeout(() => { this.symbolsTimer = 0; this.symbols(); }, 400);
  }

  symbols() {
    const run = this.focused, words = byId("symbols-note"), canvas = byId("symbols");
    if (!run) return;
    canvas.hidden = run.state.private || !run.symbols.length;
    canvas.dataset.run = run.index;
    canvas.dataset.symbols = run.symbols.length;
    if (run.state.private) words.textContent = "withheld: private run";
    else if (!run.symbols.length) words.textContent = run.state.rounds_done ? "none: this scheme sends slots or tones" : "none yet";
    else {
      density(canvas, run.symbols);
      const all = run.state.num_symbols;
      words.textContent = `y after the matched filter: ${all > run.symbols.length ? `the last ${run.symbols.length} of ${all}` : `${all}`} symbols, more where it is darker; × the last one`;
      const [re, im] = run.symbols.at(-1);
      Object.assign(words.dataset, {field: "received", run: run.index, value: re, imag: im});
    }
  }

  devices(run) {
    const seen = new Map((run.picture?.devices ?? []).map(each => [each.device, each]));
    const counts = new Map(run.state.devices.map(each => [each.device, each]));
    const shown = [...new Set([...seen.keys(), ...counts.keys()])].sort((a, b) => a - b).slice(0, 128);
    const body = byId("devices").tBodies[0];
    body.replaceChildren(...shown.map(device => {
      const row = element("tr"), of = seen.get(device), count = counts.get(device);
      row.dataset.device = device;
      row.append(element("td", String(device)));
      for (const [field, digits] of [["gain_db", 1], ["snr_db", 1], ["cfo_hz", 1], ["alignment_error_db", 1]])
        row.append(figure("td", field, of?.[field], run.picture?.round, fixed(of?.[field], digits), run.index));
      for (const field of ["missing", "retried", "rejected"])
        row.append(figure("td", field, count?.[field] ?? 0, null, String(count?.[field] ?? 0), run.index));
      return row;
    }));
    const foot = element("tr"), all = run.state.counts;
    const whole = element("td", "all rounds");
    whole.colSpan = 6;
    foot.append(whole, figure("td", "count_retried", all.retried ?? 0, null, String(all.retried ?? 0), run.index), figure("td", "count_rejected", (all.rejected ?? 0) + (all.skipped ?? 0), null, String((all.rejected ?? 0) + (all.skipped ?? 0)), run.index));
    byId("devices").tFoot.replaceChildren(foot);
    byId("devices-facts").textContent = run.picture ? `gain, SNR, CFO and alignment in round ${run.picture.round}; counts over all ${run.state.rounds_done} rounds` : "channels are known from captures: none yet";
    const reason = run.state.last_reason, more = (run.picture?.num_devices ?? 0) - (run.picture?.devices.length ?? 0);
    byId("devices-note").textContent = [more > 0 ? `the ${run.picture.devices.length} weakest of ${run.picture.num_devices} devices` : "", run.picture?.devices.some(each => each.alignment_error_db !== null) && run.picture.alignment_noise_db !== null ? `alignment error is measured on pilots, whose noise alone makes ${fixed(run.picture.alignment_noise_db, 1)} dB` : "", "rejected counts skipped rounds, too; a failed round is a device's where the reason names it", reason ? `last trouble, round ${reason[0]}: ${reason[1]}` : ""].filter(Boolean).join(" · ");
  }

  privacy(run) {
    const said = run.state.privacy, spent = said.epsilon_spent, verdict = byId("verdict");
    const words = said.claim ? said.is_valid ? "valid claim" : "no valid claim" : "claim not known yet";
    verdict.textContent = words;
    verdict.className = `verdict ${said.claim ? said.is_valid ? "valid" : "void" : ""}`;
    const share = spent !== null && said.dp_epsilon ? spent / said.dp_epsilon : 0;
    byId("budget").firstElementChild.style.width = `${Math.min(100, 100 * share)}%`;
    byId("budget").classList.toggle("over", share > 1);
    byId("budget").hidden = spent === null;
    const list = byId("privacy-values");
    list.replaceChildren();
    pair(list, "ε spent", "epsilon_spent", spent, spent === null ? "none stated" : number(spent), run.index);
    pair(list, `ε of the budget, at δ = ${number(said.dp_delta, 9)}`, "dp_epsilon", said.dp_epsilon, number(said.dp_epsilon), run.index);
    pair(list, "Σρ leaked", "rho_spent", said.rho_spent, `${number(said.rho_spent)}${said.rounds_unknown ? `, and ${said.rounds_unknown} rounds unknown` : ""}`, run.index);
    pair(list, "protects", "level", said.level, said.level === null ? "–" : `one ${said.level}; receiver noise ${said.receiver_noise}`, run.index);
    byId("claim").textContent = said.claim;
    const column = run.points.epsilon_spent ?? [];
    byId("panel-privacy").querySelector(".plot").hidden = spent === null;
    if (spent !== null) {
      const x = run.points.round, last = Math.max(run.state.rounds_asked ?? 0, x.at(-1) ?? 0);
      this.charts.privacy.show([{label: "spent", colorName: color(run), dash: [], width: 2}, {label: "budget", colorName: "--soft", dash: [6, 4], width: 1.4}], [[...x, last + 1e-3], [...column, null], [...x.map(() => said.dp_epsilon), said.dp_epsilon]]);
    }
  }

  schedule(run) {
    const asked = run.state.rounds_asked, done = run.state.rounds_done, plan = run.plan;
    byId("progress").firstElementChild.style.width = asked ? `${Math.min(100, 100 * done / asked)}%` : "0";
    const list = byId("schedule-values");
    list.replaceChildren();
    pair(list, "schedule", "schedule", run.state.schedule, run.state.schedule ?? "–", run.index);
    pair(list, "rounds done, of planned", "rounds_asked", asked, `${done} of ${asked ?? "–"}`, run.index);
    const gain = run.state.latest.gain;
    pair(list, "last gain c", "gain", gain?.value, gain ? `${number(gain.value)} (${fixed(20 * Math.log10(gain.value), 1)} dB)` : "–", run.index);
    pair(list, "Σρ done, of planned", "rho_planned", plan?.rho_total, `${number(run.state.privacy.rho_spent)} of ${number(plan?.rho_total)}`, run.index);
    const legend = [], tables = [], series = [];
    if (plan?.round.length) {
      tables.push([plan.round, plan.gain_db]); series.push({label: "planned", colorName: "--soft", dash: [4, 3], width: 1.3});
      legend.push(["--soft", [4, 3], "planned"]);
    }
    if (run.state.latest.gain_db) {
      tables.push([run.points.round, run.points.gain_db]); series.push({label: "done", colorName: color(run), dash: [], width: 1.6});
      legend.push([color(run), [], "done"]);
    }
    byId("panel-schedule").querySelector(".legend").replaceChildren(...legend.map(([name, dashes, text]) => { const item = element("li"); item.append(swatch(css(name), dashes), element("span", text, "label")); return item; }));
    byId("schedule-note").textContent = plan ? plan.no_plan ? `no plan by round: ${plan.no_plan}` : "" : "the plan is being computed";
    if (tables.length) this.charts.schedule.show(series, joined(tables)); else this.charts.schedule.empty("no gain yet, or this scheme has none");
  }

  times(run) {
    const totals = run.state.times_s, hidden = run.state.private, bar = byId("times"), legend = byId("times-legend");
    const known = TIMES.filter(([field]) => !(hidden && field === "learner_s"));
    const all = known.reduce((sum, [field]) => sum + totals[field], 0);
    bar.replaceChildren(...known.map(([field, , name]) => { const part = element("div"); part.style.width = `${all ? 100 * totals[field] / all : 0}%`; part.style.background = css(name); return part; }));
    legend.replaceChildren(...known.map(([field, label, name]) => {
      const item = element("li"), box = element("i", "", "box");
      box.style.background = css(name);
      item.append(box, figure("b", field, totals[field], null, seconds(totals[field]), run.index), element("span", `${label}${all ? `, ${(100 * totals[field] / all).toFixed(0)} %` : ""}`, "label"));
      return item;
    }));
    const air = element("li");
    air.append(figure("b", "airtime_s", totals.airtime_s, null, seconds(totals.airtime_s), run.index), element("span", "on air", "label"));
    legend.append(air);
    byId("time-facts").textContent = run.state.rounds_done && !hidden ? `${number(1e3 * all / run.state.rounds_done, 1)} ms a round` : "";
    byId("time-note").textContent = hidden ? "learner time is withheld: private run (it tells how large a secret batch is)" : "";
  }
}

function note(text) { return element("li", text, "label"); }
