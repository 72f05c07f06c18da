// From all points to those that are shown, their fronts, and what is left out and why.

import { count, parse } from './dom.js';
import { best, frontOf } from './front.js';

/** The key of a point in the state. */
export const keyOf = (points, place) =>
  `${points.runs[points.run[place]].name}|${points.step[place]}`;

/** What a run is called: its last part, or all of it if another run has the same. */
export const labelOf = (points, place) => points.labels[points.run[place]];

function labels(runs) {
  const last = runs.map((run) => run.name.slice(run.name.lastIndexOf('/') + 1));
  const seen = new Map();
  for (const name of last) seen.set(name, (seen.get(name) ?? 0) + 1);
  return runs.map((run, i) => (last[i] && last[i] !== '.' && seen.get(last[i]) === 1
    ? last[i] : run.name));
}

/** The answer of the backend with typed columns. */
export function pointsOf(answer) {
  return {
    ...answer,
    labels: labels(answer.runs),
    run: Int32Array.from(answer.run),
    step: Int32Array.from(answer.step),
    x: Float64Array.from(answer.x),
    y: Float64Array.from(answer.y),
    time: Float64Array.from(answer.time),
    sweeps: [...new Set(answer.runs.map((run) => run.sweep))].sort(),
  };
}

/** Every setting that differs between runs: {name, numeric, values (sorted)}. */
export function varied(points) {
  const names = [...new Set(points.runs.flatMap((run) => Object.keys(run.settings)))].sort();
  return names.map((name) => {
    const values = [...new Set(points.runs.map((run) => run.settings[name]))]
      .filter((value) => value !== undefined);
    const numeric = values.every((value) => typeof value === 'number');
    values.sort(numeric ? (a, b) => a - b : undefined);
    return { name, numeric, values };
  }).filter((setting) => setting.values.length > 1);
}

/** Whether a value is within a filter. */
function within(value, filter) {
  if (Array.isArray(filter)) {
    return typeof value === 'number'
      && (filter[0] === null || value >= filter[0]) && (filter[1] === null || value <= filter[1]);
  }
  return !Array.isArray(filter?.in) || filter.in.includes(value);
}

function runsKept(points, state, filters, notes) {
  let pattern = null;
  try {
    pattern = state.rx ? new RegExp(state.rx) : null;
  } catch (error) {
    notes.push(`the run filter is no regular expression (${error.message}) and is not applied`);
  }
  const onRuns = Object.entries(filters).filter(([name]) => name !== state.x && name !== state.y);
  return points.runs.map((run) => (!pattern || pattern.test(run.name))
    && onRuns.every(([name, filter]) => within(run.settings[name], filter)));
}

/** What is shown for a state. */
export function viewOf(all, state, filters) {
  const notes = [];
  const kept = runsKept(all, state, filters, notes);
  const [sx, sy] = [state.xdir === 'min' ? 1 : -1, state.ydir === 'min' ? 1 : -1];
  const points = state.seeds === 'mean' ? meansOf(all, kept) : all;
  const byTime = Array.from(points.x.keys()).sort((a, b) => points.time[a] - points.time[b]);
  const shownCount = Math.round(Number(state.time || 1) * byTime.length);
  const late = new Uint8Array(byTime.length);
  for (const place of byTime.slice(shownCount)) late[place] = 1;
  const places = [];
  const admitted = new Uint8Array(points.x.length);
  let filtered = 0;
  for (let place = 0; place < points.x.length; place += 1) {
    const shown = kept[points.run[place]]
      && (!filters[state.x] || within(points.x[place], filters[state.x]))
      && (!filters[state.y] || within(points.y[place], filters[state.y]));
    admitted[place] = shown;
    if (shown && !late[place]) places.push(place);
    filtered += !shown;
  }
  const bySweep = points.sweeps.map(() => []);
  const sweepOf = points.runs.map((run) => points.sweeps.indexOf(run.sweep));
  for (const place of places) bySweep[sweepOf[points.run[place]]].push(place);
  const front = frontOf(points.x, points.y, places, sx, sy);
  const fronts = points.sweeps.length > 1
    ? bySweep.map((group) => frontOf(points.x, points.y, group, sx, sy)) : [front];
  const onFront = new Uint8Array(points.x.length);
  for (const place of front) onFront[place] = 1;
  const bounds = [parse(state.max), parse(state.min)];
  for (const [i, name] of [[0, 'max'], [1, 'min']]) {
    if (Number.isNaN(bounds[i])) {
      notes.push(`the bound “${state[name]}” is no number and is not applied`);
      bounds[i] = null;
    }
  }
  const bounded = bounds[0] !== null || bounds[1] !== null;
  return {
    points, places, front, fronts, onFront, sx, sy, bounds, bounded, sweepOf,
    byTime: byTime.filter((place) => admitted[place]),
    best: bounded ? best(points.x, points.y, places, sx, sy, bounds[0], bounds[1]) : -1,
    notes: [...notes, ...leftOut(all, filtered, late)],
    distinct: distinct(points, front),
  };
}

