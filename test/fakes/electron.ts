import { fork } from 'node:child_process';
import { EventEmitter } from 'node:events';

/*
 * A double of `electron`'s main-process modules: only what the app uses, and strict about order and safety. Whatever is not modelled throws,
 * so that a test cannot pass on a part of Electron that is not there. It says nothing about Electron itself.
 */

/** Throws on any property that the double does not have. */
function strict<T extends object>(name: string, part: T): T {
  return new Proxy(part, {
    get(target, key, receiver) {
      if (key in target || typeof key === 'symbol' || key === 'then')
        return Reflect.get(target, key, receiver) as unknown;
      throw new Error(`The double of electron has no ${name}.${key}`);
    },
  });
}

type Handler = (event: unknown, args: unknown) => Promise<unknown>;
interface Frame {
  readonly url: string;
  readonly parent: Frame | null;
}

/** What a test sees and decides. */
export interface FakeState {
  ready: boolean;
  isPackaged: boolean;
  userData: string;
  hasLock: boolean;
  quit: boolean;
  sandboxed: boolean;
  schemes: string[];
  switches: [string, string?][];
  handlers: Map<string, Handler>;
  protocol?: (request: Request) => Promise<Response>;
  windows: FakeWindow[];
  requestFilter?: (details: { url: string }, callback: (answer: { cancel: boolean }) => void) => void;
  permissionRequest?: (contents: unknown, permission: string, callback: (granted: boolean) => void) => void;
  permissionCheck?: () => boolean;
  devicePermission?: () => boolean;
  menu: MenuItem[];
  /** The next answers of the dialogs. */
  openDialog: { canceled: boolean; filePaths: string[] };
  saveDialog: { canceled: boolean; filePath?: string };
  dialogOptions: unknown[];
  errors: [string, string][];
  theme: string;
}

interface MenuItem {
  id?: string;
  label?: string;
  role?: string;
  type?: string;
  accelerator?: string;
  registerAccelerator?: boolean;
  submenu?: MenuItem[];
  click?: () => void;
}

const fresh = (): FakeState => ({
  ready: false,
  isPackaged: false,
  userData: '',
  hasLock: true,
  quit: false,
  sandboxed: false,
  schemes: [],
  switches: [],
  handlers: new Map(),
  windows: [],
  menu: [],
  openDialog: { canceled: true, filePaths: [] },
  saveDialog: { canceled: true },
  dialogOptions: [],
  errors: [],
  theme: 'system',
});

export const fake: FakeState = fresh();
let becomeReady: () => void = () => undefined;
let whenReady = new Promise<void>((resolve) => (becomeReady = resolve));
const appEvents = new EventEmitter();

/** Starts from nothing, as a new process would. */
export function resetFake(settings: Partial<FakeState>): void {
  for (const window of fake.windows) window.destroy();
  for (const key of Object.keys(fake)) delete (fake as unknown as Record<string, unknown>)[key];
  Object.assign(fake, fresh(), settings);
  appEvents.removeAllListeners();
  whenReady = new Promise<void>((resolve) => (becomeReady = resolve));
}

/** The app is ready from now on. */
export function makeReady(): void {
  fake.ready = true;
  becomeReady();
}

/** An event of `app`. */
export function emitApp(name: string, ...args: unknown[]): void {
  appEvents.emit(name, ...args);
}

const beforeReady = (what: string): void => {
  if (fake.ready) throw new Error(`${what} must run before the app is ready`);
};
const afterReady = (what: string): void => {
  if (!fake.ready) throw new Error(`${what} must run after the app is ready`);
};

export const app = strict('app', {
  get isPackaged() {
    return fake.isPackaged;
  },
  name: 'Headscope',
  enableSandbox() {
    beforeReady('app.enableSandbox');
    fake.sandboxed = true;
  },
  getPath(name: string) {
    if (name !== 'userData') throw new Error(`The double has no path ${name}`);
    return fake.userData;
  },
  requestSingleInstanceLock: () => fake.hasLock,
  whenReady: () => whenReady,
  quit: () => void (fake.quit = true),
  exit: () => void (fake.quit = true),
  on: (name: string, listener: (...args: unknown[]) => void) => void appEvents.on(name, listener),
  commandLine: strict('app.commandLine', {
    appendSwitch(name: string, value?: string) {
      beforeReady('appendSwitch');
      fake.switches.push([name, value]);
    },
  }),
});

export const protocol = strict('protocol', {
  registerSchemesAsPrivileged(schemes: { scheme: string; privileges: Record<string, boolean> }[]) {
    beforeReady('registerSchemesAsPrivileged');
    for (const { scheme, privileges } of schemes) {
      if (privileges.bypassCSP || privileges.corsEnabled) throw new Error(`${scheme} would be too powerful`);
      if (!privileges.standard || !privileges.secure) throw new Error(`${scheme} would be no proper origin`);
      fake.schemes.push(scheme);
    }
  },
  handle(scheme: string, handler: (request: Request) => Promise<Response>) {
    afterReady('protocol.handle');
    if (!fake.schemes.includes(scheme) || fake.protocol) throw new Error(`${scheme} cannot be handled`);
    fake.protocol = handler;
  },
});

export const ipcMain = strict('ipcMain', {
  handle(name: string, handler: Handler) {
    if (fake.handlers.has(name)) throw new Error(`${name} has a handler already`);
    fake.handlers.set(name, handler);
  },
});

