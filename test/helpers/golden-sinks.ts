import type { Golden } from './golden.ts';

/** Sinks counted plainly from what PyTorch recorded: the definitions written down once more, without the program's own code. */
export class GoldenSinks {
  private readonly golden: Golden;
  readonly prompt: number;
  readonly tokens: number;
  readonly heads: number;

  constructor(golden: Golden, prompt = 0) {
    this.golden = golden;
    this.prompt = prompt;
    this.tokens = golden.prompts[prompt].length;
    this.heads = golden.tensor(`p${prompt}.l0.attn`).dims[0];
  }

  /** A[q, k] */
  attention(layer: number, head: number, query: number, key: number): number {
    const { data } = this.golden.tensor(`p${this.prompt}.l${layer}.attn`);
    return data[(head * this.tokens + query) * this.tokens + key];
  }

  /** Mean attention that a key receives from the queries that may see it. */
  received(layer: number, head: number, key: number): number {
    let sum = 0;
    for (let query = key; query < this.tokens; query++) sum += this.attention(layer, head, query, key);
    return sum / (this.tokens - key);
  }

  /** Heads whose attention to the key exceeds the threshold, strongest first. */
  headsOn(key: number, threshold: number): { name: string; received: number }[] {
    const found: { name: string; received: number }[] = [];
    for (let layer = 0; layer < this.golden.layers; layer++)
      for (let head = 0; head < this.heads; head++) {
        const received = this.received(layer, head, key);
        if (received > threshold) found.push({ name: `L${layer}H${head}`, received });
      }
    return found.sort((a, b) => b.received - a.received);
  }

  /** Positions that are sinks of some head. */
  positions(threshold: number): number[] {
    return Array.from({ length: this.tokens }, (_, key) => key).filter(
      (key) => this.headsOn(key, threshold).length > 0,
    );
  }

  /** Share of a layer's attention that goes to the keys, mean over heads and queries. */
  share(layer: number, keys: readonly number[]): number {
    let sum = 0;
    for (let head = 0; head < this.heads; head++)
      for (let query = 0; query < this.tokens; query++)
        for (const key of keys) sum += this.attention(layer, head, query, key);
    return sum / (this.heads * this.tokens);
  }

  /** Largest |x| / RMS(x) among the dimensions in the stream that enters a layer. */
  phi(layer: number, position: number, dims: readonly number[]): number {
    const { data, dims: shape } = this.golden.tensor(`p${this.prompt}.resid.${layer}`);
    const row = Array.from(data.subarray(position * shape[1], (position + 1) * shape[1]));
    const rms = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / shape[1]);
    return Math.max(...dims.map((dim) => Math.abs(row[dim]) / rms));
  }
}
