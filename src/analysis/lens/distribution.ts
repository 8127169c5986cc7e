/** What a row of logits says, in natural-log units. */

export interface TokenScore {
  readonly id: number;
  readonly logit: number;
  readonly logprob: number;
}

/** log Σ exp(logits), computed stably. @param logits [vocab] */
export function logSumExp(logits: ArrayLike<number>): number {
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i] > top) top = logits[i];
  // A model may rule words out with a logit of −∞.
  if (top === -Infinity) return -Infinity;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - top);
  return top + Math.log(sum);
}

/** The `count` most likely tokens, most likely first; equal logits in order of id. */
export function topTokens(logits: ArrayLike<number>, count: number): TokenScore[] {
  const norm = logSumExp(logits);
  const best: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    if (best.length === count && !(logits[id] > logits[best[count - 1]])) continue;
    let at = best.length;
    while (at > 0 && logits[id] > logits[best[at - 1]]) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  return best.map((id) => ({ id, logit: logits[id], logprob: logits[id] - norm }));
}

/** How many tokens have a larger logit; 0 is the most likely token. */
export function rankOf(logits: ArrayLike<number>, id: number): number {
  let rank = 0;
  for (let i = 0; i < logits.length; i++) if (logits[i] > logits[id]) rank++;
  return rank;
}

/** The most likely token; the smallest id among equals. */
export function argmax(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

/** KL(p ‖ q) in nats of the distributions of two rows of logits; never below 0. */
export function klDivergence(p: ArrayLike<number>, q: ArrayLike<number>): number {
  const normP = logSumExp(p);
  const normQ = logSumExp(q);
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const logP = p[i] - normP;
    const weight = Math.exp(logP);
    if (weight > 0) sum += weight * (logP - (q[i] - normQ));
  }
  return Math.max(0, sum);
}
