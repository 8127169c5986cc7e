/** A node and the provider that runs it. */
export interface PlacedNode {
  readonly provider: 'cpu' | 'gpu';
  readonly opType: string;
  readonly name: string;
}

/** Where ONNX Runtime puts a graph's nodes, those of its branches among them, and the copies that it adds. */
export interface Placement {
  readonly nodes: readonly PlacedNode[];
  /** Values that are fetched from the GPU in the middle of a run, each of which waits until the GPU has done all that came before. */
  readonly toHost: readonly string[];
  /** Values that are sent to the GPU. */
  readonly fromHost: readonly string[];
}

/** What ONNX Runtime's log of a session on the GPU says about placement. */
export function readPlacement(log: string): Placement {
  const nodes: PlacedNode[] = [];
  const toHost: string[] = [];
  const fromHost: string[] = [];
  let provider: PlacedNode['provider'] = 'cpu';
  for (const line of log.split('\n')) {
    const copy = /AddCopyNode\] Add Memcpy(ToHost before|FromHost after) (.*) for /.exec(line);
    if (copy) (copy[1].startsWith('To') ? toHost : fromHost).push(copy[2]);
    const said = /VerifyEachNodeIsAssignedToAnEp\] (.*)$/.exec(line)?.[1];
    if (said === undefined) continue;
    const placed = /placed on \[(\w+)\]/.exec(said);
    if (placed) provider = placed[1].startsWith('CPU') ? 'cpu' : 'gpu';
    const node = /^\s*(\S+) \((.*)\)$/.exec(said);
    if (node && !node[1].startsWith('Memcpy')) nodes.push({ provider, opType: node[1], name: node[2] });
  }
  return { nodes, toHost, fromHost };
}
