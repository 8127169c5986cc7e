import { inflateSync } from 'node:zlib';

export interface Decoded {
  width: number;
  height: number;
  /** [height × width] palette indices. */
  pixels: Uint8Array;
  palette: Uint8Array;
  alpha: Uint8Array;
  chunks: { type: string; data: Buffer; crc: number }[];
}

/** Reads an 8-bit palette PNG with unfiltered lines, by the standard and Node's zlib. */
export function decodePng(file: Uint8Array): Decoded {
  const bytes = Buffer.from(file);
  if (bytes.subarray(0, 8).toString('latin1') !== '\x89PNG\r\n\x1a\n') throw new Error('no PNG signature');
  const chunks: Decoded['chunks'] = [];
  for (let at = 8; at < bytes.length;) {
    const length = bytes.readUInt32BE(at);
    const data = bytes.subarray(at + 8, at + 8 + length);
    chunks.push({
      type: bytes.toString('latin1', at + 4, at + 8),
      data,
      crc: bytes.readUInt32BE(at + 8 + length),
    });
    at += 12 + length;
  }
  const find = (type: string): Buffer => chunks.find((chunk) => chunk.type === type)?.data ?? Buffer.alloc(0);
  const header = find('IHDR');
  if (header.subarray(8).toString('hex') !== '0803000000') throw new Error('not an 8-bit palette picture');
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const lines = inflateSync(find('IDAT'));
  if (lines.length !== height * (width + 1))
    throw new Error(`${lines.length} bytes for ${width} × ${height}`);
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    if (lines[y * (width + 1)] !== 0) throw new Error('a filtered line');
    pixels.set(lines.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)), y * width);
  }
  return {
    width,
    height,
    pixels,
    palette: new Uint8Array(find('PLTE')),
    alpha: new Uint8Array(find('tRNS')),
    chunks,
  };
}

/** The picture in a `data:` address. */
export function decodeDataUrl(url: string): Decoded {
  const prefix = 'data:image/png;base64,';
  if (!url.startsWith(prefix)) throw new Error(`not a PNG address: ${url.slice(0, 40)}`);
  return decodePng(Buffer.from(url.slice(prefix.length), 'base64'));
}
