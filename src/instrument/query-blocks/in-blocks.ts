import type { Anatomy } from '../../anatomy/anatomy.ts';
import { Shapes } from '../../anatomy/axes.ts';
import type { GraphIndex } from '../../anatomy/graph-index.ts';
import type { GraphBuilder } from '../../onnx/build.ts';
import { usedNames } from '../../onnx/check.ts';
import type { Graph, Node } from '../../onnx/model.ts';
import type { BlockContext } from '../block.ts';
import type { Names } from '../names.ts';
import type { Attended } from '../edit-pattern.ts';
import { attentionInBlocks } from './attention.ts';
import { readQueryCore } from './core.ts';
import { runtimeShape } from './loop.ts';

/** Works out the attention of a model's blocks in blocks of queries, where the graph allows it. */
export class InBlocks {
  /** Values that the rest of Headscope reads; outputs that are none of them are left out. */
  readonly roots: ReadonlySet<string>;
  /** For each layer so far: in blocks, or why not. */
  readonly layers: (true | { readonly why: string })[] = [];
  private readonly builder: GraphBuilder;
  private readonly names: Names;
  private readonly index: GraphIndex;
  private readonly shapes: Shapes;
  private readonly live: ReadonlySet<Node>;

  constructor(builder: GraphBuilder, names: Names, index: GraphIndex, anatomy: Anatomy) {
    this.builder = builder;
    this.names = names;
    this.index = index;
    this.shapes = new Shapes(index.model, anatomy.inputs, anatomy.fixed ?? {});
    this.roots = new Set(anatomy.unembedding && [anatomy.unembedding.logits]);
    const read = anatomy.blocks.flatMap(({ q, k, v, z, residPre, residMid, residPost }) =>
      [q?.value, k?.value, v?.value, z.value, residPre, residMid, residPost].filter(
        (name) => name !== undefined,
      ),
    );
    this.live = needed(index.model.graph, [...this.roots, ...read]);
    builder.input(names.global('query_blocks'), 'int64', []);
    builder.input(names.global('query_rows'), 'int64', ['query_blocks', 'query_rows']);
    builder.input(names.global('query_weights'), 'float32', ['query_blocks', 'query_rows']);
    builder.input(names.global('query_shares'), 'float32', ['batch', 'tokens', 2]);
    builder.input(names.global('positions'), 'float32', ['tokens']);
  }

  /** Attention of the next layer in blocks, and names that the rest of the model reads instead; undefined where it stays whole. */
  attention(
    context: BlockContext,
  ): { readonly made: Attended; readonly renamed: ReadonlyMap<string, string> } | undefined {
    const core = readQueryCore(this.index, this.shapes, context.block, this.live);
    this.layers.push('why' in core ? core : true);
    if ('why' in core) return undefined;
    const renamed = new Map(
      core.shapeReaders.map(({ node, axes }) => {
        const part = axes.slice(node.attributes.get('start')?.int ?? 0, node.attributes.get('end')?.int);
        return [node.outputs[0], runtimeShape(this.builder, this.names, part)];
      }),
    );
    return { made: attentionInBlocks(context, core), renamed };
  }
}

/** Nodes that some values are computed with. */
function needed(graph: Graph, values: readonly string[]): Set<Node> {
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const found = new Set<Node>();
  const open = [...values];
  while (open.length) {
    const node = producers.get(open.pop() as string);
    if (!node || found.has(node)) continue;
    found.add(node);
    open.push(...usedNames(node));
  }
  return found;
}

/** The graph without nodes that none of its outputs needs. */
export function withoutUnused(graph: Graph): Graph {
  const used = needed(
    graph,
    graph.outputs.map(({ name }) => name),
  );
  return { ...graph, nodes: graph.nodes.filter((node) => used.has(node)) };
}
