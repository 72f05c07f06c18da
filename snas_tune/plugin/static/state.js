// What the user chose, kept in the address so that a link shows the same.

import { fromAddress, toAddress } from './host.js';

export const DEFAULTS = {
  x: '', y: '', // scalars
  xdir: 'min', ydir: 'max',
  value: '', // which points of a run: all, last, best
  logx: '', logy: '', full: '', // '1' if on
  dominated: '1',
  rx: '', // runs whose names match
  filters: '', // JSON: hyperparameter or scalar -> [least, most] or {in: [...]}
  max: '', min: '', // the budget: a bound on x, and on y
  seeds: 'each', // each, mean, band
  time: '1', // the share of all points that is shown, the oldest first
  hv: 'children', // the x of the hypervolume
  sel: '', pin: '', // points, as run|step
};

export const state = { ...DEFAULTS, ...known(fromAddress()) };

const listeners = [];

/** Call `listener` with the names of what changed. */
export function onChange(listener) {
  listeners.push(listener);
}

/** Change some of it. */
export function set(changes) {
  const names = Object.keys(changes).filter((name) => state[name] !== String(changes[name]));
  for (const name of names) state[name] = String(changes[name]);
  if (!names.length) return;
  toAddress(chosen());
  for (const listener of listeners) listener(new Set(names));
}

/** All that is not as it is by default. */
export function chosen() {
  return Object.fromEntries(
    Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]));
}

/** The filters as an object; one that is no JSON is none. */
export function filters() {
  try {
    const value = JSON.parse(state.filters || '{}');
    return value && typeof value === 'object' ? value : {};
  } catch {
    return {};
  }
}

/** Put a filter on a name; null takes it away. */
export function setFilter(name, filter) {
  const all = { ...filters(), [name]: filter };
  if (filter === null) delete all[name];
  set({ filters: Object.keys(all).length ? JSON.stringify(all) : '' });
}

function known(settings) {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => name in DEFAULTS));
}
