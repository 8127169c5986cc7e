/** A node's operator as it lies in a serialised graph: field 4 of NodeProto, 14 letters. */
const ROUNDING = new TextEncoder().encode('\x22\x0eQuantizeLinear');

/**
 * Settings of ONNX Runtime for a serialised graph that rounds activations by QuantizeLinear: such nodes are computed as they are written. The
 * optimiser that would fuse them with their neighbours crashes on rounded values that a branch reads (1.30), and the instrument reads them there.
 */
export function roundingOptions(graph: Uint8Array): Readonly<Record<string, string>> {
  for (let at = graph.indexOf(ROUNDING[0]); at >= 0; at = graph.indexOf(ROUNDING[0], at + 1))
    if (ROUNDING.every((byte, i) => graph[at + i] === byte)) return { disable_quant_qdq: '1' };
  return {};
}
