// The slider that shows the sweep as it was, and plays it.

import { clock, count, el } from './dom.js';
import { set, state } from './state.js';

const SECONDS = 8; // in which the sweep is played

export class Timeline {
  constructor(box) {
    this.box = box;
    this.playing = false;
  }

  draw(view) {
    this.view = view;
    const text = this.words(view);
    if (this.slider?.isConnected && this.playing) { // it must not be replaced while it moves
      this.slider.value = state.time;
      this.box.querySelector('output').replaceWith(text);
      return;
    }
    const focused = this.box.contains(document.activeElement) && document.activeElement.tagName;
    this.slider = el('input', { type: 'range', min: 0, max: 1, step: 0.005, value: state.time,
      'aria-label': 'How much of the sweep is shown',
      oninput: () => set({ time: this.slider.value }) });
    this.button = el('button', { type: 'button',
      onclick: () => (this.playing ? this.stop() : this.start()) }, 'Play the sweep');
    this.box.replaceChildren(this.button, this.slider, text);
    if (focused) (focused === 'BUTTON' ? this.button : this.slider).focus();
  }

  /** How many points are shown, and how long after the first the last of them came. */
  words({ points, places, byTime }) {
    const last = places.reduce((latest, place) => Math.max(latest, points.time[place]), 0);
    const after = places.length
      ? `, after ${clock(Math.max(0, last - points.time[byTime[0]]))}` : '';
    return el('output', {},
      `${places.length.toLocaleString('en')} of ${count(byTime.length, 'point')}${after}`);
  }

  start() {
    this.button.textContent = 'Stop';
    this.playing = true;
    const began = performance.now();
    const frame = (now) => {
      if (!this.playing) return;
      const share = Math.max(0, Math.min(1, (now - began) / (1000 * SECONDS)));
      set({ time: share.toFixed(3) });
      if (share < 1) requestAnimationFrame(frame); else this.stop();
    };
    requestAnimationFrame(frame);
  }

  stop() {
    this.playing = false;
    set({ time: '1' });
    this.draw(this.view);
  }
}
