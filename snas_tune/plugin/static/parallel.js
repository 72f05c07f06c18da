// Parallel coordinates: one axis for each setting that varies and for both scalars, one line for
// each shown point. Dragging along an axis filters everything.

import { scale, ticks } from './chart.js';
import { count, el, short, shown } from './dom.js';
import { varied } from './view.js';

const HEIGHT = 210;
const MOST = 4000; // lines; more are drawn evenly spread
const BOX = { top: 46, bottom: HEIGHT - 14, side: 60 };

/** Inside `parent`; `act.filter(name, filter)` is called with null to take a filter away. */
export class Parallel {
  constructor(parent, act) {
    this.act = act;
    this.canvas = el('canvas', { 'aria-hidden': 'true' });
    this.svg = el('svg', { role: 'img' });
    this.note = el('p', { class: 'muted' });
    this.box = el('div', { class: 'parallel' }, this.canvas, this.svg);
    parent.append(this.box, this.note);
  }

  /** Draw a view; `all` are the points before any filter. */
  draw(view, all, state, units, filters) {
    const width = Math.max(360, this.box.clientWidth);
    const names = [...varied(all).slice(0, 8), { name: state.x, scalar: 'x' },
      { name: state.y, scalar: 'y' }];
    const gap = (width - 2 * BOX.side) / Math.max(1, names.length - 1);
    this.axes = names.map((setting, i) => axisOf(setting, all, BOX.side + i * gap, units));
    this.lines(view, width);
    this.svg.replaceChildren(...this.axes.map((axis, i) => this.axis(axis, i, filters)));
    for (const [name, value] of Object.entries({ width, height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`,
      'aria-label': `Parallel coordinates of ${names.map((each) => each.name).join(', ')}` })) {
      this.svg.setAttribute(name, value);
    }
    const drawn = Math.min(MOST, view.places.length);
    this.note.textContent = `Drag along an axis to filter, double-click it to let go. ${
      drawn < view.places.length ? `${count(drawn, 'line')} of ${
        view.places.length.toLocaleString('en')} are drawn.` : ''}`;
  }

  lines(view, width) {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = HEIGHT * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${HEIGHT}px`;
    const draw = this.canvas.getContext('2d');
    draw.scale(ratio, ratio);
    const { places, points, onFront, front } = view;
    const every = Math.max(1, places.length / MOST);
    const some = Array.from({ length: Math.min(MOST, places.length) },
      (_, i) => places[Math.floor(i * every)]).filter((place) => !onFront[place]);
    const style = getComputedStyle(this.box);
    this.stroke(draw, some, points, style.getPropertyValue('--dominated'), some.length > 300 ? 0.12 : 0.4);
    this.stroke(draw, front, points, style.getPropertyValue('--front'), 0.9);
  }

  stroke(draw, places, points, colour, alpha) {
    draw.strokeStyle = colour;
    draw.globalAlpha = alpha;
    draw.beginPath();
    for (const place of places) {
      let pen = false;
      for (const axis of this.axes) {
        const y = axis.at(points, place);
        if (y === null) { pen = false; continue; }
        if (pen) draw.lineTo(axis.x, y); else draw.moveTo(axis.x, y);
        pen = true;
      }
    }
    draw.stroke();
  }

  axis(axis, place, filters) {
    const { x, name } = axis;
    const group = el('g', { class: 'paraxis', 'data-name': name },
      el('line', { x1: x, x2: x, y1: BOX.top, y2: BOX.bottom }),
      el('text', { class: 'title', x, y: place % 2 ? 28 : 12, 'text-anchor': 'middle' },
        name.length > 20 ? `${name.slice(0, 19)}…` : name, el('title', {}, name)));
    for (const [at, text] of axis.marks) {
      group.append(el('text', { x: x + 5, y: at + 4 }, text));
    }
    const range = axis.pixels(filters[name]);
    const brush = el('rect', { class: 'brush', x: x - 8, width: 16, y: range ? range[0] : 0,
      height: range ? Math.max(2, range[1] - range[0]) : 0 });
    const handle = el('rect', { class: 'handle', x: x - 14, y: BOX.top - 8, width: 28,
      height: BOX.bottom - BOX.top + 16 }, el('title', {}, `Drag to filter ${name}`));
    handle.addEventListener('pointerdown', (event) => this.drag(event, axis, brush, handle));
    handle.addEventListener('dblclick', () => this.act.filter(name, null));
    group.append(brush, handle);
    return group;
  }

  drag(event, axis, brush, handle) {
    const top = this.svg.getBoundingClientRect().top;
    const clamp = (y) => Math.min(BOX.bottom + 6, Math.max(BOX.top - 6, y));
    const start = clamp(event.clientY - top);
    let end = start;
    handle.setPointerCapture(event.pointerId);
    handle.onpointermove = (move) => {
      end = clamp(move.clientY - top);
      brush.setAttribute('y', Math.min(start, end));
      brush.setAttribute('height', Math.abs(end - start));
    };
    handle.onpointerup = () => {
      handle.onpointermove = null;
      handle.onpointerup = null;
      if (Math.abs(end - start) > 3) {
        this.act.filter(axis.name, axis.filter(Math.min(start, end), Math.max(start, end)));
      }
    };
  }
}

function axisOf(setting, all, x, units) {
  const { name, scalar } = setting;
  if (!scalar && !setting.numeric) return choiceAxis(setting, x);
  const known = scalar ? all[scalar] : setting.values;
  const low = known.length ? known.reduce((a, b) => Math.min(a, b)) : 0;
  const high = known.length ? known.reduce((a, b) => Math.max(a, b)) : 1;
  const log = low > 0 && high / low > 30;
  const y = scale(low, high > low ? high : low + 1, BOX.bottom, BOX.top, log);
  const unit = scalar ? units[scalar] : '';
  return {
    name, x,
    at: scalar ? (points, place) => y(points[scalar][place]) : (points, place) => {
      const value = points.runs[points.run[place]].settings[name];
      return typeof value === 'number' ? y(value) : null;
    },
    marks: ticks(y, 4).map((value) => [y(value), unit === 'share' ? shown(value, unit) : short(value)]),
    filter: (top, bottom) => [y.invert(bottom), y.invert(top)],
    pixels: (filter) => (Array.isArray(filter)
      ? [y(filter[1] ?? high), y(filter[0] ?? low)].map((at) =>
        Math.min(BOX.bottom + 6, Math.max(BOX.top - 6, at))) : null),
  };
}

function choiceAxis({ name, values }, x) {
  const y = scale(0, Math.max(1, values.length - 1), BOX.bottom, BOX.top);
  const place = new Map(values.map((value, i) => [value, y(i)]));
  return {
    name, x,
    at: (points, at) => place.get(points.runs[points.run[at]].settings[name]) ?? null,
    marks: values.map((value, i) => [y(i), String(value)]),
    filter: (top, bottom) => ({ in: values.filter((_, i) => y(i) >= top && y(i) <= bottom) }),
    pixels: (filter) => {
      if (!Array.isArray(filter?.in)) return null;
      const at = filter.in.map((value) => place.get(value)).filter((each) => each !== undefined);
      return at.length ? [Math.min(...at) - 5, Math.max(...at) + 5] : null;
    },
  };
}
