/** Two neighbours that may be joined. */
export interface Join {
  /** What they become. */
  readonly text: string;
  /** The lowest is joined first. */
  readonly rank: number;
}

interface Candidate extends Join {
  readonly left: number;
  readonly right: number;
  /** Counts of joins at the two places when the candidate was found; it is stale once one of them has changed. */
  readonly leftAge: number;
  readonly rightAge: number;
}

/**
 * Byte-pair encoding: joins the neighbours with the lowest rank, the leftmost of equals, until no two can be joined.
 * @param symbols changed in place
 * @param join what two symbols become, if anything
 */
export function mergeSymbols(
  symbols: string[],
  join: (left: string, right: string) => Join | undefined,
): string[] {
  const count = symbols.length;
  const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
  const next = Int32Array.from({ length: count }, (_, i) => i + 1);
  const age = new Int32Array(count);
  const heap = new CandidateHeap();
  const offer = (left: number, right: number): void => {
    if (left < 0 || right >= count) return;
    const found = join(symbols[left], symbols[right]);
    if (found !== undefined) {
      heap.push({ ...found, left, right, leftAge: age[left], rightAge: age[right] });
    }
  };
  for (let i = 1; i < count; i++) offer(i - 1, i);
  for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
    const { left, right } = best;
    if (age[left] !== best.leftAge || age[right] !== best.rightAge) continue;
    symbols[left] = best.text;
    age[left]++;
    age[right] = -1;
    next[left] = next[right];
    if (next[left] < count) previous[next[left]] = left;
    offer(previous[left], left);
    offer(left, next[left]);
  }
  const out: string[] = [];
  for (let i = 0; i < count; i = next[i]) out.push(symbols[i]);
  return out;
}

class CandidateHeap {
  private readonly items: Candidate[] = [];

  push(item: Candidate): void {
    const { items } = this;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(item, items[parent])) break;
      items[at] = items[parent];
      at = parent;
    }
    items[at] = item;
  }

  pop(): Candidate | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return last;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1], items[child])) child++;
      if (!before(items[child], last)) break;
      items[at] = items[child];
      at = child;
    }
    items[at] = last;
    return top;
  }
}

function before(a: Candidate, b: Candidate): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.left < b.left);
}
