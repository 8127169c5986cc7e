import type { ThemeChoice } from '../shell/shell.ts';

/** Light or dark, as chosen or as the system has it. */
class Appearance {
  choice = $state<ThemeChoice>('system');
  private dark = $state(false);

  constructor() {
    const query = matchMedia('(prefers-color-scheme: dark)');
    this.dark = query.matches;
    query.addEventListener('change', () => (this.dark = query.matches));
  }

  get theme(): 'light' | 'dark' {
    if (this.choice !== 'system') return this.choice;
    return this.dark ? 'dark' : 'light';
  }
}

export const appearance = new Appearance();
