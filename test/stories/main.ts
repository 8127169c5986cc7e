import '../../renderer/theme/tokens.css';
import '../../renderer/theme/base.css';
import { mount, type Component } from 'svelte';
import GridStory from './GridStory.svelte';
import NotesStory from './NotesStory.svelte';
import PatternStory from './PatternStory.svelte';
import RowsStory from './RowsStory.svelte';
import TableStory from './TableStory.svelte';
import TextStory from './TextStory.svelte';
import ViewStory from './ViewStory.svelte';

// Which story, and with what, is in the address: ?story=pattern&tokens=48&theme=dark
const wish = new URLSearchParams(location.search);
document.documentElement.dataset.theme = wish.get('theme') ?? 'light';
const stories: Record<string, Component<{ wish: URLSearchParams }>> = {
  pattern: PatternStory,
  text: TextStory,
  table: TableStory,
  grid: GridStory,
  view: ViewStory,
  rows: RowsStory,
  notes: NotesStory,
};
mount(stories[wish.get('story') ?? 'pattern'], { target: document.getElementById('app')!, props: { wish } });
