import type { Graph, Model } from './model.ts';
import { subgraphs } from './walk.ts';

/** A prefix that no name in a model starts with: `word/`, or with a number after the word. */
export function freePrefix(model: Model, word: string): string {
  const taken = new Set<string>();
  const take = (name: string): void => void taken.add(name.slice(0, name.indexOf('/') + 1));
  const visit = (graph: Graph): void => {
    for (const name of graph.initializers.keys()) take(name);
    for (const { name } of graph.inputs) take(name);
    for (const node of graph.nodes) {
      take(node.name);
      node.outputs.forEach(take);
      subgraphs(node).forEach(visit);
    }
  };
  visit(model.graph);
  let prefix = `${word}/`;
  for (let i = 1; taken.has(prefix); i++) prefix = `${word}${i}/`;
  return prefix;
}
