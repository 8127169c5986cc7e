import type { Attribute, Graph, Model, ModelFunction, Node } from './model.ts';
import { renamedGraph, renamedRaw, withGraphs } from './rename.ts';
import { subgraphs } from './walk.ts';

/** Nodes that expanding may add, and calls in calls: functions that call functions grow fast. */
const MOST_ADDED = 100_000;
const DEEPEST = 64;

const idOf = ({ domain, name }: { domain: string; name: string }): string => `${domain}/${name}`;
const calledBy = ({ domain, opType }: Node): string => idOf({ domain, name: opType });

/**
 * Writes the bodies of model-local functions where they are called, as exporters do that make a function of every module or operator. A
 * call stays where its function is overloaded, calls itself, means another opset than the graph, or would make the graph too large.
 *
 * @returns the same model where nothing was expanded
 */
export function inlineFunctions(model: Model): Model {
  const inliner = new Inliner(model);
  const nodes = inliner.expand(model.graph.nodes, new Set());
  if (inliner.added === 0 || inliner.added > MOST_ADDED) return model;
  const initializers = new Map(model.graph.initializers);
  return { ...model, opsets: inliner.opsets, graph: { ...model.graph, nodes, initializers } };
}

/** Every name of a graph and of those in it. */
function namesOf(graph: Graph): string[] {
  return [
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap((node) => [...node.outputs, ...subgraphs(node).flatMap(namesOf)]),
  ];
}

class Inliner {
  readonly opsets: Map<string, number>;
  added = 0;
  private readonly functions = new Map<string, ModelFunction>();
  private readonly prefix: string;
  private readonly sizes = new Map<ModelFunction, number>();
  private calls = 0;

  constructor({ functions, graph, opsets }: Model) {
    this.opsets = new Map(opsets);
    const names = functions.length ? namesOf(graph) : [];
    const prefixes = new Set(names.map((name) => name.slice(0, name.indexOf('/') + 1)));
    let prefix = 'call/';
    for (let i = 1; prefixes.has(prefix); i++) prefix = `call${i}/`;
    this.prefix = prefix;
    const defined = new Set<string>();
    for (const each of functions) {
      const id = idOf(each);
      if (defined.has(id)) this.functions.delete(id);
      else if (each.overload === '' && each.domain !== '') this.functions.set(id, each);
      defined.add(id);
    }
    for (const [id, each] of this.functions) if (!this.fits(each, defined)) this.functions.delete(id);
  }

  /** True when the body means the same operators as the graph does; versions that the graph does not name are added to it. */
  private fits(each: ModelFunction, defined: ReadonlySet<string>): boolean {
    const used = new Set<string>();
    let size = 0;
    const visit = (node: Node): void => {
      size++;
      if (!defined.has(calledBy(node))) used.add(node.domain);
      for (const graph of subgraphs(node)) graph.nodes.forEach(visit);
    };
    each.nodes.forEach(visit);
    this.sizes.set(each, size);
    for (const domain of used) {
      const version = each.opsets.get(domain);
      if (version === undefined || (this.opsets.get(domain) ?? version) !== version) return false;
    }
    for (const domain of used) this.opsets.set(domain, each.opsets.get(domain)!);
    return true;
  }

  /** Expands the calls among nodes. `active` are the functions whose bodies these are. */
  expand(nodes: readonly Node[], active: ReadonlySet<ModelFunction>): Node[] {
    return nodes.flatMap((node): Node[] => {
      const called = this.functions.get(calledBy(node));
      if (!called || active.has(called) || active.size >= DEEPEST) return [this.inside(node, active)];
      this.added += 1 + this.sizes.get(called)!;
      if (this.added > MOST_ADDED) return [node];
      const body = new Body(`${this.prefix}${this.calls++}/`, node, called).nodes();
      return this.expand(body, new Set([...active, called]));
    });
  }

  /** Expands calls in the graphs that a node holds. */
  private inside(node: Node, active: ReadonlySet<ModelFunction>): Node {
    if (this.functions.size === 0 || subgraphs(node).length === 0) return node;
    const expanded = (graph: Graph): Graph => {
      const initializers = new Map(graph.initializers);
      return { ...graph, nodes: this.expand(graph.nodes, active), initializers };
    };
    const attributes = [...node.attributes].map(
      ([name, attribute]) => [name, withGraphs(attribute, expanded)] as const,
    );
    return { ...node, attributes: new Map(attributes) };
  }
}

/** The body of a function for one call of it. */
class Body {
  private readonly prefix: string;
  private readonly call: Node;
  private readonly called: ModelFunction;
  /** Names of the function's inputs and outputs, as the graph around the call knows them. */
  private readonly outer: Map<string, string>;
  /** Results that are something else under another name. */
  private readonly copies: [from: string, to: string][] = [];

  constructor(prefix: string, call: Node, called: ModelFunction) {
    this.prefix = prefix;
    this.call = call;
    this.called = called;
    this.outer = new Map(called.inputs.map((name, i) => [name, call.inputs[i] ?? '']));
    called.outputs.forEach((name, i) => {
      const to = call.outputs[i];
      if (!to) return;
      const known = this.outer.get(name);
      if (known === undefined) this.outer.set(name, to);
      else this.copies.push([known, to]);
    });
  }

  nodes(): Node[] {
    const copies = this.copies.map(([from, to]): Node => ({
      name: '',
      opType: 'Identity',
      domain: '',
      inputs: [from],
      outputs: [to],
      attributes: new Map(),
    }));
    return [...this.called.nodes.map((node) => this.node(node)), ...copies];
  }

  private name(name: string): string {
    return name === '' ? '' : (this.outer.get(name) ?? this.prefix + name);
  }

  private node(node: Node): Node {
    const where = this.call.name || this.call.outputs[0];
    return {
      ...node,
      name: node.name === '' ? '' : `${this.prefix}${where}/${node.name}`,
      inputs: node.inputs.map((name) => this.name(name)),
      outputs: node.outputs.map((name) => this.name(name)),
      attributes: this.attributes(node),
    };
  }

  /** Attributes with those that the call gives, or else its function's defaults, in the place of references to them. */
  private attributes({ attributes }: Node): Map<string, Attribute> {
    const { call, called } = this;
    return new Map(
      [...attributes].flatMap(([name, attribute]) => {
        if (attribute.from === undefined)
          return [[name, withGraphs(attribute, (graph) => this.graph(graph))]];
        const given =
          call.attributes.get(attribute.from) ?? called.defaults.find((each) => each.name === attribute.from);
        if (!given) return [];
        return [[name, { ...given, name, ...(given.raw && { raw: renamedRaw(given.raw, name) }) }]];
      }),
    );
  }

  private graph(graph: Graph): Graph {
    return renamedGraph(
      graph,
      (name) => this.name(name),
      (node) => this.node(node),
    );
  }
}
