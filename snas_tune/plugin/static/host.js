// The page's half of TensorBoard's protocol for plugins in frames: JSON messages over a channel.
// TensorBoard publishes no package for it; it is tensorboard/components/experimental/plugin_lib.

const channel = new MessageChannel();
const listeners = new Map();

channel.port1.onmessage = async (event) => {
  const message = JSON.parse(event.data);
  if (message.isReply) return;
  let payload = null;
  let error = null;
  try {
    payload = (await listeners.get(message.type)?.(message.payload)) ?? null;
  } catch (problem) {
    error = String(problem);
  }
  const { type, id } = message;
  channel.port1.postMessage(JSON.stringify({ type, id, payload, error, isReply: true }));
};
window.parent.postMessage('experimental.bootstrap', '*', [channel.port2]);

/** Call `listener` when TensorBoard's reload button is pressed or its timer is due. */
export function onReload(listener) {
  listeners.set('experimental.DataReloaded', listener);
}

const PREFIX = 'p.pareto.';

/** The settings of the tab in the address, by name. TensorBoard 2.21 does not answer with those of
    an address that was opened directly, so they are read from the address itself. */
export function fromAddress() {
  const found = {};
  for (const part of window.parent.location.hash.slice(1).split('&')) {
    const [name, value] = part.split('=').map(decodeURIComponent);
    if (value !== undefined && name.startsWith(PREFIX)) found[name.slice(PREFIX.length)] = value;
  }
  return found;
}

/** The address that opens the tab with these settings. */
export function address(settings) {
  const parts = Object.entries(settings).map(
    ([name, value]) => `${encodeURIComponent(PREFIX + name)}=${encodeURIComponent(value)}`);
  const url = new URL(window.parent.location.href);
  url.hash = ['pareto', ...parts].join('&');
  return url.href;
}

/** Show the address of these settings, without a step in the browser's history. */
export function toAddress(settings) {
  if (!/^#pareto(&|$)/.test(window.parent.location.hash)) return; // another tab is open
  window.parent.history.replaceState(window.parent.history.state, '', address(settings));
}

/** Call `listener` with whether TensorBoard is dark, now and whenever that changes. */
export function onDark(listener) {
  const body = window.parent.document.body;
  const tell = () => listener(body.classList.contains('dark-mode'));
  new MutationObserver(tell).observe(body, { attributes: true, attributeFilter: ['class'] });
  tell();
}

/** Whether the tab is in sight. */
export function visible() {
  return !document.hidden && window.frameElement?.offsetParent !== null;
}
