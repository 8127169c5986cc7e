import { SESSION_VERSION } from './schema.ts';

/** Turns a document of one format into the next. */
export type MigrationStep = (session: Record<string, unknown>) => Record<string, unknown>;

/** By the format a step starts from; a step, once released, never changes. Format 1 is the first. */
const STEPS: Readonly<Record<number, MigrationStep>> = {};

/**
 * Brings a parsed session file to the present format, one step after the other; what cannot be a session is returned as it is, for the
 * schema to refuse.
 */
export function migrate(parsed: unknown, steps = STEPS, present: number = SESSION_VERSION): unknown {
  if (typeof parsed !== 'object' || parsed === null) return parsed;
  let session = parsed as Record<string, unknown>;
  for (;;) {
    const { version } = session;
    if (typeof version !== 'number' || version >= present || !Object.hasOwn(steps, version)) return session;
    session = { ...steps[version](session), version: version + 1 };
  }
}
