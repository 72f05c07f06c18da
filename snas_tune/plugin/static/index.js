// The Pareto tab: from the address and TensorBoard's data to the page, and back.

import { controls } from './controls.js';
import { Detail } from './detail.js';
import { ask, copyButton, count, el, save, shown } from './dom.js';
import { address, onDark, onReload, visible } from './host.js';
import { Parallel } from './parallel.js';
import { hint, Plot } from './plot.js';
import { chosen, filters, onChange, set, setFilter, state } from './state.js';
import { Timeline } from './timeline.js';
import { keyOf, labelOf, pointsOf, viewOf } from './view.js';
import { drawVolume } from './volume.js';

const POLL = 4000; // milliseconds between looks at a sweep that may be running, or more
const SHARE = 20; // at most one part in so many of the time is spent looking
const ROWS = 200; // of the table

const page = {};
let tags = [];
let all = null; // every point that the backend sent
let view = null;
let dark = false;

/** Called by TensorBoard's frame. */
export async function render() {
  document.head.append(el('link', { rel: 'stylesheet', href: 'static/style.css' }));
  document.documentElement.lang = 'en';
  page.own = new Set(Object.keys(chosen())); // of the axes, what the address or the user chose
  build();
  onDark((value) => {
    dark = value;
    document.body.classList.toggle('dark', value);
    if (view) paint();
  });
  onChange(changed);
  onReload(() => load());
  await load(true);
  poll();
  new ResizeObserver(() => { if (view) paint(); }).observe(page.main);
}

/** Look again and again, the more rarely the longer it takes. */
async function poll() {
  const began = performance.now();
  if (visible() && !page.timeline.playing) await load();
  const took = performance.now() - began;
  setTimeout(poll, Math.max(POLL, SHARE * took));
}

function build() {
  page.aside = el('aside', { 'aria-label': 'Settings' });
  page.status = el('p', { class: 'status', role: 'status' });
  page.budget = el('p', { class: 'budget', role: 'status' });
  page.plot = el('section', { class: 'card' });
  page.timeline = new Timeline(el('div', { class: 'timeline' }));
  page.volume = el('section', { class: 'card' });
  page.parallel = el('section', { class: 'card' });
  page.table = el('section', { class: 'card' });
  page.legend = el('p', { class: 'legend' });
  page.main = el('main', {}, page.status, page.budget, page.plot, page.volume, page.parallel,
    page.table);
  page.detail = el('aside', { class: 'detail', 'aria-label': 'The chosen architecture', 'aria-live': 'polite' });
  page.hint = el('div', { class: 'hint', role: 'tooltip' });
  document.body.replaceChildren(el('div', { id: 'app' }, page.aside, page.main, page.detail), page.hint);
  const act = { select: (sel) => set({ sel }), pin, filter: setFilter, hover, leave };
  page.chart = new Plot(page.plot, act);
  page.plot.append(page.legend, page.timeline.box);
  page.coordinates = new Parallel(page.parallel, act);
  page.panel = new Detail(page.detail, act);
  page.link = copyButton('Copy link', () => address(chosen()));
}

function pin(key) {
  set({ pin: key });
}

/** Fetch what is new. The first time the axes are chosen. */
async function load(first = false) {
  try {
    const answer = await (await ask('tags')).json();
    const grown = answer.tags.length !== tags.length;
    tags = answer.tags;
    page.newer = answer.newer;
    chooseAxes(answer);
    if (!state.x || !state.y) {
      page.status.textContent = 'No run has two scalars yet. The tab looks again by itself.';
      return;
    }
    if (await fetchPoints() || grown || first) {
      refresh();
      if (!page.controls || grown) form();
    }
    page.status.classList.remove('error');
  } catch (error) {
    page.status.textContent = error.message;
    page.status.classList.add('error');
  }
}

async function fetchPoints() {
  const query = pointsQuery();
  const since = page.asked === query ? { since: page.version } : {};
  const answer = await (await ask('points', { ...JSON.parse(query), ...since })).json();
  // What was chosen meanwhile asks for itself, and may have been answered before.
  if (answer.same || query !== pointsQuery()) return false;
  page.asked = query;
  page.version = answer.version;
  all = pointsOf(answer);
  page.controls = false;
  return true;
}

function pointsQuery() {
  const { x, y, value, ydir } = state;
  return JSON.stringify({ x, y, value: value || 'all', ydir });
}

/** Choose what neither the user nor the address has: anew each time, as a sweep that begins does
    not have all of its scalars. */
