import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const ROOT = join(__dirname, '..', '..');
const PAGES = ['', 'docs', 'deploy', 'sandbox', 'test'].flatMap((folder) =>
  readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
);

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

const withoutCode = (text: string): string =>
  text.replaceAll(/```[\s\S]*?```/g, '').replaceAll(/`[^`\n]*`/g, '');

/** The anchors of a page, as GitHub derives them from its headings. */
function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(/```[\s\S]*?```/g, '').match(/^#+ .*$/gm) ?? [];
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(PAGES)('%s', (page) => {
  it('links to pages, files and headings that exist', () => {
    const links = [...withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
    const broken = links
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => {
        const [path = '', anchor] = link.split('#');
        const target = path === '' ? page : join(dirname(page), path);
        if (!existsSync(join(ROOT, target))) return true;
        return anchor !== undefined && !anchorsOf(read(target)).includes(anchor);
      });
    expect(broken).toEqual([]);
  });

  it('names files of the repository that exist', () => {
    const named = [
      ...read(page).matchAll(
        /`((?:client|worker|activities|db|workflows|sandbox|dev|test|docs|deploy)\/[\w./-]*\.ts)`/g,
      ),
    ];
    expect(named.map(([, path = '']) => path).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

describe('docs/money.md', () => {
  const TIERS = ['unit', 'replay', 'time-skipping', 'integration', 'long', 'browser'];
  const pathsOf = (name: string): string[] =>
    TIERS.map((tier) => join('test', tier, `${name}.test.ts`)).filter((path) => existsSync(join(ROOT, path)));
  const page = read('docs/money.md');
  const paragraphs = page.split(/\n\n/).filter((text) => text.startsWith('Tests: '));
  const bugs = [...read('test/bugs-of-others.md').matchAll(/^- (.+?): (.+)$/gm)].map(
    ([, bug, here = '']) => ({
      bug,
      here,
    }),
  );
  const oneLine = (text: string): string => text.replaceAll("\\'", "'").replaceAll(/\s+/g, ' ');

  /** `file: _words of a title_, _more_; another file`, until the end of the paragraph. */
  const named = paragraphs.flatMap((text) =>
    [
      ...oneLine(text.slice('Tests: '.length)).matchAll(
        /([a-z][a-z-]+)(?: \([a-z-]+\))?((?:[:,] _[^_]+_)*)[;.]/g,
      ),
    ].map(([, file = '', titles = '']) => ({
      file,
      titles: [...titles.matchAll(/_([^_]+)_/g)].map(([, it = '']) => it),
    })),
  );

  it('names tests under each of its eleven rules', () => {
    expect(paragraphs).toHaveLength(11);
    expect(named.flatMap(({ titles }) => titles).length).toBeGreaterThan(60);
  });

  it('names test files that exist', () => {
    expect(named.map(({ file }) => file).filter((file) => pathsOf(file).length === 0)).toEqual([]);
  });

  it('reads every title that it names', () => {
    expect(named.flatMap(({ titles }) => titles)).toHaveLength(
      paragraphs.join('').match(/_[^_]+_/g)?.length ?? 0,
    );
  });

  it.each(named)('names tests of $file that exist', ({ file, titles }) => {
    const sources = pathsOf(file).map((path) => oneLine(read(path)));
    expect(titles.filter((title) => !sources.some((source) => source.includes(title)))).toEqual([]);
  });

  it('names a test file for each bug of others, or says why it cannot occur', () => {
    expect(bugs).toHaveLength(40);
    const uncovered = bugs.filter(({ here }) => {
      const files =
        here
          .split(';')[0]
          ?.split(', ')
          .map((file) => file.trim()) ?? [];
      return files[0] !== 'cannot occur' && !files.every((file) => pathsOf(file).length > 0);
    });
    expect(uncovered).toEqual([]);
  });
});