function leftOut(all, filtered, late) {
  const notes = [];
  if (all.without) {
    const names = all.example.map((name) => `“${name}”`).join(', ');
    const more = all.without > all.example.length ? ', …' : '';
    notes.push(`${count(all.without, 'run')} without both (${names}${more})`);
  }
  if (all.not_finite) notes.push(`${count(all.not_finite, 'point')} that are NaN or infinite`);
  if (filtered) notes.push(`${count(filtered, 'point')} by the filters`);
  const later = late.reduce((sum, each) => sum + each, 0);
  if (later) notes.push(`${count(later, 'later point')}`);
  return notes;
}

/** The front without a run's repetitions of the same point: [place, times]. */
function distinct(points, front) {
  const seen = new Map();
  for (const place of front) {
    const key = `${points.run[place]}|${points.x[place]}|${points.y[place]}`;
    if (seen.has(key)) seen.get(key)[1] += 1; else seen.set(key, [place, 1]);
  }
  return [...seen.values()];
}

const SEED = 'seed';

/** Whether there are runs that differ in their seed. */
export function hasSeeds(points) {
  return varied(points).some((setting) => setting.name === SEED);
}

/** The shown places of each seed. */
export function bySeed(view) {
  const groups = new Map();
  for (const place of view.places) {
    const seed = view.points.runs[view.points.run[place]].settings[SEED];
    if (seed === undefined) continue;
    if (!groups.has(seed)) groups.set(seed, []);
    groups.get(seed).push(place);
  }
  return groups;
}

/** One point for the runs of a sweep that differ in nothing but their seed: the mean of each step
    (if runs have one point each: of all of them), with `members`, the places that it stands for. */
function meansOf(all, kept) {
  const single = all.run.length === all.runs.length;
  const names = all.runs.map((run) => {
    const rest = Object.entries(run.settings).filter(([name]) => name !== SEED).sort();
    return JSON.stringify([run.sweep, rest]);
  });
  const groups = new Map();
  for (let place = 0; place < all.x.length; place += 1) {
    if (!kept[all.run[place]]) continue;
    const key = `${names[all.run[place]]}|${single ? '' : all.step[place]}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(place);
  }
  const members = [...groups.values()];
  const mean = (column) => Float64Array.from(
    members, (places) => places.reduce((sum, place) => sum + column[place], 0) / places.length);
  return {
    ...all,
    members,
    source: all,
    run: Int32Array.from(members, (places) => all.run[places[0]]),
    step: Int32Array.from(members, (places) => all.step[places[0]]),
    x: mean(all.x),
    y: mean(all.y),
    time: Float64Array.from(members, (places) => Math.max(...places.map((p) => all.time[p]))),
  };
}
