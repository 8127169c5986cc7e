import * as v from 'valibot';
import { HeadscopeError } from '../../errors.ts';
import { migrate } from './migrate.ts';
import { SESSION_SCHEMA, SESSION_VERSION, SessionSchema, type SessionDocument } from './schema.ts';

/** Far above what sessions hold; a file that claims to be one must not fill the memory. */
const MAX_CHARACTERS = 256 * 1024 * 1024;

/** A session as the text of its file. */
export function writeSession(session: SessionDocument): string {
  return JSON.stringify(session, null, 1) + '\n';
}

/**
 * Reads a session file of this version or an older one.
 * @throws HeadscopeError `bad-session` with the place that is wrong, `newer-session`
 */
export function readSession(text: string): SessionDocument {
  if (text.length > MAX_CHARACTERS)
    throw new HeadscopeError('bad-session', 'The session file is larger than 256 MB, which no session is.');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new HeadscopeError(
      'bad-session',
      'The session file is damaged: it is not JSON. Open an autosaved or older copy.',
      2,
      { cause },
    );
  }
  const { schema, version } = (parsed ?? {}) as { schema?: unknown; version?: unknown };
  if (schema !== SESSION_SCHEMA)
    throw new HeadscopeError('bad-session', 'This is not a Headscope session file.');
  if (typeof version === 'number' && version > SESSION_VERSION)
    throw new HeadscopeError(
      'newer-session',
      `The session was saved by a newer Headscope (format ${version}, this one reads up to ${SESSION_VERSION}). Update Headscope to open it.`,
    );
  const result = v.safeParse(SessionSchema, migrate(parsed));
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new HeadscopeError(
    'bad-session',
    `The session file is damaged at ${v.getDotPath(issue) ?? 'its top'}: ${issue.message}.`,
  );
}
