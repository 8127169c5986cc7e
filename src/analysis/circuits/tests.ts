import { headName, type HeadRef } from '../../instrument/runner.ts';
import { breather } from './breather.ts';
import type { CircuitEdge } from './circuit-types.ts';
import type { Contrast } from './contrast.ts';
import { causalEdges } from './edges.ts';
import { permutationTest, type LabelPermutations, type NullTest } from './permutation.ts';
import type { Labels } from './scores.ts';

/**
 * Tests every head, and the strongest edges, against permuted labels.
 * @param pairs [heads × heads] pair scores
 * @param count edges to list at most
 * @throws HeadscopeError `cancelled`
 */
export async function testScores(
  heads: readonly HeadRef[],
  contrast: Contrast,
  pairs: Float64Array,
  count: number,
  labels: Labels,
  permutations: LabelPermutations,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (done: number) => void } = {},
): Promise<{ nodes: NullTest[]; edges: CircuitEdge[] }> {
  const pause = breather(options.signal);
  const found = causalEdges(
    pairs,
    heads.map(({ layer }) => layer),
    count,
  );
  const nodes: NullTest[] = [];
  const edges: CircuitEdge[] = [];
  const test = async (statistic: (labels: Labels) => number): Promise<NullTest> => {
    options.onProgress?.((nodes.length + edges.length) / (heads.length + found.length));
    await pause();
    return permutationTest(statistic, statistic(labels), permutations);
  };
  for (let head = 0; head < heads.length; head++) nodes.push(await test(contrast.nodeStatistic(head)));
  for (const { first, second, score } of found) {
    const { p } = await test(contrast.pairStatistic(first, second));
    edges.push({ from: headName(heads[first]), to: headName(heads[second]), score, p });
  }
  return { nodes, edges };
}
