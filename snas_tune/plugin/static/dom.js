// Elements, numbers as text, and files to save. Texts become text nodes: names may hold HTML.

const SVG = new Set(['svg', 'g', 'circle', 'path', 'line', 'text', 'rect', 'title', 'clipPath']);

/** An element; attributes that are null are left out, `on...` are listeners. */
export function el(tag, attributes = {}, ...children) {
  const node = SVG.has(tag)
    ? document.createElementNS('http://www.w3.org/2000/svg', tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const SUFFIXES = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];

/** A number with four digits, as 0.6043M. */
export function short(value) {
  if (typeof value !== 'number') return String(value);
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  for (const [factor, letter] of SUFFIXES) {
    if (size >= factor) return `${+(value / factor).toPrecision(4)}${letter}`;
  }
  return size && size < 1e-3 ? value.toExponential(2) : String(+value.toPrecision(4));
}

/** A value of a scalar; a share as per cent. */
export function shown(value, unit) {
  return unit === 'share' && Number.isFinite(value) ? `${(100 * value).toFixed(2)} %` : short(value);
}

/** The inverse, as people type it: 30M, 0.6k, 90 %, 1e6. NaN if it is none, null if empty. */
export function parse(text) {
  if (!text.trim()) return null;
  const match = /^\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([kMGT%]?)\s*$/i.exec(text);
  if (!match) return NaN;
  const letter = match[2] === 'K' ? 'k' : match[2];
  const factor = letter === '%' ? 0.01
    : SUFFIXES.find((pair) => pair[1] === letter || pair[1] === letter.toUpperCase())?.[0] ?? 1;
  return Number(match[1]) * factor;
}

/** Seconds as 1:02:03. */
export function clock(seconds) {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const rest = parts.slice(1).map((part) => String(part).padStart(2, '0')).join(':');
  return parts[0] ? `${parts[0]}:${rest}` : rest.replace(/^0/, '');
}

/** A count with its noun: 1 run, 1,728 runs. */
export function count(number, noun, many = `${noun}s`) {
  return `${number.toLocaleString('en')} ${number === 1 ? noun : many}`;
}

/** Let the user save a text as a file. */
export function save(name, text, kind) {
  const url = URL.createObjectURL(new Blob([text], { type: kind }));
  el('a', { download: name, href: url }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** A button that copies a text and says so. */
export function copyButton(label, text) {
  const button = el('button', {
    type: 'button',
    onclick: async () => {
      const copied = await copy(typeof text === 'function' ? text() : text);
      button.textContent = copied ? 'Copied' : 'Select it and press Ctrl+C';
      setTimeout(() => { button.textContent = label; }, 1500);
    },
  }, label);
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // not allowed on plain http from another machine
    const area = el('textarea', { class: 'offscreen' });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }
}

/** An answer of the plugin's backend; its one line is the error. */
export async function ask(path, query = {}, body = undefined) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) words.append(name, each);
  }
  const options = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json' } };
  const response = await fetch(words.size ? `${path}?${words}` : path, options);
  if (!response.ok) {
    const text = await response.text();
    let reason = text;
    try { reason = JSON.parse(text).error; } catch { /* not one of ours */ }
    throw new Error(reason || `${path} answered ${response.status}`);
  }
  return response;
}
