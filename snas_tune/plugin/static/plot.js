// The main picture: a cloud of dominated points on a canvas, and the front in SVG above it.

import { axes, path, scale, windowOf } from './chart.js';
import { attainment } from './front.js';
import { count, el, shown } from './dom.js';
import { bySeed, keyOf, labelOf } from './view.js';

export const COLOURS = ['#d55e00', '#0072b2', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#8c6bb1',
  '#7f7f7f'];

const HEIGHT = 400;
const REACH = 18; // pixels around a point in which the pointer finds it

/** A plot inside `parent`; `act` has select(key), pin(key), hover(place, event) and leave(). */
export class Plot {
  constructor(parent, act) {
    this.act = act;
    this.canvas = el('canvas', { 'aria-hidden': 'true' });
    this.svg = el('svg', { role: 'img' });
    this.box = el('div', { class: 'plot', tabindex: '0', role: 'group', 'aria-label':
      'Plot. The arrow keys walk along the front, P pins the chosen point, Escape lets go.' },
    this.canvas, this.svg);
    parent.append(this.box);
    this.box.addEventListener('pointermove', (event) => this.onMove(event));
    this.box.addEventListener('pointerleave', () => this.onMove(null));
    this.box.addEventListener('click', (event) => this.onClick(event));
    this.box.addEventListener('keydown', (event) => this.onKey(event));
  }

  /** Draw a view; `units`, `titles` of both axes. */
  draw(view, state, units, titles) {
    const width = Math.max(360, this.box.clientWidth);
    Object.assign(this, { view, state, units, width });
    const { points, places, front } = view;
    const box = { left: 66, right: width - 14, top: 12, bottom: HEIGHT - 44 };
    const pick = (column, from) => Float64Array.from(from, (place) => column[place]);
    const range = (axis) => windowOf(pick(points[axis], places), pick(points[axis], front),
      state[`log${axis}`] === '1', state.full === '1');
    const x = scale(...range('x'), box.left, box.right, state.logx === '1');
    const y = scale(...range('y'), box.bottom, box.top, state.logy === '1');
    Object.assign(this, { x, y, area: box });
    this.place();
    this.cloud();
    this.svg.replaceChildren();
    const { svg } = this;
    for (const [name, value] of Object.entries({ width, height: HEIGHT,
      viewBox: `0 0 ${width} ${HEIGHT}`, 'aria-label': this.words(titles) })) {
      svg.setAttribute(name, value);
    }
    svg.append(axes(x, y, box, { x: titles.x, y: titles.y, xUnit: units.x, yUnit: units.y }),
      this.clip());
    const inside = el('g', { 'clip-path': 'url(#inside)' });
    svg.append(inside);
    if (state.seeds === 'band') inside.append(...this.band());
    inside.append(...this.bounds(), ...this.lines());
    if (points.members) inside.append(...this.whiskers());
    inside.append(...this.dots());
    this.marks = el('g');
    svg.append(this.marks);
    this.mark(state);
  }

  /** Screen coordinates of every shown point, for the pointer. */
  place() {
    const { points, places } = this.view;
    this.px = Float32Array.from(places, (place) => this.x(points.x[place]));
    this.py = Float32Array.from(places, (place) => this.y(points.y[place]));
    const { left, right, top, bottom } = this.area;
    this.outside = places.reduce((sum, _, i) => sum + !(this.px[i] >= left - 0.5
      && this.px[i] <= right + 0.5 && this.py[i] >= top - 0.5 && this.py[i] <= bottom + 0.5), 0);
  }

