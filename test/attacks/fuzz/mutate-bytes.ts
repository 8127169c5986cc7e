import type { Random } from '../../../src/random.ts';

/** Bytes changed, taken out, put in or repeated, or the end cut off. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let out = bytes;
  for (let left = 1 + random.int(4); left > 0 && out.length > 0; left--) {
    const at = random.int(out.length);
    const before = out.subarray(0, at);
    const part = out.subarray(at, at + 1 + random.int(16));
    const after = out.subarray(at + part.length);
    switch (random.int(6)) {
      case 0:
        out = Buffer.concat([before, part.map(() => random.int(256)), after]);
        break;
      case 1:
        out = Buffer.concat([before, after]);
        break;
      case 2:
        out = Buffer.concat([
          before,
          Uint8Array.from({ length: 1 + random.int(10) }, () => random.int(256)),
          part,
          after,
        ]);
        break;
      case 3:
        out = Buffer.concat([before, ...new Array<Uint8Array>(2 + random.int(60)).fill(part), after]);
        break;
      case 4:
        out = Buffer.concat([before, part.map((byte) => byte ^ (1 << random.int(8))), after]);
        break;
      default:
        if (random.int(4) === 0) out = before;
        else out = Buffer.concat([before, part.map(() => (random.int(2) ? 0xff : 0x80)), after]);
    }
  }
  return out;
}