function chooseAxes(answer) {
  const names = tags.map((tag) => tag.name);
  const asked = (name) => (page.own.has(name) ? state[name] : '');
  const byMode = (mode) => answer.objectives.find((objective) => objective[1] === mode)?.[0];
  const like = (pattern) => names.find((name) => pattern.test(name));
  const y = asked('y') || answer.y || byMode('max') || like(/acc|auc|f1|reward|score/i)
    || like(/loss|err/i) || names[0] || '';
  const x = asked('x') || answer.x || byMode('min') || like(/flops|params|latency|cost|size|time/i)
    || names.find((name) => name !== y) || '';
  const ydir = direction(y) || (/loss|err/i.test(y) ? 'min' : 'max');
  page.choosing = true;
  set({ x, y, ydir: asked('ydir') || ydir, xdir: asked('xdir') || direction(x) || 'min',
    value: asked('value') || (answer.objectives.length ? 'all' : 'last') });
  page.choosing = false;
}

const about = (name) => tags.find((tag) => tag.name === name) ?? {};
const direction = (name) => about(name).direction;
const unit = (name) => about(name).unit ?? '';

function changed(names) {
  if (page.choosing) return;
  for (const name of names) page.own.add(name);
  if (!view) return;
  if (names.has('x') && direction(state.x)) set({ xdir: direction(state.x) });
  if (names.has('y') && direction(state.y)) set({ ydir: direction(state.y) });
  if (['x', 'y', 'value', 'ydir'].some((name) => names.has(name))) {
    load().then(form);
    return;
  }
  const only = [...names].every((name) => name === 'sel' || name === 'pin');
  if (only) {
    page.chart.mark(state);
    choose();
    markTable();
  } else {
    refresh();
    if (names.has('filters') || names.has('xdir') || ['rx', 'max', 'min', 'time'].every(
      (name) => names.has(name) || state[name] === '')) form();
  }
}

function form() {
  if (!all) return;
  const focused = document.activeElement?.name;
  controls(page.aside, { tags, points: all }, { csv: () => exported('csv'),
    json: () => exported('json'), svg: () => save('front.svg', page.chart.toSvg(), 'image/svg+xml'),
    link: page.link });
  page.controls = true;
  if (focused) page.aside.querySelector(`[name="${focused}"]`)?.focus();
}

/** Compute and draw everything. */
function refresh() {
  view = viewOf(all, state, filters());
  paint();
  choose();
}

function paint() {
  const units = { x: unit(state.x), y: unit(state.y) };
  const title = (axis) => {
    const { name = state[axis], unit: of = '', meaning = '' } = about(state[axis]);
    const words = `${of === 'share' ? '' : of} ${meaning}`.trim();
    return words && words.length < 60 ? `${name}: ${words}` : name;
  };
  say();
  page.chart.draw(view, state, units, { x: title('x'), y: title('y') });
  legend();
  page.timeline.draw(view);
  drawVolume(page.volume, view, all.largest, unit);
  page.coordinates.draw(view, all, state, units, filters());
  table();
}

function say() {
  const { places, front, distinct, points, notes } = view;
  const runs = new Set(places.map((place) => points.run[place])).size;
  const again = distinct.length < front.length ? ` (${distinct.length} different)` : '';
  const left = [...notes];
  if (page.newer) left.push('children of runs that a newer version wrote');
  page.status.replaceChildren(
    el('strong', {}, `${count(places.length, 'point')} of ${count(runs, 'run')}, ${
      front.length.toLocaleString('en')} on the front${again}.`),
    left.length ? ` Left out: ${left.join('; ')}.` : ' Nothing is left out.');
  const { best, bounded } = view;
  page.budget.hidden = !bounded;
  if (!bounded) return;
  if (best < 0) {
    page.budget.replaceChildren('No shown point is within the budget.');
    return;
  }
  const key = keyOf(points, best);
  page.budget.replaceChildren('Best within the budget: ',
    el('button', { type: 'button', class: 'link', 'data-key': key, onclick: () => set({ sel: key }) },
      `${labelOf(points, best)}, step ${points.step[best]}`),
    ` with ${state.y} ${shown(points.y[best], unit(state.y))} and ${state.x} ${
      shown(points.x[best], unit(state.x))}`);
}