  cloud() {
    const ratio = window.devicePixelRatio || 1;
    const { canvas, width, view, area } = this;
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${HEIGHT}px`;
    if (this.state.dominated !== '1') return;
    const draw = canvas.getContext('2d');
    draw.scale(ratio, ratio);
    draw.beginPath();
    draw.rect(area.left, area.top, area.right - area.left, area.bottom - area.top);
    draw.clip();
    const several = view.points.sweeps.length > 1;
    const grey = getComputedStyle(this.box).getPropertyValue('--dominated');
    const radius = view.places.length > 3000 ? 2 : 3.5;
    draw.globalAlpha = several ? 0.4 : view.places.length > 3000 ? 0.45 : 0.7;
    view.points.sweeps.forEach((_, sweep) => {
      draw.fillStyle = several ? COLOURS[sweep % COLOURS.length] : grey;
      draw.beginPath();
      view.places.forEach((place, i) => {
        if (view.onFront[place] || view.sweepOf[view.points.run[place]] !== sweep) return;
        draw.moveTo(this.px[i] + radius, this.py[i]);
        draw.arc(this.px[i], this.py[i], radius, 0, 7);
      });
      draw.fill();
    });
  }

  clip() {
    const { left, right, top, bottom } = this.area;
    return el('clipPath', { id: 'inside' }, el('rect', { x: left - 6, y: top - 6,
      width: right - left + 12, height: bottom - top + 12 }));
  }

  colour(sweep) {
    return COLOURS[sweep % COLOURS.length];
  }

  lines() {
    const { points, fronts, sx } = this.view;
    return fronts.map((front, sweep) => {
      const steps = front.map((place) => [points.x[place], points.y[place]]);
      const end = sx > 0 ? this.area.right : this.area.left;
      const line = steps.length ? `${path(steps, this.x, this.y, true)}H${end}` : '';
      return el('path', { class: 'front', d: line, fill: 'none', stroke: this.colour(sweep) });
    });
  }

  dots() {
    const { points, distinct, sweepOf } = this.view;
    return distinct.map(([place]) => el('circle', {
      class: 'member', 'data-key': keyOf(points, place), cx: this.x(points.x[place]).toFixed(1),
      cy: this.y(points.y[place]).toFixed(1), r: distinct.length > 150 ? 3 : 5,
      fill: this.colour(points.sweeps.length > 1 ? sweepOf[points.run[place]] : 0),
    }));
  }

  whiskers() {
    const { points, places } = this.view;
    const { source } = points;
    return places.filter((place) => points.members[place].length > 1).map((place) => {
      const ends = (column) => {
        const values = points.members[place].map((member) => column[member]);
        return [Math.min(...values), Math.max(...values)];
      };
      const [x0, x1] = ends(source.x).map(this.x);
      const [y0, y1] = ends(source.y).map(this.y);
      const [cx, cy] = [this.x(points.x[place]), this.y(points.y[place])];
      return el('path', { class: 'whisker', d: `M${x0} ${cy}H${x1}M${cx} ${y0}V${y1}` });
    });
  }

  band() {
    const { points, sx, sy } = this.view;
    const groups = [...bySeed(this.view).values()];
    if (groups.length < 2) return [];
    const [upper, middle, lower] = attainment(points.x, points.y, groups, sx, sy, [0.25, 0.5, 0.75]);
    const end = sx > 0 ? this.x.high : this.x.low;
    const closed = (curve) => (curve.length ? [...curve, [end, curve[curve.length - 1][1]]] : []);
    const corners = (curve) => closed(curve).flatMap(([x, y], i, all) =>
      (i ? [[x, all[i - 1][1]], [x, y]] : [[x, y]]));
    const outline = [...corners(upper), ...corners(lower).reverse()];
    const shapes = [];
    if (lower.length) {
      shapes.push(el('path', { class: 'band', d: `${path(outline, this.x, this.y)}Z` }));
    }
    if (middle.length) {
      shapes.push(el('path', { class: 'median', fill: 'none',
        d: path(closed(middle), this.x, this.y, true) }));
    }
    return shapes;
  }

  bounds() {
    const { left, right, top, bottom } = this.area;
    const [most, least] = this.view.bounds;
    const lines = [];
    if (most !== null) {
      const at = Math.min(right, Math.max(left, this.x(most)));
      lines.push(el('line', { class: 'bound', x1: at, x2: at, y1: top, y2: bottom }));
    }
    if (least !== null) {
      const at = Math.min(bottom, Math.max(top, this.y(least)));
      lines.push(el('line', { class: 'bound', x1: left, x2: right, y1: at, y2: at }));
    }
    return lines;
  }

  /** Rings around the chosen, the pinned and the best admissible point. */
  mark(state) {
    const { points, places, best } = this.view;
    const rings = [];
    const wanted = { [state.sel]: 'chosen', [state.pin]: 'pinned' };
    for (const place of places) {
      const name = wanted[keyOf(points, place)];
      if (name) rings.push([place, name, name === 'pinned' ? 9 : 8]);
    }
    if (best >= 0) rings.push([best, 'best', 11]);
    this.marks.replaceChildren(...rings.map(([place, name, r]) => el('circle', {
      class: `ring ${name}`, cx: this.x(points.x[place]), cy: this.y(points.y[place]), r })));
  }

  words(titles) {
    const { places, front } = this.view;
    return `${titles.y} against ${titles.x}: ${count(places.length, 'point')}, `
      + `${front.length} of them on the front; the table below lists those`;
  }

  /** The shown point that is the nearest to the pointer, -1 if none is near. */
  nearest(event) {
    const bounds = this.box.getBoundingClientRect();
    const [mx, my] = [event.clientX - bounds.left, event.clientY - bounds.top];
    let found = -1;
    let least = REACH * REACH;
    const { places, onFront } = this.view;
    const hide = this.state.dominated !== '1';
    for (let i = 0; i < places.length; i += 1) {
      const member = onFront[places[i]];
      if (hide && !member) continue;
      const far = (this.px[i] - mx) ** 2 + (this.py[i] - my) ** 2 - (member ? 9 : 0);
      if (far < least) [least, found] = [far, places[i]];
    }
    return found;
  }

  onMove(event) {
    const place = event && this.view ? this.nearest(event) : -1;
    this.box.classList.toggle('over', place >= 0);
    if (place >= 0) this.act.hover(place, event); else this.act.leave();
  }

  onClick(event) {
    const place = this.view ? this.nearest(event) : -1;
    if (place < 0) return;
    const key = keyOf(this.view.points, place);
    if (event.shiftKey) this.act.pin(key); else this.act.select(key);
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    const keys = (this.view?.distinct ?? []).map(([place]) => keyOf(this.view.points, place));
    if (step && keys.length) {
      const at = keys.indexOf(this.state.sel);
      const along = this.view.sx > 0 ? step : -step;
      const next = at < 0 ? 0 : Math.min(keys.length - 1, Math.max(0, at + along));
      this.act.select(keys[next]);
    } else if (event.key.toLowerCase() === 'p') this.act.pin(this.state.sel);
    else if (event.key === 'Escape') this.act.pin('');
    else return;
    event.preventDefault();
  }

  /** The picture as a file that stands alone. */
  toSvg() {
    const copy = this.svg.cloneNode(true);
    copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    const originals = [this.svg, ...this.svg.querySelectorAll('*')];
    [copy, ...copy.querySelectorAll('*')].forEach((node, i) => {
      const style = getComputedStyle(originals[i]);
      for (const name of ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'opacity',
        'font-size', 'font-family']) node.style.setProperty(name, style.getPropertyValue(name));
    });
    const paper = getComputedStyle(document.body).backgroundColor;
    const cloud = this.state.dominated !== '1' ? [] : this.view.places.map((place, i) =>
      (this.view.onFront[place] ? null : el('circle', { cx: this.px[i].toFixed(1),
        cy: this.py[i].toFixed(1), r: 2.5, fill: '#999', opacity: 0.6 })));
    copy.insertBefore(el('g', { 'clip-path': 'url(#inside)' }, ...cloud), copy.querySelector('g'));
    copy.prepend(el('rect', { width: '100%', height: '100%', fill: paper }));
    return new XMLSerializer().serializeToString(copy);
  }
}

/** The lines of a point's hint. */
export function hint(view, place, state, units) {
  const { points } = view;
  const run = points.runs[points.run[place]];
  const lines = [`${state.y} ${shown(points.y[place], units.y)}`,
    `${state.x} ${shown(points.x[place], units.x)}`, `step ${points.step[place]}`];
  const settings = Object.entries(run.settings).slice(0, 8)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? +value.toPrecision(4) : value}`);
  if (points.members) settings.push(`mean of ${count(points.members[place].length, 'run')}`);
  const sweep = points.sweeps.length > 1 ? ` of ${run.sweep}` : '';
  return { title: `${labelOf(points, place)}${sweep}`, lines, settings };
}
