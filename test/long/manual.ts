/** A command that a documentation page tells its reader to type. */
export interface ManualCommand {
  /** The heading it is under. */
  section: string;
  /** As typed: continued lines are joined. */
  line: string;
  /** Whether time passes before it: the page says "(30 seconds later)". */
  later: boolean;
  /** The error that the page shows for it: the text of its `msg="…"`. Null if it succeeds. */
  refusal: string | null;
}

// A fenced block, or a command in running text or in a table.
const SHOWN = /```(text|sh)\n([\s\S]*?)```|`((?:temporal|npx durable-alipay) [^`]+)`/g;

/**
 * Every command of a Markdown page, in the page's order: the lines after `$` in blocks of `text`, all lines in blocks
 * of `sh`, and anything that begins with `temporal` or `npx durable-alipay` between backticks.
 */
export function commandsOf(page: string): ManualCommand[] {
  return page.split(/^## /m).flatMap((text) => {
    const section = text.split('\n', 1)[0] ?? '';
    return [...text.matchAll(SHOWN)].flatMap(([, kind, block = '', inline]) => {
      if (inline !== undefined) return [plain(section, inline)];
      return kind === 'sh' ? linesOf(block).map((line) => plain(section, line)) : session(section, block);
    });
  });
}

const plain = (section: string, line: string): ManualCommand => ({
  section,
  line: line.replace(/\s+/g, ' ').trim(),
  later: false,
  refusal: null,
});

const linesOf = (block: string): string[] =>
  block
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');

/** What someone typed, with what it printed. */
function session(section: string, block: string): ManualCommand[] {
  const commands: ManualCommand[] = [];
  let later = false;
  for (const line of linesOf(block)) {
    const last = commands.at(-1);
    if (last && hasOpenQuote(last.line)) last.line = plain(section, `${last.line} ${line}`).line;
    else if (line.startsWith('$ ')) {
      commands.push({ ...plain(section, line.slice(2)), later });
      later = false;
    } else if (/^\(\d+ seconds later\)$/.test(line)) later = true;
    else if (last) last.refusal ??= /msg="([^"]+)"/.exec(line)?.[1] ?? null;
  }
  return commands;
}

/** A quoted statement continues on the next line. */
const hasOpenQuote = (line: string): boolean => line.split('"').length % 2 === 0;

/** Whether a command is only named, for instance `temporal schedule …`, and appears in full elsewhere on the page. */
export function isNamedOnly({ line }: ManualCommand, all: ManualCommand[]): boolean {
  const start = line.replace(/ ?…$/, '');
  return all.some(
    (other) => other.line !== line && !other.line.endsWith('…') && other.line.startsWith(`${start} `),
  );
}
