// CRC-32 of PNG and zip files: reflected polynomial 0xEDB88320. Lowest bit of a number = highest power of x.
const POLYNOMIAL = 0xedb88320;

/** [4][256]: what a byte does to the register 1 … 4 bytes later, so that four bytes are taken at once. */
const TABLES: readonly Uint32Array[] = (() => {
  const first = Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? POLYNOMIAL ^ (c >>> 1) : c >>> 1;
    return c;
  });
  const tables = [first];
  for (let t = 1; t < 4; t++) tables.push(tables[t - 1].map((c) => first[c & 0xff] ^ (c >>> 8)));
  return tables;
})();

/** The register after these bytes, without the inversions at both ends: linear in the bytes, zeros in front change nothing. */
function register(bytes: Uint8Array, start: number): number {
  const [t0, t1, t2, t3] = TABLES;
  let c = start;
  let i = 0;
  for (const whole = bytes.length - 3; i < whole; i += 4) {
    c ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    c = t3[c & 0xff] ^ t2[(c >>> 8) & 0xff] ^ t1[(c >>> 16) & 0xff] ^ t0[c >>> 24];
  }
  for (; i < bytes.length; i++) c = t0[(c ^ bytes[i]) & 0xff] ^ (c >>> 8);
  return c >>> 0;
}

/** CRC-32 of bytes that are all there. */
export const crc32 = (bytes: Uint8Array): number => ~register(bytes, 0xffffffff) >>> 0;

/** a · b modulo the polynomial. */
function product(a: number, b: number): number {
  let sum = 0;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if (a & bit) sum ^= b;
    b = b & 1 ? (b >>> 1) ^ POLYNOMIAL : b >>> 1;
  }
  return sum >>> 0;
}

/** x^(8 · 2^i). */
const POWERS: readonly number[] = (() => {
  let power = 0x40000000; // x
  for (let i = 0; i < 3; i++) power = product(power, power);
  const powers = [power];
  while (powers.length < 53) powers.push((power = product(power, power)));
  return powers;
})();

/** A register after `count` zero bytes. */
function shifted(value: number, count: number): number {
  let out = value;
  for (let i = 0, left = count; left > 0; i++, left = Math.floor(left / 2))
    if (left % 2 === 1) out = product(POWERS[i], out);
  return out;
}

/** CRC-32 of a file whose pieces come in any order; what never comes is zeros. */
export class ScatteredCrc32 {
  readonly #length: number;
  #register = 0;

  /** @param length of the whole file, in bytes */
  constructor(length: number) {
    this.#length = length;
  }

  /** Takes a piece into account; pieces must not overlap. */
  add(bytes: Uint8Array, position: number): void {
    this.#register ^= shifted(register(bytes, 0), this.#length - position - bytes.length);
  }

  get value(): number {
    return ~(this.#register ^ shifted(0xffffffff, this.#length)) >>> 0;
  }
}
