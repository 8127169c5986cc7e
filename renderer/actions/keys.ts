const isMac = /mac/i.test(navigator.platform);

interface Chord {
  readonly ctrl: boolean;
  readonly shift: boolean;
  readonly alt: boolean;
  readonly key: string;
}

function parse(keys: string): Chord {
  const parts = keys.split('+');
  const key = keys.endsWith('++') ? '+' : (parts.at(-1) ?? '');
  return {
    ctrl: parts.includes('CmdOrCtrl'),
    shift: parts.includes('Shift'),
    alt: parts.includes('Alt'),
    key: key.toLowerCase(),
  };
}

const NAMES: Readonly<Record<string, string>> = { escape: 'escape', enter: 'enter', delete: 'delete' };

/** True when a key press is the chord; a letter or sign typed with Shift because the layout needs it ("?") counts. */
export function matches(keys: string, event: KeyboardEvent): boolean {
  const chord = parse(keys);
  const pressed = NAMES[event.key.toLowerCase()] ?? event.key.toLowerCase();
  const ctrl = isMac ? event.metaKey : event.ctrlKey;
  if (pressed !== chord.key || ctrl !== chord.ctrl || event.altKey !== chord.alt) return false;
  return event.shiftKey === chord.shift || (!chord.shift && /^[^a-z0-9]$/.test(chord.key));
}

/** A chord as the platform writes it: "Ctrl+K", "⌘K". */
export function keysText(keys: string): string {
  const { ctrl, shift, alt, key } = parse(keys);
  const name = key.length === 1 ? key.toUpperCase() : key[0].toUpperCase() + key.slice(1);
  if (isMac) return `${alt ? '⌥' : ''}${shift ? '⇧' : ''}${ctrl ? '⌘' : ''}${name}`;
  return [ctrl && 'Ctrl', alt && 'Alt', shift && 'Shift', name].filter(Boolean).join('+');
}

/** True where letters are typed: shortcuts without Ctrl do nothing there. */
export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      target instanceof HTMLTextAreaElement ||
      target instanceof HTMLSelectElement ||
      (target instanceof HTMLInputElement && target.type !== 'range' && target.type !== 'checkbox'))
  );
}
