import { sinkThreshold, type SinkRule } from '../../../src/analysis/sinks/by-attention.ts';
import { headName, type TokenPos } from '../../../src/instrument/runner.ts';

/**
 * The keys that ACT turns down in each head, by head name; heads without any are missing. Position 0 is never calibrated.
 * @param received a[k] of the unedited run, [layers][heads × T]
 */
export function calibratedSinks(
  received: readonly Float32Array[],
  tokens: number,
  rule: SinkRule,
): ReadonlyMap<string, readonly TokenPos[]> {
  const threshold = sinkThreshold(tokens, rule).value;
  const found = new Map<string, TokenPos[]>();
  received.forEach((array, layer) => {
    for (let head = 0; head < array.length / tokens; head++) {
      const keys: TokenPos[] = [];
      for (let k = 1; k < tokens; k++) if (array[head * tokens + k] > threshold) keys.push(k);
      if (keys.length) found.set(headName({ layer, head }), keys);
    }
  });
  return found;
}
