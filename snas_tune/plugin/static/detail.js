// What is known of the chosen point, and of the pinned one beside it: architectures, curves, commands.

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
        'Click a point to see its architecture, curves and commands; shift-click another to compare.'));
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
      const found = about.steps.length
        ? await this.architecture(node, run, step, place, about, context) : null;
      if (!about.steps.length) {
        node.append(el('p', { class: 'muted' }, 'This run logged no architectures.'));
      }
      node.append(...charts(about, step, context), settingsTable(about.settings));
      return { node, run, step, found };
    } catch (error) {
      node.append(el('p', { class: 'error' }, error.message));
      return { node, run, step, found: null };
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

  async architecture(node, run, step, place, about, context) {
    if (!about.steps.includes(step)) {
      node.append(el('p', { class: 'muted' }, `No architecture was logged at step ${step}.`));
      return null;
    }
    const dark = context.dark ? '1' : '0';
    const source = (at, part) => `architecture.svg?${new URLSearchParams({ run, step: at, dark,
      ...(part ? { part } : {}) })}`;
    let found = null;
    let images = [];
    try {
      found = await (await ask('architecture', { run, step })).json();
      images = found.parts.map(([part]) => el('img', { class: 'part', 'data-part': part,
        alt: `${part} of ${about.trial} at step ${step}` }));
      node.append(el('a', { class: 'picture', href: source(step), target: '_blank',
        title: 'Open the picture' }, ...images));
    } catch (error) {
      node.append(el('p', { class: 'error' }, error.message));
    }
    const draw = (at) => images.forEach((image) => { image.src = source(at, image.dataset.part); });
    draw(step);
    if (about.steps.length > 1) node.append(this.slider(run, step, place, about, draw));
    if (found) node.append(commands(about, step, found));
    return found;
  }

  /** Walks through the trial's architectures; the picture follows at once, the rest when it rests. */
  slider(run, step, place, about, draw) {
    const text = el('output', {}, `step ${step} of ${about.steps[about.steps.length - 1]}`);
    const at = (input) => about.steps[Number(input.value)];
    const input = el('input', {
      type: 'range', min: 0, max: about.steps.length - 1, value: about.steps.indexOf(step),
      'aria-label': `Step of ${about.trial} whose architecture is drawn`,
      oninput: () => {
        text.textContent = `step ${at(input)} of ${about.steps[about.steps.length - 1]}`;
        draw(at(input));
      },
      onchange: () => {
        const key = `${run}|${at(input)}`;
        if (place) this.act.pin(key); else this.act.select(key);
      },
    });
    return el('label', { class: 'slider' }, 'Over the search', input, text);
  }
}

function commands(about, step, found) {
  const box = el('div', { class: 'commands' });
  if (about.experiment) {
    const kept = about.checkpoints[String(step)];
    const command = `snas-tune take ${quoted(about.experiment)} `
      + `--pick ${quoted(`${about.trial}:${step}`)} --epochs 30 --export child.pt2`;
    box.append(el('h3', {}, 'Train and export it'), el('code', { class: 'command' }, command),
      copyButton('Copy command', command));
    if (!kept) {
      box.append(el('p', { class: 'muted' },
        'The checkpoint of this step was not kept: its training starts from new weights.'));
    }
  }
  box.append(el('h3', {}, 'Architecture'), el('code', { class: 'architecture' }, found.text),
    copyButton('Copy JSON', found.json), copyButton('Copy text', found.text));
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

/** The choices in which two architectures differ. */
function difference(one, other) {
  const node = el('section', { class: 'card difference' }, el('h2', {}, 'What differs'));
  if (!one.found || !other.found) {
    node.append(el('p', { class: 'muted' }, 'One of the two has no architecture.'));
    return node;
  }
  const rows = [];
  const [left, right] = [one, other].map((card) => new Map(card.found.parts));
  for (const part of new Set([...left.keys(), ...right.keys()])) {
    const [a, b] = [left, right].map((parts) => byChoice(parts.get(part) ?? []));
    for (const choice of [...new Set([...a.keys(), ...b.keys()])].sort()) {
      const options = [a, b].map((options) => options.get(choice) ?? 'none');
      if (options[0] !== options[1]) {
        const name = left.size > 1 || right.size > 1 ? `${part} ${choice}` : choice;
        rows.push(el('tr', {}, el('th', { scope: 'row' }, name),
          ...options.map((option) => el('td', {}, option))));
      }
    }
  }
  node.append(rows.length ? el('table', {}, el('thead', {}, el('tr', {}, el('th', {}, 'choice'),
    el('th', {}, 'chosen'), el('th', {}, 'pinned'))), el('tbody', {}, ...rows))
    : el('p', {}, 'Nothing: both have the same architecture.'));
  return node;
}

/** The options of each choice; a choice may come more than once. */
function byChoice(rows) {
  const found = new Map();
  for (const [choice, option] of rows) {
    found.set(choice, found.has(choice) ? `${found.get(choice)}, ${option}` : option);
  }
  return found;
}
