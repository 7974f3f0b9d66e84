import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const ROOT = join(__dirname, '..', '..');
const PAIRS = [
  ['README.md', 'README.zh-CN.md'],
  ['docs/first-payment.md', 'docs/first-payment.zh-CN.md'],
] as const;

const read = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

const CODE_BLOCK = /^```(\w*)\n(.*?)^```$/gms;

/** What all translations of a section have in common, in the order of the page. */
interface Section {
  level: number;
  blocks: string[];
  /** The rows of its tables, each reduced to its code: commands, settings, routes. */
  rows: string[][];
  /** What it mentions: code, numbers, the pages it links to. */
  names: string[];
}

function sectionsOf(text: string): Section[] {
  // A heading inside a code block does not count.
  const blocks = [...text.matchAll(CODE_BLOCK)].map(([, language = '', code = '']) =>
    withoutWords(language, code),
  );
  const sections = text.replaceAll(CODE_BLOCK, '```').split(/^(?=#+ )/m);
  return sections.map((section) => {
    const lines = section.split('\n');
    const rows = lines.filter((line) => line.startsWith('|'));
    return {
      level: section.indexOf(' '),
      blocks: blocks.splice(0, lines.filter((line) => line === '```').length),
      rows: rows.map((row) => [...codeOf(row)].sort()),
      names: [...new Set([...codeOf(section), ...linksOf(section), ...numbersOf(section)])].sort(),
    };
  });
}

/** Code without its comments, and a diagram without its texts: those are translated. */
function withoutWords(language: string, code: string): string {
  if (language === 'mermaid') {
    return code
      .replaceAll(/"[^"\n]*"/g, '')
      .replaceAll(/(?<=\w)([[(]+)[^\])\n]*/g, '$1')
      .replaceAll(/-- .*?-->/g, '-->')
      .replaceAll(/: .*$/gm, '');
  }
  return language === 'text' ? code : code.replaceAll(/ +(#|\/\/) .*$/gm, '');
}

const codeOf = (text: string): string[] => text.match(/`[^`\n]+`/g) ?? [];

const linksOf = (text: string): string[] =>
  [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) =>
    link.replace('.zh-CN.md', '.md').replace(/#.*/, '#'),
  );

const numbersOf = (text: string): string[] =>
  text.replaceAll(/`[^`\n]+`|\]\([^)\s]+\)|<[^>]*>/g, '').match(/\d+(\.\d+)?/g) ?? [];

describe.each(PAIRS)('%s and %s', (english, chinese) => {
  it('have the same headings, commands, tables, names, numbers and links', () => {
    expect(sectionsOf(read(english)).length).toBeGreaterThan(5);
    expect(sectionsOf(read(chinese))).toEqual(sectionsOf(read(english)));
  });

  it('link to each other at their top', () => {
    const topOf = (page: string): string => read(page).split('\n## ')[0] ?? '';
    expect(topOf(english)).toContain(`](${basename(chinese)})`);
    expect(topOf(chinese)).toContain(`](${basename(english)})`);
  });
});
