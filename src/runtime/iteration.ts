import type { RunnableModel, Session, Tensor } from './device.ts';

/** Runs one after the other, each on the state that the one before left; see `RunnableModel.state`. One run at a time. */
export interface Iteration {
  /**
   * @param feeds every graph input but the state
   * @throws HeadscopeError as `Session.run`; the state is then that of before
   */
  run(feeds: Readonly<Record<string, Tensor>>, fetches: readonly string[]): Promise<Record<string, Tensor>>;
  /** A copy of the state in host memory, by the names of its inputs. */
  state(): Promise<Record<string, Tensor>>;
  /** Frees the state. The session stays. */
  release(): Promise<void>;
}

/** Runs a session on a state: on the device where that can keep it, through host memory elsewhere. @param start every input of the state */
export function iterate(
  session: Session,
  { state: next = {} }: Pick<RunnableModel, 'state'>,
  start: Readonly<Record<string, Tensor>>,
): Iteration {
  if (session.iterate) return session.iterate(start);
  let state: Record<string, Tensor> = { ...start };
  return {
    async run(feeds, fetches) {
      const outputs = await session.run({ ...state, ...feeds }, [...fetches, ...Object.values(next)]);
      state = renamed(next, outputs);
      return pick(fetches, outputs);
    },
    state: () => Promise.resolve(state),
    release: () => Promise.resolve(),
  };
}

/** What each input of the state is next. */
export const renamed = <T>(
  next: Readonly<Record<string, string>>,
  outputs: Readonly<Record<string, T>>,
): Record<string, T> =>
  Object.fromEntries(Object.entries(next).map(([input, output]) => [input, outputs[output]]));

const pick = <T>(names: readonly string[], of: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(names.map((name) => [name, of[name]]));
