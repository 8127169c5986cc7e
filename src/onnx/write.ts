import type { Attribute, Graph, Model, Node, SparseTensorProto, TensorProto } from './model.ts';
import { isRange } from './model.ts';
import { WireWriter } from './wire.ts';

function writeTensor(w: WireWriter, tensor: TensorProto): void {
  for (const dim of tensor.dims) w.varint(1, dim);
  w.varint(2, tensor.dataType);
  for (const text of tensor.strings ?? []) w.bytes(6, text);
  if (tensor.name) w.string(8, tensor.name);
  const data = tensor.data;
  if (isRange(data)) {
    const entries = { location: data.source, offset: String(data.offset), length: String(data.length) };
    for (const [key, value] of Object.entries(entries))
      w.message(13, (e) => e.string(1, key).string(2, value));
    w.varint(14, 1);
  } else if (!tensor.strings) {
    w.bytes(9, data);
  }
}

function writeSparse(w: WireWriter, tensor: SparseTensorProto): void {
  const { values, indices } = tensor;
  if (values) w.message(1, (m) => writeTensor(m, values));
  if (indices) w.message(2, (m) => writeTensor(m, indices));
  for (const dim of tensor.dims) w.varint(3, dim);
}

function writeAttribute(w: WireWriter, attribute: Attribute): void {
  w.string(1, attribute.name);
  const { int, float, string, tensor, graph } = attribute;
  if (float !== undefined) w.float32(2, float);
  if (int !== undefined) w.varint(3, BigInt(int));
  if (string !== undefined) w.string(4, string);
  if (tensor) w.message(5, (m) => writeTensor(m, tensor));
  if (graph) w.message(6, (m) => writeGraph(m, graph));
  for (const value of attribute.floats ?? []) w.float32(7, value);
  for (const value of attribute.ints ?? []) w.varint(8, BigInt(value));
  for (const value of attribute.strings ?? []) w.string(9, value);
  for (const value of attribute.tensors ?? []) w.message(10, (m) => writeTensor(m, value));
  for (const value of attribute.graphs ?? []) w.message(11, (m) => writeGraph(m, value));
  for (const value of attribute.sparseTensors ?? [])
    w.message(attribute.type === 11 ? 22 : 23, (m) => writeSparse(m, value));
  w.varint(20, attribute.type);
}

function writeNode(w: WireWriter, node: Node): void {
  for (const name of node.inputs) w.string(1, name);
  for (const name of node.outputs) w.string(2, name);
  if (node.name) w.string(3, node.name);
  w.string(4, node.opType);
  for (const attribute of node.attributes.values()) {
    if (attribute.raw) w.bytes(5, attribute.raw);
    else w.message(5, (m) => writeAttribute(m, attribute));
  }
  if (node.domain) w.string(7, node.domain);
  w.raw(node.rest);
}

function writeGraph(w: WireWriter, graph: Graph): void {
  for (const node of graph.nodes) w.message(1, (m) => writeNode(m, node));
  w.string(2, graph.name || 'graph');
  for (const tensor of graph.initializers.values()) w.message(5, (m) => writeTensor(m, tensor));
  for (const info of graph.inputs) w.bytes(11, info.raw);
  for (const info of graph.outputs) w.bytes(12, info.raw);
  for (const tensor of graph.sparseInitializers) w.message(15, (m) => writeSparse(m, tensor));
  w.raw(graph.rest);
}

/** Serialises a model. Weights that are byte ranges become external data naming the file they are in; none is copied. */
export function writeModel(model: Model): Uint8Array {
  const w = new WireWriter();
  w.varint(1, model.irVersion || 8);
  w.string(2, model.producerName).string(3, model.producerVersion);
  w.message(7, (m) => writeGraph(m, model.graph));
  for (const [domain, version] of model.opsets) w.message(8, (m) => m.string(1, domain).varint(2, version));
  w.raw(model.rest);
  return w.finish();
}
