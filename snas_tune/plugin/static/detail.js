// What is known of the chosen point, and of the pinned one beside it: cells, curves, commands.

import { curvesChart } from './chart.js';
import { ask, copyButton, el, shown } from './dom.js';

const CHARTS = [
  ['accuracy', ['child_accuracy', 'accuracy']],
  ['FLOPs (multiply-adds)', ['flops', 'expected_flops']],
  ['entropy', ['entropy']],
  ['temperature', ['temperature']],
];

/** Where a point stands: {run, step}. */
export function split(key) {
  const at = key.lastIndexOf('|');
  return { run: key.slice(0, at), step: Number(key.slice(at + 1)) };
}

/** A panel in `parent`; `act` has select(key) and pin(key). */
export class Detail {
  constructor(parent, act) {
    this.act = act;
    this.parent = parent;
    this.turn = 0;
  }

  /** Show the points of the keys, the chosen one first. */
  async draw(keys, context) {
    this.turn += 1;
    const { turn } = this;
    if (!keys.length) {
      this.parent.replaceChildren(el('p', { class: 'muted' },
        'Click a point to see its cells, curves and commands; shift-click another to compare.'));
      return;
    }
    const cards = await Promise.all(keys.map((key, i) => this.card(key, i, context)));
    if (turn !== this.turn) return; // something else was chosen meanwhile
    const nodes = cards.map((card) => card.node);
    if (cards.length === 2) nodes.unshift(difference(cards[0], cards[1]));
    this.parent.replaceChildren(...nodes);
  }

  async card(key, place, context) {
    const { run, step } = split(key);
    const node = el('section', { class: place ? 'card pinned' : 'card chosen', 'data-key': key });
    try {
      const tags = [context.state.y, context.state.x];
      const about = await (await ask('run', { run, tag: tags })).json();
      node.append(this.head(key, run, step, place, about, context));
      const cell = about.steps.length ? await this.cells(node, run, step, place, about, context) : null;
      if (!about.steps.length) {
        node.append(el('p', { class: 'muted' }, 'This run logged no cells.'));
      }
      node.append(...charts(about, step, context), settingsTable(about.settings));
      return { node, run, step, cell };
    } catch (error) {
      node.append(el('p', { class: 'error' }, error.message));
      return { node, run, step, cell: null };
    }
  }

  head(key, run, step, place, about, context) {
    const values = [context.state.y, context.state.x].map((tag) => {
      const at = about.curves[tag]?.find((point) => point[0] === step);
      return at ? `${tag} ${shown(at[1], context.unit(tag))}` : null;
    }).filter(Boolean);
    const button = place
      ? el('button', { type: 'button', onclick: () => this.act.pin('') }, 'Let go')
      : el('button', { type: 'button', onclick: () => this.act.pin(key),
        title: 'Keep it beside the next one that is chosen' }, 'Pin');
    return el('header', {}, el('h2', {}, about.trial), button,
      el('p', { class: 'muted' }, `${place ? 'pinned, ' : ''}step ${step}${values.length ? ': ' : ''}`,
        values.join(', ')));
  }

  async cells(node, run, step, place, about, context) {
    const words = { run, step };
    if (!about.steps.includes(step)) {
      node.append(el('p', { class: 'muted' }, `No cell was logged at step ${step}.`));
      return null;
    }
    const images = ['normal', 'reduction'].map((name) => el('img', { class: 'cells',
      alt: `The ${name} cell of ${about.trial} at step ${step}`, 'data-cell': name }));
    const draw = (at) => images.forEach((image) => {
      image.src = `cell.svg?${new URLSearchParams({ run, step: at, cell: image.dataset.cell,
        dark: context.dark ? '1' : '0' })}`;
    });
    draw(step);
    const both = new URLSearchParams({ ...words, dark: context.dark ? '1' : '0' });
    const picture = el('a', { class: 'cellbox', href: `cell.svg?${both}`, target: '_blank',
      title: 'Open the picture' }, ...images);
    let cell = null;
    try {
      cell = await (await ask('cell', words)).json();
      node.append(picture);
    } catch (error) {
      node.append(el('p', { class: 'error' }, error.message));
    }
    if (about.steps.length > 1) node.append(this.slider(run, step, place, about, draw));
    if (cell) node.append(commands(about, step, cell));
    return cell;
  }