export const session = strict('session', {
  defaultSession: strict('session.defaultSession', {
    webRequest: strict('webRequest', {
      onBeforeRequest: (filter: FakeState['requestFilter']) => void (fake.requestFilter = filter),
    }),
    setPermissionRequestHandler: (handler: FakeState['permissionRequest']) =>
      void (fake.permissionRequest = handler),
    setPermissionCheckHandler: (handler: () => boolean) => void (fake.permissionCheck = handler),
    setDevicePermissionHandler: (handler: () => boolean) => void (fake.devicePermission = handler),
  }),
});

class FakeContents extends EventEmitter {
  readonly sent: unknown[][] = [];
  openHandler?: () => { action: string };
  private readonly window: FakeWindow;

  constructor(window: FakeWindow) {
    super();
    this.window = window;
  }
  setWindowOpenHandler(handler: () => { action: string }): void {
    this.openHandler = handler;
  }
  isDestroyed(): boolean {
    return this.window.isDestroyed();
  }
  send(...message: unknown[]): void {
    this.sent.push(message);
    this.emit('double:sent', ...message);
  }
  /** Not PDF: the page that would have been printed, so that a test can look at it. */
  async printToPDF(): Promise<Buffer> {
    const response = await fake.protocol!(new Request(this.window.url));
    return Buffer.from(`%PDF of ${await response.text()}`);
  }
}

interface WindowOptions {
  width?: number;
  height?: number;
  x?: number;
  y?: number;
  webPreferences?: Record<string, unknown>;
}

class FakeWindow extends EventEmitter {
  readonly options: WindowOptions;
  readonly webContents: FakeContents;
  url = '';
  title = '';
  edited = false;
  shown = false;
  maximized = false;
  focused = 0;
  reloads = 0;
  bounds: { x: number; y: number; width: number; height: number };
  private destroyed = false;

  constructor(options: WindowOptions) {
    super();
    afterReady('new BrowserWindow');
    const safe = options.webPreferences ?? {};
    if (safe.sandbox !== true || safe.contextIsolation !== true || safe.nodeIntegration !== false)
      throw new Error('A window must be sandboxed, isolated and without Node');
    this.options = options;
    const { x = 10, y = 20, width = 800, height = 600 } = options;
    this.bounds = { x, y, width, height };
    this.webContents = strict('webContents', new FakeContents(this));
    fake.windows.push(this);
  }
  loadURL(url: string): Promise<void> {
    this.url = url;
    return Promise.resolve();
  }
  reload(): void {
    this.reloads++;
  }
  show(): void {
    this.shown = true;
  }
  maximize(): void {
    this.maximized = true;
  }
  isMaximized(): boolean {
    return this.maximized;
  }
  isMinimized(): boolean {
    return false;
  }
  focus(): void {
    this.focused++;
  }
  setTitle(title: string): void {
    this.title = title;
  }
  setDocumentEdited(edited: boolean): void {
    this.edited = edited;
  }
  getNormalBounds(): FakeWindow['bounds'] {
    return this.bounds;
  }
  isDestroyed(): boolean {
    return this.destroyed;
  }
  destroy(): void {
    this.destroyed = true;
  }
  /** What a person does with the close button. */
  close(): void {
    this.emit('close');
    this.destroyed = true;
    this.emit('closed');
  }
}

export const BrowserWindow = new Proxy(FakeWindow, {
  construct: (target, [options]: [WindowOptions]) => strict('BrowserWindow', new target(options)),
});

export const Menu = strict('Menu', {
  buildFromTemplate: (template: MenuItem[]) => template,
  setApplicationMenu: (menu: MenuItem[]) => void (fake.menu = menu),
});

export const dialog = strict('dialog', {
  showOpenDialog(_window: unknown, options: unknown) {
    fake.dialogOptions.push(options);
    return Promise.resolve(fake.openDialog);
  },
  showSaveDialog(_window: unknown, options: unknown) {
    fake.dialogOptions.push(options);
    return Promise.resolve(fake.saveDialog);
  },
  showErrorBox: (title: string, text: string) => void fake.errors.push([title, text]),
});

export const nativeTheme = strict('nativeTheme', {
  shouldUseDarkColors: false,
  get themeSource() {
    return fake.theme;
  },
  set themeSource(choice: string) {
    fake.theme = choice;
  },
});

export const screen = strict('screen', {
  getDisplayMatching() {
    afterReady('screen');
    return { workArea: { x: 0, y: 0, width: 1920, height: 1080 } };
  },
});

/** A utility process is a Node process here; the script notices no difference but the port it talks through. */
export const utilityProcess = strict('utilityProcess', {
  fork(script: string, args: string[]) {
    afterReady('utilityProcess.fork');
    const child = fork(script, args, { serialization: 'advanced' });
    return Object.assign(child, { postMessage: (message: object) => void child.send(message) });
  },
});

/** Asks a channel as a frame of some page would. */
export function invoke(name: string, args?: unknown, frame: Partial<Frame> | null = {}): Promise<unknown> {
  const handler = fake.handlers.get(name);
  if (!handler) throw new Error(`There is no channel ${name}`);
  const senderFrame = frame && { url: 'app://headscope/', parent: null, ...frame };
  return handler({ senderFrame }, args);
}
