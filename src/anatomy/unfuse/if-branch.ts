import type { Graph, Node } from '../../onnx/model.ts';
import type { Rule, RuleContext } from './rule.ts';

/**
 * If whose condition is always the same, because it is stored, because it follows from sizes that do not change, or because it is the flag that
 * says whether a cache is used, which is fed as false: the branch that runs takes its place.
 */
export const ifBranch: Rule = {
  opType: 'If',
  domain: '',
  rewrite(node, context) {
    const condition = context.always(node.inputs[0]);
    if (condition === undefined) return 'which of its branches runs depends on what is fed';
    const branch = node.attributes.get(condition ? 'then_branch' : 'else_branch')?.graph;
    if (!branch) return 'one of its branches is missing';
    // a branch may call a result what the operator calls it, as Optimum's merged decoders do
    const same = new Set(branch.outputs.flatMap(({ name }, i) => (name === node.outputs[i] ? [name] : [])));
    const clash = ownNames(branch).find((name) => context.taken.has(name) && !same.has(name));
    if (clash !== undefined) return `its branch uses the name ${JSON.stringify(clash)} once more`;
    inline(branch, node, context);
    return undefined;
  },
};

const ownNames = (graph: Graph): string[] => [
  ...graph.initializers.keys(),
  ...graph.nodes.flatMap((node) => node.outputs.filter((name) => name !== '')),
];

function inline(branch: Graph, node: Node, { g, taken }: RuleContext): void {
  for (const name of ownNames(branch)) taken.add(name);
  for (const [name, tensor] of branch.initializers) g.graph.initializers.set(name, tensor);
  for (const one of branch.nodes) g.graph.nodes.push(one);
  branch.outputs.forEach(({ name }, i) => {
    if (node.outputs[i] && node.outputs[i] !== name) g.op('Identity', [name], {}, node.outputs[i]);
  });
}
