// Receives events, keeps what was sent of each run, and lets the panels draw it.
import {Panels} from "/panels.js";

const runs = [];
const panels = new Panels(runs);
const connection = document.getElementById("connection");
let updates = 0;

function take(update) {
  for (const news of update.runs) {
    const run = runs[news.index] ??= {index: news.index, points: {round: []}, symbols: [], picture: null, plan: null};
    run.state = news.state;
    run.pictureProblem = news.picture_problem ?? null;
    if (news.picture) run.picture = news.picture;
    if (news.plan) run.plan = news.plan;
    if (news.series) {
      if (news.series.reset) { run.points = news.series.points; run.symbols = news.series.symbols; run.stretch = news.series.stretch; }
      else {
        for (const [name, values] of Object.entries(news.series.points)) (run.points[name] ??= []).push(...values);
        run.symbols.push(...news.series.symbols);
        if (run.symbols.length > 4096) run.symbols.splice(0, run.symbols.length - 4096);
      }
    }
    panels.changed(run, news);
  }
  document.body.dataset.updates = ++updates;
}

const source = new EventSource("/events");
source.onopen = () => { connection.textContent = "live"; connection.className = ""; };
source.onerror = () => { connection.textContent = "connection lost: what follows is the last that was heard"; connection.className = "lost"; };
source.onmessage = event => take(JSON.parse(event.data));
setInterval(() => panels.tick(), 1000);