  /** Walks through the trial's cells; the picture follows at once, the rest when it rests. */
  slider(run, step, place, about, draw) {
    const text = el('output', {}, `step ${step} of ${about.steps[about.steps.length - 1]}`);
    const at = (input) => about.steps[Number(input.value)];
    const input = el('input', {
      type: 'range', min: 0, max: about.steps.length - 1, value: about.steps.indexOf(step),
      'aria-label': `Step of ${about.trial} whose cells are drawn`,
      oninput: () => {
        text.textContent = `step ${at(input)} of ${about.steps[about.steps.length - 1]}`;
        draw(at(input));
      },
      onchange: () => {
        const key = `${run}|${at(input)}`;
        if (place) this.act.pin(key); else this.act.select(key);
      },
    });
    return el('label', { class: 'slider' }, 'The cells over the search', input, text);
  }
}

function commands(about, step, cell) {
  const box = el('div', { class: 'commands' });
  if (about.experiment) {
    const kept = about.checkpoints[String(step)];
    const command = `python examples/take_cell.py ${quoted(about.experiment)} `
      + `--cell ${quoted(`${about.trial}:${step}`)} --epochs 30 --export cell.pt2`;
    box.append(el('h3', {}, 'Train and export it'), el('code', { class: 'command' }, command),
      copyButton('Copy command', command));
    if (!kept) {
      box.append(el('p', { class: 'muted' },
        'The checkpoint of this step was not kept: its training starts from new weights.'));
    }
  }
  box.append(el('h3', {}, 'Genotype'), el('code', { class: 'genotype' }, cell.text),
    copyButton('Copy JSON', cell.json), copyButton('Copy text', cell.text));
  return box;
}

/** A word for a POSIX shell. */
function quoted(text) {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function charts(about, step, context) {
  const drawn = new Set(CHARTS.flatMap(([, tags]) => tags));
  const others = [context.state.y, context.state.x].filter((tag) => !drawn.has(tag))
    .map((tag) => [tag, [tag]]);
  return [...others, ...CHARTS].map(([title, tags]) => {
    const curves = tags.filter((tag) => about.curves[tag]?.length)
      .map((tag) => ({ name: tag, points: about.curves[tag], unit: context.unit(tag) }));
    return curves.length
      ? curvesChart(curves, { width: 410, height: 96, mark: step, title }) : null;
  }).filter(Boolean);
}

function settingsTable(settings) {
  const rows = Object.entries(settings).map(([name, value]) => el('tr', {},
    el('th', { scope: 'row' }, name), el('td', {}, typeof value === 'number'
      ? String(+value.toPrecision(6)) : String(value))));
  return el('table', { class: 'settings' }, el('caption', {}, 'Hyperparameters'),
    el('tbody', {}, ...(rows.length ? rows
      : [el('tr', {}, el('td', { class: 'muted' }, 'This run logged none.'))])));
}

/** The edges that two genotypes do not share. */
function difference(one, other) {
  const node = el('section', { class: 'card difference' }, el('h2', {}, 'What differs'));
  if (!one.cell || !other.cell) {
    node.append(el('p', { class: 'muted' }, 'One of the two has no cells.'));
    return node;
  }
  const rows = [];
  for (const name of Object.keys(one.cell.cells)) {
    const [a, b] = [one, other].map((card) => byEdge(card.cell.cells[name]));
    for (const edge of [...new Set([...a.keys(), ...b.keys()])].sort()) {
      const [left, right] = [a.get(edge) ?? 'no edge', b.get(edge) ?? 'no edge'];
      if (left !== right) {
        rows.push(el('tr', {}, el('th', { scope: 'row' }, `${name} ${edge}`),
          el('td', {}, left), el('td', {}, right)));
      }
    }
  }
  node.append(rows.length ? el('table', {}, el('thead', {}, el('tr', {}, el('th', {}, 'edge'),
    el('th', {}, 'chosen'), el('th', {}, 'pinned'))), el('tbody', {}, ...rows))
    : el('p', {}, 'Nothing: both have the same cells.'));
  return node;
}

function byEdge(edges) {
  const found = new Map();
  for (const [source, target, op] of edges) {
    const edge = `${source} → ${target}`;
    found.set(edge, found.has(edge) ? `${found.get(edge)}, ${op}` : op);
  }
  return found;
}
