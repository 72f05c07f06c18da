// The hypervolume of all points so far, and its reference point.

import { curvesChart } from './chart.js';
import { el, shown } from './dom.js';
import { hypervolumes } from './front.js';
import { set, state } from './state.js';

/** What the hypervolume is drawn over: the x of each point, in the order of time. */
const VOLUME_AXES = {
  children: { label: 'over points', title: 'points, in the order of time',
    along: (points, byTime) => byTime.map((_, i) => i + 1) },
  runs: { label: 'over runs', title: 'runs that had begun',
    along: (points, byTime) => {
      const begun = new Set();
      return byTime.map((place) => begun.add(points.run[place]).size);
    } },
  time: { label: 'over minutes', title: 'minutes since the first point',
    along: (points, byTime) => byTime.map(
      (place) => (points.time[place] - points.time[byTime[0]]) / 60) },
};

/** Draw it into `parent`; `largest` is what no child costs more than, or null. */
export function drawVolume(parent, view, largest, unit) {
  const { points, byTime, sx, sy } = view;
  const own = largest !== null && state.xdir === 'min' && state.ydir === 'max';
  const worst = (column, sign) => byTime.reduce((value, place) =>
    Math.max(value, sign * column[place]), -Infinity) * sign;
  const corner = own ? [largest, 0] : [worst(points.x, sx), worst(points.y, sy)];
  const trace = hypervolumes(points.x, points.y, byTime, sx, sy, corner)
    .map((value) => (own ? value / largest : value));
  const along = VOLUME_AXES[state.hv] ? state.hv : 'children';
  const series = VOLUME_AXES[along].along(points, byTime).map((x, i) => [x, trace[i]]);
  const switcher = el('select', { 'aria-label': 'Hypervolume over',
    onchange: () => set({ hv: switcher.value }) },
  ...Object.entries(VOLUME_AXES).map(([value, { label }]) =>
    el('option', { value, selected: value === along }, label)));
  const now = trace.length ? trace[trace.length - 1] : 0;
  const scaled = own ? ', as a share of the box to every image right at no cost' : '';
  const last = Math.round(Number(state.time) * series.length);
  parent.replaceChildren(
    el('h2', {}, 'Hypervolume ', switcher),
    curvesChart([{ name: 'hypervolume', points: thinned(series), unit: '' }], {
      width: Math.max(360, parent.clientWidth - 24), height: 130, title: '', steps: true,
      mark: Number(state.time) < 1 && series.length
        ? series[Math.min(series.length - 1, last)][0] : null,
      xTitle: VOLUME_AXES[along].title }),
    el('p', { class: 'muted' }, `${now.toPrecision(4)} at the end; reference point: ${state.x} ${
      shown(corner[0], unit(state.x))}, ${state.y} ${shown(corner[1], unit(state.y))}${scaled}.`));
}

/** At most about a thousand points, and every change of a step among them. */
function thinned(points) {
  if (points.length < 2000) return points;
  const every = points.length / 1000;
  return points.filter((point, i) => !i || i === points.length - 1
    || Math.floor(i / every) !== Math.floor((i - 1) / every));
}
