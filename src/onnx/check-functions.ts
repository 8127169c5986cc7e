import { HeadscopeError } from '../errors.ts';
import type { Model, ModelFunction, Node } from './model.ts';
import { quoted } from './quoted.ts';
import { subgraphs } from './walk.ts';

const calledBy = ({ domain, opType }: Node): string => `${domain}/${opType}`;

/** Functions that a function's body calls, in subgraphs too. */
function callsOf({ nodes }: ModelFunction, functions: ReadonlyMap<string, ModelFunction>): Set<string> {
  const called = new Set<string>();
  const visit = (node: Node): void => {
    if (functions.has(calledBy(node))) called.add(calledBy(node));
    for (const graph of subgraphs(node)) graph.nodes.forEach(visit);
  };
  nodes.forEach(visit);
  return called;
}

/** Functions by domain and name; those that exist in several versions are left out, since a call does not say here which it means. */
function unambiguous({ functions }: Model): Map<string, ModelFunction> {
  const byId = new Map<string, ModelFunction>();
  const repeated = new Set<string>();
  for (const each of functions) {
    const id = `${each.domain}/${each.name}`;
    if (byId.has(id)) repeated.add(id);
    byId.set(id, each);
  }
  for (const id of repeated) byId.delete(id);
  return byId;
}

/**
 * Refuses functions of the model that call themselves, on their own or through others: ONNX forbids them, and their bodies never end.
 *
 * @throws HeadscopeError `bad-graph` naming the functions of the circle
 */
export function checkFunctions(model: Model): void {
  const functions = unambiguous(model);
  const done = new Set<string>();
  for (const root of functions.keys()) {
    // the calls that lead from the root to where this is, each with those that are still to be followed
    const path = done.has(root) ? [] : [root];
    const left = new Map(path.map((id) => [id, [...callsOf(functions.get(id)!, functions)]]));
    for (let id = path.at(-1); id !== undefined; id = path.at(-1)) {
      const next = left.get(id)!.pop();
      if (next === undefined) {
        done.add(id);
        left.delete(id);
        path.pop();
      } else if (left.has(next)) {
        refuse(path.slice(path.indexOf(next)).map((each) => functions.get(each)!.name));
      } else if (!done.has(next)) {
        path.push(next);
        left.set(next, [...callsOf(functions.get(next)!, functions)]);
      }
    }
  }
}

function refuse([name, ...others]: string[]): never {
  const through = others.length
    ? ` through ${quoted(others[0])}${others.length > 1 ? ` and ${others.length - 1} more` : ''}`
    : '';
  throw new HeadscopeError(
    'bad-graph',
    `the function ${quoted(name)} of the model calls itself${through}, so it never ends. The file is damaged; export it again.`,
  );
}
