import { describe, expect, it } from 'vitest';
import { npyHeader, type NpyArray } from '../../src/report/npy.ts';
import { readNpy } from '../../src/report/read-npy.ts';

function written(array: NpyArray): Uint8Array {
  const header = npyHeader(array);
  const { buffer, byteOffset, byteLength } = array.data;
  const bytes = new Uint8Array(header.length + byteLength + 3);
  bytes.set(header, 3);
  bytes.set(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength), header.length + 3);
  return bytes.subarray(3); // not aligned, as parts of larger buffers are
}

/** A header as NumPy writes it, for column-major and other arrays. */
function withHeader(text: string, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(10 + text.length + body.length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length & 255, text.length >> 8]);
  bytes.set(new TextEncoder().encode(text), 10);
  bytes.set(body, 10 + text.length);
  return bytes;
}

describe('arrays of NumPy', () => {
  it.each([
    { data: Float32Array.of(1, 2, 3, 4, 5, 6), dims: [1, 2, 3] },
    { data: Float64Array.of(-0.5, 2), dims: [2] },
    { data: BigInt64Array.of(7n, -9n), dims: [2, 1] },
    { data: Uint8Array.of(0, 255), dims: [1, 2] },
  ])('come back as they were written: $dims', (array) => {
    const { data, dims } = readNpy(written(array), 'x.npy');
    expect(data).toEqual(array.data);
    expect(dims).toEqual(array.dims);
  });

  it('column-major becomes row-major', () => {
    const body = new Uint8Array(Int32Array.of(0, 3, 1, 4, 2, 5).buffer);
    const bytes = withHeader("{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }\n", body);
    expect([...(readNpy(bytes, 'x.npy').data as Int32Array)]).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('anything else is named', () => {
    const body = new Uint8Array(8);
    const read = (header: string) => () => readNpy(withHeader(header, body), 'x.npy');
    expect(() => readNpy(body, 'x.npy')).toThrow(/x\.npy is no NumPy file/);
    expect(read("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n")).toThrow(/plain numbers/);
    expect(read("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }\n")).toThrow(/plain numbers/);
    expect(read("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n")).toThrow(/too short/);
    expect(read("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,99999999), }\n")).toThrow(
      /too short/,
    );
  });
});
