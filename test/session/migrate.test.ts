import { describe, expect, it } from 'vitest';
import { migrate, type MigrationStep } from '../../src/workbench/session/migrate.ts';

const steps: Record<number, MigrationStep> = {
  1: ({ name, ...rest }) => ({ ...rest, title: name }),
  2: (session) => ({ ...session, tags: [] }),
};

describe('migration of sessions', () => {
  it('goes step by step to the present format', () => {
    expect(migrate({ schema: 's', version: 1, name: 'a' }, steps, 3)).toEqual({
      schema: 's',
      version: 3,
      title: 'a',
      tags: [],
    });
    expect(migrate({ version: 2, title: 'b' }, steps, 3)).toEqual({ version: 3, title: 'b', tags: [] });
  });

  it('leaves alone what is of the present format', () => {
    const present = { version: 3, title: 'c' };
    expect(migrate(present, steps, 3)).toBe(present);
  });

  it('stops where there is no way on, for the schema to refuse', () => {
    expect(migrate({ version: 0 }, steps, 3)).toEqual({ version: 0 });
    expect(migrate({ version: 1, name: 'a' }, { 1: steps[1] }, 3)).toEqual({ version: 2, title: 'a' });
    for (const nonsense of [null, 7, 'text', { version: NaN }, { version: 'constructor' }])
      expect(migrate(nonsense, steps, 3)).toBe(nonsense);
  });
});
