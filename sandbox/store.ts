import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { BookEvent } from './books';
import type { ClockEvent } from './clock';
import type { NoticeEvent } from './notifier';
import type { Payee } from './trade';

/** One line of the state file. */
export type StoredEvent = BookEvent | NoticeEvent | ClockEvent;

/** The version in the first line of a state file. Version 1, and files without one, had only one seller. */
const VERSION = 2;

/** Where events are stored. */
export interface Store {
  append(event: StoredEvent): void;
  /** Forgets everything. */
  clear(): void;
  close(): void;
}

/** Stores nothing. */
export const noStore: Store = { append: () => undefined, clear: () => undefined, close: () => undefined };

/**
 * Opens a state file: append-only JSON lines. A last line torn by a crash is cut off, so that the next one starts
 * clean. A file of version 1 is rewritten, with its trades as those of `first`.
 * @param replay called with every past event, in order
 * @throws Error naming the line if one before the last cannot be read, or the version if it is not supported
 */
export function openStore(stateFile: string, replay: (event: StoredEvent) => void, first: Payee): Store {
  mkdirSync(dirname(stateFile), { recursive: true });
  if (existsSync(stateFile)) replayFile(stateFile, replay, first);
  const file = openSync(stateFile, 'a', 0o600);
  let open = true;
  const begin = () => writeSync(file, HEAD);
  if (fstatSync(file).size === 0) begin();
  return {
    append: (event) => {
      if (open) writeSync(file, `${JSON.stringify(event)}\n`);
    },
    clear: () => {
      ftruncateSync(file);
      begin();
    },
    close: () => {
      open = false;
      closeSync(file);
    },
  };
}

const HEAD = `${JSON.stringify({ type: 'version', version: VERSION })}\n`;

function replayFile(stateFile: string, replay: (event: StoredEvent) => void, first: Payee): void {
  const bytes = readFileSync(stateFile);
  const end = bytes.lastIndexOf('\n') + 1;
  if (end < bytes.length) truncateSync(stateFile, end);
  const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
  const isOld = lines.length > 0 && !lines[0]?.startsWith(HEAD.trimEnd());
  const events: StoredEvent[] = [];
  lines.forEach((line, index) => {
    try {
      const event = JSON.parse(line) as StoredEvent | { type: 'version'; version: number };
      if (event.type === 'version') {
        if (event.version > VERSION) throw new OtherVersion(event.version);
        return;
      }
      const known = isOld ? ofFirst(event, first) : event;
      replay(known);
      if (isOld) events.push(known);
    } catch (error) {
      if (error instanceof OtherVersion) throw new Error(`SANDBOX_STATE: ${stateFile} ${error.message}`);
      throw new Error(
        `SANDBOX_STATE: line ${index + 1} of ${stateFile} cannot be read: move the file away to start empty`,
        { cause: error },
      );
    }
  });
  if (!isOld) return;
  // Into a new file first: a crash halfway leaves the old file intact.
  const fresh = `${stateFile}.new`;
  writeFileSync(fresh, HEAD + events.map((event) => `${JSON.stringify(event)}\n`).join(''), { mode: 0o600 });
  renameSync(fresh, stateFile);
}

/** An event of version 1, assigned to the first seller. */
function ofFirst(event: StoredEvent, { sellerId, appId, authAppId }: Payee): StoredEvent {
  switch (event.type) {
    case 'clock':
    case 'noticed':
    case 'tried':
      return event;
    case 'opened':
      return { ...event, sellerId, order: { ...event.order, payee: { appId, authAppId, sellerId } } };
    default:
      return { ...event, sellerId };
  }
}

class OtherVersion extends Error {
  constructor(version: number) {
    super(
      `is of version ${version}, but this sandbox reads ${VERSION}: move the file away to start empty, or run the sandbox that wrote it`,
    );
  }
}
