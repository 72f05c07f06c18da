// The form at the left: axes, points, budget, filters, export.

import { count, el, parse, short } from './dom.js';
import { DEFAULTS, filters, set, setFilter, state } from './state.js';
import { hasSeeds, varied } from './view.js';

/** Build the form anew in `parent`. `about`: tags, points; `act`: csv, json, svg, link. */
export function controls(parent, { tags, points }, act) {
  const names = tags.map((tag) => [tag.name, `${tag.name} (${count(tag.runs, 'run')})`]);
  const directions = [['max', 'more is better'], ['min', 'less is better']];
  parent.replaceChildren(
    group('Quality (y)', select('y', names, 'Scalar that is the quality'),
      select('ydir', directions, 'Direction of the quality')),
    group('Cost (x)', select('x', names, 'Scalar that is the cost'),
      select('xdir', directions, 'Direction of the cost')),
    group('Points of a run', select('value', [['all', 'every step that has both'],
      ['last', 'the last one'], ['best', 'the one with the best y']], 'Points of a run')),
    group('Budget', text('max', state.xdir === 'min' ? 'x at most' : 'x at least', '30M'),
      text('min', state.ydir === 'max' ? 'y at least' : 'y at most', '90 %')),
    group('Picture', check('dominated', 'dominated points'), check('logx', 'x logarithmic'),
      check('logy', 'y logarithmic'), check('full', 'far outliers, too')),
    group('Seeds', ...seeds(points)),
    group('Filters', text('rx', 'runs that match', 'regular expression'),
      ...varied(points).map(filterOf), clearButton()),
    group('Take it along', el('div', { class: 'buttons' }, ...Object.entries({ CSV: act.csv,
      JSON: act.json, SVG: act.svg }).map(([label, onclick]) =>
      el('button', { type: 'button', onclick, title: `Save what is shown as ${label}` }, label)),
    act.link)),
  );
}

function group(title, ...fields) {
  return el('fieldset', {}, el('legend', {}, title), ...fields);
}

function select(name, options, label) {
  const field = el('select', { name, 'aria-label': label,
    onchange: () => set({ [name]: field.value }) });
  const known = options.some(([value]) => value === state[name]) || !state[name];
  const all = known ? options : [[state[name], `${state[name]} (no run)`], ...options];
  field.append(...all.map(([value, text]) =>
    el('option', { value, selected: value === state[name] }, text)));
  return field;
}

function text(name, label, placeholder) {
  const field = el('input', { name, type: 'text', placeholder, value: state[name], spellcheck: 'false',
    oninput: () => {
      field.classList.toggle('wrong', name !== 'rx' && Number.isNaN(parse(field.value)));
      set({ [name]: field.value });
    } });
  return el('label', { class: 'field' }, label, field);
}

function check(name, label) {
  const field = el('input', { name, type: 'checkbox', checked: state[name] === '1',
    onchange: () => set({ [name]: field.checked ? '1' : '' }) });
  return el('label', { class: 'check' }, field, label);
}

function seeds(points) {
  if (!hasSeeds(points)) {
    return [el('p', { class: 'muted' }, 'No runs that differ in a hyperparameter “seed”.')];
  }
  return [select('seeds', [['each', 'every run by itself'], ['mean', 'mean with range'],
    ['band', 'attained by 25, 50, 75 % of them']], 'How seeds are shown')];
}

function filterOf(setting) {
  const filter = filters()[setting.name];
  if (setting.numeric) {
    const bounds = Array.isArray(filter) ? filter : [null, null];
    const fields = bounds.map((bound, i) => el('input', {
      type: 'text', value: bound === null ? '' : short(bound), spellcheck: 'false',
      placeholder: short(setting.values[i ? setting.values.length - 1 : 0]),
      'aria-label': `${i ? 'Largest' : 'Least'} ${setting.name}`, 'data-filter': setting.name,
      onchange: () => {
        const typed = fields.map((field) => parse(field.value));
        fields.forEach((field, j) => field.classList.toggle('wrong', Number.isNaN(typed[j])));
        if (typed.some(Number.isNaN)) return;
        setFilter(setting.name, typed.every((each) => each === null) ? null : typed);
      },
    }));
    return el('div', { class: 'field' }, el('span', {}, setting.name),
      el('span', { class: 'range' }, fields[0], '–', fields[1]));
  }
  const chosen = Array.isArray(filter?.in) ? filter.in : setting.values;
  const boxes = setting.values.slice(0, 12).map((value) => {
    const field = el('input', { type: 'checkbox', checked: chosen.includes(value),
      'data-filter': setting.name, onchange: () => {
        const kept = setting.values.filter((each) =>
          (each === value ? field.checked : chosen.includes(each)));
        setFilter(setting.name, kept.length === setting.values.length ? null : { in: kept });
      } });
    return el('label', { class: 'check' }, field, String(value));
  });
  return el('div', { class: 'field', role: 'group', 'aria-label': setting.name },
    el('span', {}, setting.name), el('span', { class: 'choices' }, ...boxes));
}

function clearButton() {
  const { rx, filters: none, time, max, min } = DEFAULTS;
  return el('button', { type: 'button', onclick: () => set({ rx, filters: none, time, max, min }) },
    'Clear filters and budget');
}