function legend() {
  const { points } = view;
  const out = page.chart.outside;
  const parts = points.sweeps.length > 1 ? points.sweeps.map((sweep, i) =>
    el('span', { class: 'sweep' }, el('i', { style: `background:${page.chart.colour(i)}` }), sweep))
    : [];
  if (out) parts.push(el('span', { class: 'muted' }, `${count(out, 'far point')} outside the picture.`));
  if (state.seeds === 'band') {
    parts.push(el('span', { class: 'muted' },
      'The band is attained by 25 % to 75 % of the seeds, the dashed line by half of them.'));
  }
  page.legend.replaceChildren(...parts);
}

function table() {
  const { points, distinct } = view;
  const settings = [...new Set(distinct.flatMap(([place]) =>
    Object.keys(points.runs[points.run[place]].settings)))].sort().slice(0, 6);
  const rows = distinct.slice(0, ROWS).map(([place, times]) => {
    const run = points.runs[points.run[place]];
    const key = keyOf(points, place);
    const values = settings.map((name) => run.settings[name]);
    return el('tr', { 'data-key': key },
      el('th', { scope: 'row' }, el('button', { type: 'button', class: 'link',
        onclick: (event) => (event.shiftKey ? pin(key) : set({ sel: key })) },
      labelOf(points, place))),
      el('td', {}, `${points.step[place]}${times > 1 ? ` and ${times - 1} more` : ''}`),
      el('td', {}, shown(points.y[place], unit(state.y))),
      el('td', {}, shown(points.x[place], unit(state.x))),
      ...values.map((value) => el('td', {}, typeof value === 'number'
        ? String(+value.toPrecision(4)) : String(value ?? ''))));
  });
  const heads = ['run', 'step', state.y, state.x, ...settings];
  const hidden = distinct.length - rows.length;
  page.table.replaceChildren(el('h2', {}, 'The front'), el('div', { class: 'scroll' },
    el('table', {}, el('thead', {}, el('tr', {}, ...heads.map((head) =>
      el('th', { scope: 'col' }, head)))), el('tbody', {}, ...rows))),
  ...(hidden > 0 ? [el('p', { class: 'muted' }, `and ${count(hidden, 'more point')}`)] : []));
  markTable();
}

function markTable() {
  for (const row of page.table.querySelectorAll('tr[data-key]')) {
    row.classList.toggle('chosen', row.dataset.key === state.sel);
    row.classList.toggle('pinned', row.dataset.key === state.pin);
  }
}

function choose() {
  const keys = [state.sel, state.pin].filter((key, i, both) => key && both.indexOf(key) === i);
  page.panel.draw(keys, { state, dark, unit });
}

function hover(place, event) {
  const { title, lines, settings } = hint(view, place, state,
    { x: unit(state.x), y: unit(state.y) });
  if (page.hovered !== place) {
    page.hovered = place;
    page.words = el('p', { class: 'words' });
    page.hint.replaceChildren(el('strong', {}, title), el('p', {}, lines.join(', ')),
      el('p', { class: 'muted' }, settings.join(', ')), page.words);
    words(place, page.words);
  }
  page.hint.style.display = 'block';
  const { offsetWidth: width, offsetHeight: height } = page.hint;
  page.hint.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  page.hint.style.top = `${event.clientY + 14 + height > innerHeight
    ? event.clientY - height - 10 : event.clientY + 14}px`;
}

/** The architecture in short, when the pointer rests. */
function words(place, line) {
  const { points } = view;
  const run = points.runs[points.run[place]];
  if (!run.children) return;
  setTimeout(async () => {
    if (page.hovered !== place) return;
    try {
      const query = { run: run.name, step: points.step[place] };
      line.textContent = (await (await ask('architecture', query)).json()).short;
    } catch (error) {
      line.textContent = error.message;
    }
  }, 80);
}

function leave() {
  page.hovered = -1;
  page.hint.style.display = 'none';
}

async function exported(format) {
  const { points, places, onFront } = view;
  const source = points.source ?? points;
  const some = points.members ? places.flatMap((place) => points.members[place].map((member) =>
    [member, onFront[place]])) : places.map((place) => [place, onFront[place]]);
  try {
    const answer = await ask('export', {}, {
      format, x: state.x, y: state.y, runs: source.runs.map((run) => run.name),
      points: some.map(([place, on]) => [source.run[place], source.step[place], on]),
      xs: some.map(([place]) => source.x[place]), ys: some.map(([place]) => source.y[place]),
    });
    save(`front.${format}`, await answer.text(), format === 'csv' ? 'text/csv' : 'application/json');
  } catch (error) {
    page.status.textContent = error.message;
    page.status.classList.add('error');
  }
}
