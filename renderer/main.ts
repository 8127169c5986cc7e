import { mount } from 'svelte';
import App from './App.svelte';
import { EngineClient } from './engine/client.ts';
import { createShell } from './shell/index.ts';
import { WorkbenchState } from './state/workbench.svelte.ts';
import './theme/tokens.css';
import './theme/base.css';

const shell = createShell();
const workbench = new WorkbenchState(shell, new EngineClient({ nativeCpu: shell.nativeCpu }));
mount(App, { target: document.getElementById('app')!, props: { workbench } });
