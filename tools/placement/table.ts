import type { PlacedModel } from './placement-of.ts';

/** A table of operator × provider × what is worked on, with the copies below it. */
export function placementTable({ nodes, onActivations, toHost, fromHost }: PlacedModel): string {
  const rows = new Map<string, { gpu: number; cpu: number; activations: number }>();
  for (const { opType, provider, name } of nodes) {
    const row = rows.get(opType) ?? { gpu: 0, cpu: 0, activations: 0 };
    row[provider]++;
    if (provider === 'cpu' && onActivations.has(name)) row.activations++;
    rows.set(opType, row);
  }
  const cells = [...rows]
    .sort(([a, x], [b, y]) => y.cpu - x.cpu || (a < b ? -1 : 1))
    .map(([opType, { gpu, cpu, activations }]) => [opType, gpu, cpu - activations, activations]);
  const lines = [['operator', 'GPU', 'CPU, beside the model', 'CPU, on activations'], ...cells].map(
    ([name, ...counts]) =>
      String(name).padEnd(28) + counts.map((count) => String(count || '').padStart(22)).join(''),
  );
  return [
    ...lines,
    `fetched from the GPU on the way: ${toHost.length}; sent to it: ${fromHost.length}`,
    ...[...new Set(toHost)].slice(0, 10).map((name) => `  fetched: ${name}`),
  ].join('\n');
}
