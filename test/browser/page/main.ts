import { EngineClient } from '../../../renderer/engine/client.ts';

/** The engine without any interface, for tests to talk to. */
const underTest = { client: new EngineClient({ nativeCpu: true }) };
Object.assign(globalThis, underTest);
export type UnderTest = typeof underTest;
