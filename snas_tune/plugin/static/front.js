// Dominance on plain arrays, with the corner cases of snas_tune.front: equal points are all on the
// front. Costs are what is minimised: `sx` and `sy` are 1 for min and -1 for max.

/** The places of the front among `places`, the cheapest first; ties keep the order of places. */
export function frontOf(xs, ys, places, sx, sy) {
  const order = Array.from(places).sort(
    (a, b) => sx * (xs[a] - xs[b]) || sy * (ys[a] - ys[b]) || a - b);
  const front = [];
  let best = Infinity;
  for (let i = 0; i < order.length;) {
    const first = order[i];
    const cost = sy * ys[first];
    let j = i;
    for (; j < order.length && xs[order[j]] === xs[first]; j += 1) {
      if (cost < best && ys[order[j]] === ys[first]) front.push(order[j]);
    }
    best = Math.min(best, cost);
    i = j;
  }
  return front;
}

/** The hypervolume after each of the places in turn, up to the corner [x, y]. */
export function hypervolumes(xs, ys, places, sx, sy, corner) {
  const [right, top] = [sx * corner[0], sy * corner[1]];
  const front = []; // [cost x, cost y], x ascends and y descends
  let volume = 0;
  return places.map((place) => {
    const x = sx * xs[place];
    const y = sy * ys[place];
    if (!(x < right && y < top)) return volume;
    let at = 0;
    for (let high = front.length; at < high;) { // the first that is to the right of x
      const middle = (at + high) >> 1;
      if (front[middle][0] <= x) at = middle + 1; else high = middle;
    }
    let level = at ? front[at - 1][1] : top;
    if (level <= y) return volume;
    let from = x;
    let end = at;
    for (; end < front.length && level > y; end += 1) {
      volume += (front[end][0] - from) * (level - y);
      [from, level] = front[end];
      if (level <= y) break;
    }
    if (level > y) volume += (right - from) * (level - y);
    const start = at && front[at - 1][0] === x ? at - 1 : at;
    front.splice(start, end - start, [x, y]);
    return volume;
  });
}

/** The best y among places with x no worse than `bound` and y no worse than `least` (null: any);
    ties go to the better x, then to the first. -1 if there is none. */
export function best(xs, ys, places, sx, sy, bound, least) {
  let found = -1;
  for (const place of places) {
    if (bound !== null && !(sx * xs[place] <= sx * bound)) continue;
    if (least !== null && !(sy * ys[place] <= sy * least)) continue;
    if (found < 0 || (sy * (ys[place] - ys[found]) || sx * (xs[place] - xs[found])) < 0) {
      found = place;
    }
  }
  return found;
}

/** For each level the y that at least so many of the groups attain at each cost: the empirical
    attainment function (Fonseca and Fleming, 1996). Returns a list of [x, y] for each level. */
export function attainment(xs, ys, groups, sx, sy, levels) {
  const fronts = groups.map((places) => frontOf(xs, ys, places, sx, sy));
  const stops = [...new Set(fronts.flat().map((place) => xs[place]))].sort((a, b) => sx * (a - b));
  const at = fronts.map(() => 0);
  const attained = fronts.map(() => Infinity);
  const curves = levels.map(() => []);
  for (const stop of stops) {
    fronts.forEach((front, i) => {
      while (at[i] < front.length && sx * xs[front[at[i]]] <= sx * stop) {
        attained[i] = sy * ys[front[at[i]]];
        at[i] += 1;
      }
    });
    const sorted = [...attained].sort((a, b) => a - b);
    levels.forEach((level, i) => {
      const cost = sorted[Math.max(0, Math.ceil(level * groups.length) - 1)];
      if (cost < Infinity) curves[i].push([stop, sy * cost]);
    });
  }
  return curves;
}
