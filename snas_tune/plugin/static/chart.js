// Scales, ticks and axes of small charts, as SVG.

import { el, short, shown } from './dom.js';

/** A scale from [low, high] to pixels; `log` only if both are positive. */
export function scale(low, high, from, to, log = false) {
  const useLog = log && low > 0;
  const forward = useLog ? Math.log : (value) => value;
  const [a, b] = [forward(low), forward(high)];
  const span = b - a || 1;
  const to_pixel = (value) => from + ((forward(value) - a) / span) * (to - from);
  to_pixel.invert = (pixel) => {
    const value = a + ((pixel - from) / (to - from)) * span;
    return useLog ? Math.exp(value) : value;
  };
  return Object.assign(to_pixel, { low, high, log: useLog });
}

/** Round values inside a scale, about `most` of them. */
export function ticks(axis, most) {
  if (axis.log && axis.high / axis.low > 8) {
    const all = [];
    for (let power = Math.floor(Math.log10(axis.low)); 10 ** power <= axis.high; power += 1) {
      for (const digit of [1, 2, 5]) all.push(Number(`${digit}e${power}`));
    }
    const inside = all.filter((value) => value >= axis.low && value <= axis.high);
    const tens = inside.filter((value) => String(value.toExponential()).startsWith('1e'));
    return inside.length > 1.6 * most && tens.length > 1 ? tens : inside;
  }
  const span = axis.high - axis.low;
  if (!(span > 0)) return [axis.low];
  const rough = 10 ** Math.floor(Math.log10(span / most));
  const step = rough * [1, 2, 5, 10].find((factor) => span / (factor * rough) <= most);
  const first = Math.ceil(axis.low / step - 1e-9);
  const last = Math.floor(axis.high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The range of values without far outliers, and with all of `always`; a little wider. */
export function windowOf(values, always, log, full = false) {
  const sorted = Float64Array.from(values).sort();
  if (!sorted.length) return [0, 1];
  let low = sorted[0];
  let high = sorted[sorted.length - 1];
  if (!full) {
    const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
    const reach = 3 * (at(0.75) - at(0.25));
    low = Math.max(low, at(0.25) - reach);
    high = Math.min(high, at(0.75) + reach);
    for (const value of always) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (log && low > 0) {
    const margin = (high / low) ** 0.04 || 1;
    return low === high ? [low / 1.1, high * 1.1] : [low / margin, high * margin];
  }
  const margin = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  return [low - margin, high + margin];
}

/** Grid lines, their numbers and the titles of both axes. `box`: left, right, top, bottom. */
export function axes(x, y, box, titles) {
  const group = el('g', { class: 'axes' });
  const wide = (box.right - box.left) / 70;
  const tall = (box.bottom - box.top) / 28;
  for (const value of ticks(x, Math.max(2, wide))) {
    const at = x(value);
    group.append(
      el('line', { class: 'grid', x1: at, x2: at, y1: box.top, y2: box.bottom }),
      el('text', { x: at, y: box.bottom + 16, 'text-anchor': 'middle' }, tickText(value, titles.xUnit)));
  }
  for (const value of ticks(y, Math.max(2, tall))) {
    const at = y(value);
    group.append(
      el('line', { class: 'grid', x1: box.left, x2: box.right, y1: at, y2: at }),
      el('text', { x: box.left - 6, y: at + 4, 'text-anchor': 'end' }, tickText(value, titles.yUnit)));
  }
  if (titles.x) {
    group.append(el('text', { class: 'title', x: (box.left + box.right) / 2, y: box.bottom + 34,
      'text-anchor': 'middle' }, titles.x));
  }
  if (titles.y) {
    const [at, middle] = [box.left - 48, (box.top + box.bottom) / 2];
    group.append(el('text', { class: 'title', 'text-anchor': 'middle',
      transform: `translate(${at} ${middle}) rotate(-90)` }, titles.y));
  }
  return group;
}

function tickText(value, unit) {
  return unit === 'share' ? `${+(100 * value).toPrecision(4)} %` : short(value);
}

/** A path through points; steps go along x first. */
export function path(points, x, y, steps = false) {
  return points.map(([px, py], i) => {
    const [a, b] = [x(px).toFixed(1), y(py).toFixed(1)];
    if (!i) return `M${a} ${b}`;
    return steps ? `H${a}V${b}` : `L${a} ${b}`;
  }).join('');
}

/** A small chart of a few curves: [{name, points, unit}], with a mark at one x. */
export function curvesChart(curves, { width, height, mark = null, title, xTitle, steps = false }) {
  const box = { left: 50, right: width - 8, top: 20, bottom: height - (xTitle ? 38 : 20) };
  const all = curves.flatMap((curve) => curve.points);
  const svg = el('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'img',
    'aria-label': `${title}: ${curves.map((c) => describe(c)).join('; ')}` });
  svg.append(el('text', { class: 'title', x: box.left, y: 12 }, title));
  if (!all.length) return svg;
  const bounds = (i) => all.reduce(([low, high], point) =>
    [Math.min(low, point[i]), Math.max(high, point[i])], [Infinity, -Infinity]);
  const [x0, x1] = bounds(0);
  const [y0, y1] = bounds(1);
  const margin = (y1 - y0) * 0.08 || Math.abs(y1) * 0.08 || 1;
  const x = scale(x0, x1 > x0 ? x1 : x0 + 1, box.left, box.right);
  const y = scale(y0 - margin, y1 + margin, box.bottom, box.top);
  svg.append(axes(x, y, box, { x: xTitle, yUnit: curves[0].unit }));
  curves.forEach((curve, i) => {
    const line = path(curve.points, x, y, steps);
    svg.append(el('path', { class: `curve c${i}`, d: line, fill: 'none' }));
    if (curve.points.length === 1) {
      const [px, py] = curve.points[0];
      svg.append(el('circle', { class: `dot c${i}`, cx: x(px), cy: y(py), r: 2.5 }));
    }
    if (curves.length > 1) {
      const at = box.right - 8 - 90 * (curves.length - 1 - i);
      svg.append(el('text', { class: `label c${i}`, x: at, y: 12, 'text-anchor': 'end' }, curve.name));
    }
  });
  if (mark !== null && mark >= x0 && mark <= x1) {
    svg.append(el('line', { class: 'mark', x1: x(mark), x2: x(mark), y1: box.top, y2: box.bottom }));
  }
  return svg;
}

function describe(curve) {
  if (!curve.points.length) return `${curve.name} has no values`;
  const ends = [curve.points[0], curve.points[curve.points.length - 1]];
  return `${curve.name} from ${shown(ends[0][1], curve.unit)} to ${shown(ends[1][1], curve.unit)}`;
}
