import type { Random } from '../../../src/random.ts';
import { lists, putTogether, takeApart, type Field } from '../wire-tree.ts';
import { oddNumber, oddText, place } from './values.ts';

const OPERATORS =
  `Add Sub Mul Div Mod Pow Min Max And Equal Less Where Neg Sqrt Cast Clip Shape Size Constant ConstantOfShape Range Reshape Flatten
  Transpose Concat Split Slice Gather GatherElements GatherND Unsqueeze Squeeze Expand Tile Trilu CumSum TopK ArgMax OneHot ScatterND
  Softmax LayerNormalization RMSNormalization MatMul Gemm Einsum ReduceSum ReduceMean Dropout Identity If Loop Scan Attention
  MultiHeadAttention GroupQueryAttention RotaryEmbedding SkipLayerNormalization EmbedLayerNormalization FusedMatMul MatMulNBits
  QAttention DequantizeLinear MatMulInteger Conv`.split(/\s+/);
const ATTRIBUTES =
  `axis axes perm keepdims to start end split starts ends k equation num_heads allowzero batch_dims upper shape value value_int
  value_ints transA transB kv_num_heads q_num_heads unidirectional is_causal do_rotary interleaved scale epsilon qkv_hidden_sizes
  local_window_size softcap then_branch else_branch body bits block_size K N`.split(/\s+/);
/** Field numbers of onnx.proto. */
const NODE = { input: 1, output: 2, op: 4, attribute: 5, domain: 7 };
const ATTRIBUTE = { name: 1, i: 3, ints: 8, type: 20 };

const utf8 = new TextEncoder();

/** A protobuf file with some of its parts changed in ways that know what they are. @param type the message that the file is */
export function mutateWire(bytes: Uint8Array, type: 'Model' | 'Pieces', random: Random): Uint8Array {
  const tree = takeApart(bytes, type);
  for (let left = 1 + random.int(5); left > 0; left--) {
    if (type === 'Model' && random.int(2)) changeGraph(tree, random);
    else changeField(tree, random);
  }
  return putTogether(tree);
}

/** Any field dropped, doubled, exchanged, moved, renumbered, or given another number, text or kind. */
function changeField(tree: Field[], random: Random): void {
  const all = lists(tree).filter((list) => list.length > 0);
  if (all.length === 0) return;
  const list = all[place(random, all.length)];
  const at = place(random, list.length);
  const field = list[at].field || 3;
  const other = random.int(list.length);
  switch (random.int(9)) {
    case 0:
      list.splice(at, 1);
      break;
    case 1:
      list.splice(at, 0, ...new Array<Field>(1 + random.int(random.int(8) ? 4 : 400)).fill(list[at]));
      break;
    case 2:
      [list[at], list[other]] = [list[other], list[at]];
      break;
    case 3:
      list[at] = { field, content: oddNumber(random) };
      break;
    case 4:
      list[at] = { field, content: utf8.encode(oddText(random)) };
      break;
    case 5:
      if (list[at].field) list[at] = { ...list[at], field: 1 + random.int(30) };
      break;
    case 6:
      // a message may end up in itself only as a copy
      all[place(random, all.length)].push(structuredClone(list[at]));
      break;
    case 7:
      list[at] = structuredClone(list[other]);
      list[at].field ||= 3;
      break;
    default: {
      // a float, or a number that is given as a list
      const four = Uint8Array.from({ length: 4 }, () => random.int(256));
      if (random.int(2)) list[at] = { field: 0, content: Uint8Array.of((field % 16) * 8 + 5, ...four) };
      else list[at] = { field, content: Uint8Array.of(0x80, 0xff, 1, random.int(128)) };
    }
  }
}

/** Nodes rewired, operators, attributes, types and shapes changed, names crossed. */
function changeGraph(tree: Field[], random: Random): void {
  const messages = typed(tree);
  const nodes = messages.filter(({ type }) => type === 'Node').map(({ list }) => list);
  const of = (type: string): Field[] | undefined => {
    const found = messages.filter((message) => message.type === type);
    return found.length > 0 ? found[place(random, found.length)].list : undefined;
  };
  if (nodes.length === 0) return changeField(tree, random);
  const node = nodes[place(random, nodes.length)];
  const another = nodes[random.int(nodes.length)];
  const names = (list: Field[], ...fields: number[]): Field[] =>
    list.filter(({ field }) => fields.includes(field));
  const inputs = names(node, NODE.input, NODE.output);
  const set = (list: Field[], field: number, content: Field['content']): void => {
    const found = list.find((one) => one.field === field);
    if (found) found.content = content;
    else list.push({ field, content });
  };
  switch (random.int(9)) {
    case 0:
    case 1: {
      const from = names(another, NODE.input, NODE.output);
      if (inputs.length > 0 && from.length > 0) random.pick(inputs).content = random.pick(from).content;
      break;
    }
    case 2:
      set(node, NODE.op, utf8.encode(random.pick(OPERATORS)));
      break;
    case 3:
      set(node, NODE.domain, utf8.encode(random.pick(['', 'com.microsoft', 'ai.onnx', 'own'])));
      break;
    case 4: {
      const attribute = of('Attribute');
      if (attribute) set(attribute, ATTRIBUTE.name, utf8.encode(random.pick(ATTRIBUTES)));
      break;
    }
    case 5: {
      const attribute = of('Attribute') ?? [];
      set(attribute, random.pick([ATTRIBUTE.i, ATTRIBUTE.ints, ATTRIBUTE.type]), oddNumber(random));
      break;
    }
    case 6: {
      const dimension = of(random.pick(['Dimension', 'Tensor']));
      if (dimension) set(dimension, 1, oddNumber(random));
      break;
    }
    case 7: {
      // the element type of a tensor or an input
      const tensor = of('Tensor');
      const value = of('TensorType');
      if (tensor && random.int(2)) set(tensor, 2, BigInt(random.int(25)));
      else if (value) set(value, 1, BigInt(random.int(25)));
      break;
    }
    default: {
      const graph = messages.find(({ type }) => type === 'Graph');
      const copy = structuredClone(node);
      set(copy, NODE.op, utf8.encode(random.pick(OPERATORS)));
      graph?.list.splice(random.int(graph.list.length + 1), 0, { field: 1, type: 'Node', content: copy });
    }
  }
}

function typed(list: Field[], type = 'Model'): { type: string; list: Field[] }[] {
  const inner = list.flatMap(({ content, type: own }) => (Array.isArray(content) ? typed(content, own) : []));
  return [{ type, list }, ...inner];
}
